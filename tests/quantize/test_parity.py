"""float32 is float32 on every runtime: logits are those of transformers, so all other differences come from precision."""

import numpy as np
import pytest
import torch

from pipeline.common.errors import BigfootError
from pipeline.distill.surgery import student
from pipeline.models import folder
from pipeline.params import Student
from pipeline.quantize.run import quantize
from pipeline.recognition import recognizer as engine
from pipeline.recognition.recognizer import Recognizer
from pipeline.recognition.runtimes import openvino_settings, start
from tests.tiny import save_model, speech

SECONDS = (0.05, 0.7, 1.0, 2.37)
NORMS = ("group", "layer")
FLOAT = ("fp32", "fp32-onnx", "fp32-openvino")


@pytest.fixture(autouse=True)
def _any_lengths_together(monkeypatch):
    """Batches hold similar lengths; here any lengths are one batch, where padding allows."""
    monkeypatch.setattr(engine, "LONGER", 1000.0)


def transformers_logits(folder, audios, padded=False) -> list[np.ndarray]:
    """The logits of transformers with its own processor: one by one, or as one padded batch with the attention mask."""
    from transformers import AutoModelForCTC, AutoProcessor

    model, processor = AutoModelForCTC.from_pretrained(folder).eval(), AutoProcessor.from_pretrained(folder)
    with torch.inference_mode():
        if not padded:
            batches = [processor(audio, sampling_rate=16_000, return_tensors="pt") for audio in audios]
            return [model(batch.input_values).logits[0].numpy() for batch in batches]
        batch = processor(audios, sampling_rate=16_000, padding=True, return_attention_mask=True, return_tensors="pt")
        lengths = model._get_feat_extract_output_lengths(batch.attention_mask.sum(-1))
        return [one[:length].numpy() for one, length in zip(model(**batch).logits, lengths, strict=True)]


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("scheme", FLOAT)
def test_float_variants_give_the_logits_of_transformers_at_every_length(models, variants, norm, scheme):
    audios = [speech(seconds) for seconds in SECONDS]
    recognizer = Recognizer.load(variants[norm, scheme], threads=1)

    for ours, theirs in zip(recognizer.batch_logits(audios), transformers_logits(models[norm], audios), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-4)


@pytest.mark.parametrize("shape", [{"conv_merge": [2, 2, 2, 1]}, {"frame_rate": 25}], ids=["merged", "25 a second"])
@pytest.mark.parametrize("scheme", FLOAT)
def test_a_student_with_other_convolutions_gives_the_logits_of_transformers(models, scheme, shape, tmp_path):
    model, processor = folder.load_model(models["group"])
    settings = Student(**{"from": "teacher"}, **shape, importance="position", training={"steps": 1, "learning_rate": 1e-3})
    merged, _ = student.build(model, settings, [torch.from_numpy(speech(1.0))[None]])
    folder.save_model(merged, processor, tmp_path / "student")
    quantize(scheme, {}, tmp_path / "student", None, tmp_path / "variant")
    audios = [speech(seconds) for seconds in SECONDS]
    ours = Recognizer.load(tmp_path / "variant", threads=1).batch_logits(audios)
    for one, theirs in zip(ours, transformers_logits(tmp_path / "student", audios), strict=True):
        np.testing.assert_allclose(one, theirs, atol=1e-4)


@pytest.mark.parametrize("scheme", FLOAT)
def test_a_mixed_batch_gives_what_a_padded_and_masked_one_gives_in_transformers(models, variants, scheme):
    audios = [speech(0.9), speech(2.0), speech(1.4)]
    recognizer = Recognizer.load(variants["layer", scheme], threads=1)

    theirs = transformers_logits(models["layer"], audios, padded=True)
    for ours, masked in zip(recognizer.batch_logits(audios), theirs, strict=True):
        np.testing.assert_allclose(ours, masked, atol=1e-4)


