"""A variant whose files have changed since it was made is not opened, or at least not scored and timed."""

import json
import shutil

import pytest

from pipeline.common.errors import BigfootError
from pipeline.quantize.run import quantize
from pipeline.recognition import seal
from pipeline.recognition.recognizer import Recognizer
from tests.tiny import save_model, speech


@pytest.fixture(scope="module")
def variant(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sealed")
    quantize("fp32-onnx", {}, save_model(folder / "one"), None, folder / "one.fp32-onnx")
    quantize("fp32-onnx", {}, save_model(folder / "two", seed=1), None, folder / "two.fp32-onnx")
    return folder / "one.fp32-onnx"


def test_a_truncated_model_is_one_line(variant, tmp_path):
    copy = shutil.copytree(variant, tmp_path / "cut")
    file = copy / "model.onnx"
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(BigfootError, match=r"model\.onnx .*cut off") as raised:
        Recognizer.load(copy)
    assert "\n" not in str(raised.value)


def test_weights_of_another_model_are_detected_by_their_sum(variant, tmp_path):
    copy = shutil.copytree(variant, tmp_path / "swapped")
    shutil.copyfile(variant.with_name("two.fp32-onnx") / "model.onnx", copy / "model.onnx")
    info = json.loads((copy / "variant.json").read_text())
    seal.check(variant, info, sums=True)
    with pytest.raises(BigfootError, match=r"model\.onnx"):
        seal.check(copy, info, sums=True)


def test_a_folder_without_a_seal_opens(variant, tmp_path):
    copy = shutil.copytree(variant, tmp_path / "old")
    info = json.loads((copy / "variant.json").read_text())
    del info["files"]
    (copy / "variant.json").write_text(json.dumps(info))
    assert Recognizer.load(copy).logits(speech(0.5)).shape[0] > 10
