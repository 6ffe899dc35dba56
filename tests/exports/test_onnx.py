"""Layout `onnx`: its files, and in plain ONNX Runtime the recognizer's scores for raw audio of any length."""

import json
import os
import re
import shutil
import subprocess
import sys

import numpy as np
import onnx
import onnxruntime
import pytest
import soundfile

from pipeline.common.errors import BigfootError
from pipeline.exports import huggingface, layouts
from pipeline.recognition.recognizer import Recognizer
from pipeline.speech import text
from tests.exports.conftest import AUDIOS, CARD, FILES, folded
from tests.planted import ROOT
from tests.tiny import VOCAB, speech


@pytest.mark.parametrize("norm", ["group", "layer"])
@pytest.mark.parametrize("normalize", [True, False])
@pytest.mark.parametrize("scheme", ["fp32-onnx", "int8-onnx"])
def test_raw_audio_gives_the_recognizers_scores_in_plain_onnxruntime(variants, norm, normalize, scheme, tmp_path):
    variant = variants[norm, normalize, scheme]
    layouts.write(variant, tmp_path, "onnx", CARD)
    file = "onnx/model.onnx" if scheme == "fp32-onnx" else "onnx/model_quantized.onnx"
    written = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()}
    assert written == FILES | {file} | ({"tokens.txt"} if normalize else set())
    session, recognizer = onnxruntime.InferenceSession(tmp_path / file), Recognizer.load(variant)
    shapes = [(value.name, value.shape) for value in (*session.get_inputs(), *session.get_outputs())]
    assert shapes == [("input_values", ["batch", "samples"]), ("logits", ["batch", "frames", len(VOCAB)])]
    for audio in AUDIOS:
        logits = session.run(None, {"input_values": np.stack([audio, audio[::-1]])})[0]
        wanted = recognizer.logits(audio) if scheme == "fp32-onnx" else _together(recognizer, audio)
        np.testing.assert_allclose(logits[0], folded(wanted), atol=1e-4 if scheme == "fp32-onnx" else 0.05)
        assert text.greedy(logits[0].argmax(-1), recognizer.info["vocab"], 0) == recognizer.text(wanted)


def _together(recognizer: Recognizer, audio: np.ndarray) -> np.ndarray:
    """Logits as of a batch: dynamic int8 takes its ranges from all of it."""
    return recognizer.batch_logits([audio, audio[::-1]])[0]


def test_audio_that_is_normalized_already_gives_the_same_scores(variants, tmp_path):
    layouts.write(variants["group", True, "fp32-onnx"], tmp_path, "onnx", CARD)
    session = onnxruntime.InferenceSession(tmp_path / "onnx/model.onnx")
    audio = 0.3 + 2 * speech(1.0)
    normalized = (audio - audio.mean()) / np.sqrt(audio.var() + 1e-7)
    raw, again = (session.run(None, {"input_values": each[None].astype(np.float32)})[0] for each in (audio, normalized))
    np.testing.assert_allclose(raw, again, atol=1e-3)


def test_the_weights_of_a_variant_are_not_touched(variants, tmp_path):
    variant = variants["layer", True, "int8-onnx"]
    layouts.write(variant, tmp_path, "onnx", CARD)
    before, after = (onnx.load(path).graph for path in (variant / "model.onnx", tmp_path / "onnx/model_quantized.onnx"))
    kept = {tensor.name: tensor.SerializeToString() for tensor in after.initializer}
    assert all(kept[tensor.name] == tensor.SerializeToString() for tensor in before.initializer)


def test_the_card_keeps_its_text_and_says_how_to_run_the_folder(variants, tmp_path):
    layouts.write(variants["group", True, "int8-onnx"], tmp_path / "a", "onnx", CARD)
    card = (tmp_path / "a/README.md").read_text()
    assert card.startswith("# A card\n\n## License\n\nunknown\n\n## How to run it\n") and "How it was run" not in card
    programs = re.findall(r"^### (\S+).*?^```\w+$(.*?)^```$", card, re.M | re.S)
    assert [name for name, _ in programs] == ["sherpa-onnx:", "transformers.js:", "ONNX", "Optimum"]
    assert all("onnx/model_quantized.onnx" in code or "q8" in code or '"model_quantized.onnx"' in code for _, code in programs)
    layouts.write(variants["group", False, "int8-onnx"], tmp_path / "b", "onnx", CARD)
    assert "sherpa-onnx can't run this model (it normalizes all audio" in (tmp_path / "b/README.md").read_text()


