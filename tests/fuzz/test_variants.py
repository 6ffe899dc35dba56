"""variant.json with any change: the variant opens and transcribes, or is refused in one line."""

import json
import shutil

import pytest
from hypothesis import strategies as st

from pipeline.quantize.run import quantize
from pipeline.recognition.recognizer import Recognizer
from tests import tiny
from tests.fuzz import fuzz, mutated, shows

SPARE_MB = 300
MARKS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
VALUES = st.recursive(
    MARKS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3), max_leaves=4
)


@pytest.fixture(scope="module")
def variant(tmp_path_factory):
    folder = tmp_path_factory.mktemp("variants")
    quantize("fp32-onnx", {}, tiny.save_model(folder / "teacher"), None, folder / "teacher.fp32-onnx")
    return folder / "teacher.fp32-onnx"


@st.composite
def changed(draw: st.DrawFn, original: str) -> bytes:
    """The JSON with one to three values anywhere in it replaced or taken out, or a key of it added."""
    content = json.loads(original)
    for _ in range(draw(st.integers(1, 3))):
        here = content
        while True:
            places = list(here) if isinstance(here, dict) else list(range(len(here)))
            if not places:
                break
            place = draw(st.sampled_from(places))
            inner = here[place]
            if isinstance(inner, dict | list) and inner and draw(st.booleans()):
                here = inner
                continue
            if draw(st.integers(0, 3)):
                here[place] = draw(VALUES)
            else:
                del here[place]
            break
    return json.dumps(content).encode()


@pytest.mark.slow
@shows("variant.json")
def test_any_variant_json_opens_or_is_refused(variant, tmp_path, record_property):
    folder = shutil.copytree(variant, tmp_path / "variant")
    original, speech = (folder / "variant.json").read_text(), tiny.speech(0.1)

    def check(content: bytes) -> None:
        (folder / "variant.json").write_bytes(content)
        assert isinstance(Recognizer.load(folder, threads=1).transcribe(speech), str)

    fuzz(
        5_000,
        changed(original) | mutated(st.just(original.encode()), 4_000) | VALUES.map(json.dumps).map(str.encode),
        check,
        SPARE_MB,
        record_property,
    )