ANY_LENGTHS = [speech(1.0, seed=1), speech(3.3, seed=2), speech(1.0, seed=3), speech(0.1, seed=4)]


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("scheme", (*FLOAT, "int4w-openvino"))
def test_a_batch_of_any_lengths_gives_what_single_utterances_give(variants, norm, scheme):
    recognizer = Recognizer.load(variants[norm, scheme], threads=1)

    for together, audio in zip(recognizer.batch_logits(ANY_LENGTHS), ANY_LENGTHS, strict=True):
        np.testing.assert_allclose(together, recognizer.logits(audio), atol=3e-5)


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("scheme", ("bf16", "bf16-openvino"))
def test_a_batch_in_bfloat16_differs_by_rounding_at_most(variants, norm, scheme):
    recognizer = Recognizer.load(variants[norm, scheme], threads=1)

    for together, audio in zip(recognizer.batch_logits(ANY_LENGTHS), ANY_LENGTHS, strict=True):
        alone = recognizer.logits(audio)
        assert np.sqrt(np.mean((together - alone) ** 2)) < 0.03 * alone.std()


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("scheme", ("int8-onnx-static", "int8-openvino", "int8ac-openvino"))
def test_a_batch_in_static_int8_differs_by_rounding_at_most(variants, norm, scheme):
    """A float sum in another order moves a value by 1e-7, and sometimes to the next of its 256 steps.

    How often depends on the CPU: 1% of what int8 itself moves with AVX2, 3% with AVX-512, 7% with AMX.
    """
    recognizer = Recognizer.load(variants[norm, scheme], threads=1)
    exact = Recognizer.load(variants[norm, "fp32"], threads=1)

    together = np.concatenate(recognizer.batch_logits(ANY_LENGTHS))
    alone, float32 = (np.concatenate([one.logits(audio) for audio in ANY_LENGTHS]) for one in (recognizer, exact))
    assert np.abs(together - alone).mean() < 0.08 * np.abs(alone - float32).mean()
    assert np.abs(together - alone).max() < np.abs(alone - float32).max()


@pytest.mark.parametrize("scheme", ("fp32-onnx", "fp32-openvino"))
def test_graphs_of_post_norm_models_agree_too(tmp_path, scheme):
    model = save_model(tmp_path / "base", "group", stable=False)
    quantize(scheme, {}, model, None, tmp_path / "variant")
    audio = speech(1.1)

    expected = transformers_logits(model, [audio])[0]
    np.testing.assert_allclose(Recognizer.load(tmp_path / "variant").logits(audio), expected, atol=1e-4)


@pytest.mark.parametrize("scheme", ("fp32-openvino", "int8-openvino", "int4w-openvino"))
def test_openvino_computes_in_float32_where_it_is_not_int8(variants, scheme):
    compiled = Recognizer.load(variants["group", scheme])._run.model

    assert compiled.get_property("INFERENCE_PRECISION_HINT").get_type_name() == "f32"
    assert compiled.get_property("DYNAMIC_QUANTIZATION_GROUP_SIZE") == 0
    precisions = {node.get_rt_info()["runtimePrecision"].astype(str) for node in compiled.get_runtime_model().get_ops()}
    assert "bf16" not in precisions and "f16" not in precisions


def test_openvino_computes_in_bfloat16_where_the_variant_names_it_and_the_cpu_has_it(variants):
    import openvino

    compiled = Recognizer.load(variants["group", "bf16-openvino"])._run.model
    has_it = "BF16" in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    assert compiled.get_property("INFERENCE_PRECISION_HINT").get_type_name() == ("bf16" if has_it else "f32")


def test_openvino_gets_the_precision_that_the_variant_names():
    assert openvino_settings(2, "bf16")["INFERENCE_PRECISION_HINT"] == "bf16"
    assert openvino_settings(None)["INFERENCE_PRECISION_HINT"] == "f32"


def test_a_precision_that_no_runtime_knows_is_one_line(variants):
    with pytest.raises(BigfootError, match="unknown precision 'f8' in variant.json, known: f32, bf16, f16"):
        start(variants["group", "fp32-onnx"], "onnxruntime", "model.onnx", precision="f8")