@pytest.mark.parametrize(("rate", "channels"), [(48_000, 1), (16_000, 2)])
def test_the_cards_program_refuses_other_audio_in_a_line(variants, tmp_path, rate, channels):
    layouts.write(variants["group", True, "int8-onnx"], tmp_path, "onnx", CARD)
    (program,) = re.findall(r"^### ONNX Runtime.*?^```python$(.*?)^```$", (tmp_path / "README.md").read_text(), re.M | re.S)
    soundfile.write(tmp_path / "a.wav", np.zeros((rate, channels), dtype=np.float32), rate)
    done = subprocess.run([sys.executable, "-I", "-c", program, "a.wav"], cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (1, "a.wav is not one channel at 16 kHz\n")


def test_transformers_reads_the_folders_processor_and_config(variants, tmp_path):
    from transformers import AutoConfig, AutoProcessor

    layouts.write(variants["group", True, "fp32-onnx"], tmp_path, "onnx", CARD)
    processor, config = AutoProcessor.from_pretrained(tmp_path), AutoConfig.from_pretrained(tmp_path)
    assert (config.conv_dim, config.inputs_to_logits_ratio, config.vocab_size) == ([16] * 7, 320, len(VOCAB))
    audio = speech(0.3)
    np.testing.assert_array_equal(processor(audio, sampling_rate=16_000).input_values[0], audio)
    ids = [VOCAB.index(token) for token in "n <pad> n o | <pad> | n n".split()]
    assert processor.batch_decode([ids])[0].split() == ["nno", "n"]


def test_variants_that_the_layout_is_not_for_are_refused_in_one_line(variants, tmp_path):
    own = variants["group", True, "fp32-onnx"]
    cases = {
        (variants["group", True, "fp32"], "onnx"): "group_True.fp32 is for torch: layout onnx takes .* for onnxruntime",
        (
            variants["group", True, "peer-onnx-optimum"],
            "onnx",
        ): "group_True.peer-onnx-optimum is a peer for .*: layout onnx",
        (
            own,
            "onyx",
        ): "group_True.fp32-onnx: there is no layout 'onyx', known are: onnx, openvino, onnx-asr, executorch, litert",
    }
    for (variant, layout), error in cases.items():
        with pytest.raises(BigfootError, match=error):
            layouts.write(variant, tmp_path / "out", layout, CARD)
    with pytest.raises(
        BigfootError, match="own.int8-onnx.lm has a language model, which layouts leave out: take own.int8-onnx$"
    ):
        layouts.require("onnx", "own.int8-onnx+lm", "onnxruntime", "own", searches=True)
    older = shutil.copytree(own, tmp_path / "older")
    info = json.loads((older / "variant.json").read_text())
    (older / "variant.json").write_text(json.dumps({key: info[key] for key in info if key != "sha256"} | {"version": 1}))
    with pytest.raises(BigfootError, match="older is of an older Bigfoot: quantize the model again"):
        layouts.write(older, tmp_path / "out", "onnx", CARD)
    assert not (tmp_path / "out").exists()


def test_an_export_loads_onnx_and_numpy_and_no_framework(variants, tmp_path):
    heavy = ("torch", "transformers", "pydantic", "mlflow", "openvino", "onnxruntime")
    script = "import sys; from pathlib import Path; from pipeline.exports import layouts;"
    script += (
        f"layouts.write(Path({str(variants['group', True, 'int8-onnx'])!r}), Path({str(tmp_path)!r}), 'onnx', '# A card');"
    )
    script += f"print([name for name in {heavy} if name in sys.modules])"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=environment)
    assert done.stdout == "[]\n", done.stdout + done.stderr


def test_two_tokens_that_write_the_same_are_refused():
    with pytest.raises(BigfootError, match="v: tokens 2 and 3 both write 'a'"):
        huggingface.token_names({"variant": "v", "vocab": ["", " ", "a", "a"], "blank": 0})
    assert huggingface.gap_name({"vocab": ["", " ", "a|b"]}) == "\u2581"
    assert huggingface.token_names({"variant": "v", "vocab": ["", " ", "|", ""], "blank": 3}) == [
        "<unk>",
        "\u2581",
        "|",
        "<pad>",
    ]
