"""Each family as itself: the same logits as transformers, through padding, surgery, export and int8."""

import numpy as np
import pytest
import torch
from transformers import AutoModelForCTC

from pipeline.common.errors import BigfootError
from pipeline.distill.surgery import student
from pipeline.models import families, folder
from pipeline.models.forward import ignore_padding, padding_invariant
from pipeline.params import Student
from pipeline.quantize.run import quantize
from pipeline.recognition.recognizer import Recognizer
from tests.tiny import FAMILIES, TrainingAudio, save_model, speech

KINDS = [(family, norm, stable) for family in FAMILIES for norm, stable in (("group", False), ("layer", True))][:-1]
SECONDS = (0.7, 2.37, 1.0)


@pytest.fixture(scope="module", params=KINDS, ids=lambda kind: f"{kind[0]}-{kind[1]}")
def saved(request, tmp_path_factory):
    family, norm, stable = request.param
    return save_model(tmp_path_factory.mktemp(family) / norm, norm, stable=stable, family=family)


def of_transformers(saved, audios: list[np.ndarray]) -> list[np.ndarray]:
    """The logits of transformers' own class, one utterance at a time, unpadded."""
    model = AutoModelForCTC.from_pretrained(saved).eval()
    normalized = [(audio - audio.mean()) / np.sqrt(audio.var() + 1e-7) for audio in audios]
    with torch.inference_mode():
        return [model(torch.from_numpy(audio)[None]).logits[0].numpy() for audio in normalized]


@pytest.mark.parametrize("scheme", ["fp32", "fp32-onnx", "fp32-openvino"])
def test_float_variants_have_the_logits_of_transformers(saved, scheme, tmp_path):
    quantize(scheme, {}, saved, None, tmp_path / "variant")
    audios = [speech(seconds, seed=i) for i, seconds in enumerate(SECONDS)]
    ours = Recognizer.load(tmp_path / "variant", threads=1).batch_logits(audios)
    for one, theirs in zip(ours, of_transformers(saved, audios), strict=True):
        np.testing.assert_allclose(one, theirs, atol=2e-4)


@pytest.mark.parametrize("scheme", ["int8-torch", "int8-torchao", "int8-onnx", "int8-onnx-static", "int8-openvino"])
def test_int8_variants_have_nearly_the_logits_of_transformers(saved, scheme, tmp_path):
    quantize(scheme, {}, saved, TrainingAudio(), tmp_path / "variant")
    audio = speech(2.0)
    ours, theirs = Recognizer.load(tmp_path / "variant", threads=1).logits(audio), of_transformers(saved, [audio])[0]
    assert 0 < np.abs(ours - theirs).mean() < 0.15 * theirs.std()


def test_a_padded_batch_in_training_has_the_logits_of_its_utterances_alone(saved):
    model, _ = folder.load_model(saved)
    alone = [model(torch.from_numpy(speech(seconds))[None]).logits[0] for seconds in SECONDS]
    ignore_padding(model)
    signal = torch.nn.utils.rnn.pad_sequence([torch.from_numpy(speech(s)) for s in SECONDS], batch_first=True)
    mask = torch.nn.utils.rnn.pad_sequence([torch.ones(round(s * 16_000)) for s in SECONDS], batch_first=True).long()
    together = model(torch.nn.functional.pad(signal, (0, 4000)), attention_mask=torch.nn.functional.pad(mask, (0, 4000))).logits
    exported = padding_invariant(model)(signal, mask.sum(1))
    for index, expected in enumerate(alone):
        for logits in (together, exported):
            assert (logits[index, : len(expected)] - expected).abs().max() < 2e-3


SMALLER = {"layers": 1, "hidden": 16, "heads": 2, "feed_forward": 32, "conv_channels": 8}


@pytest.mark.parametrize("importance", ["measured", "weights", "position"])
def test_a_student_is_of_its_parents_family_and_loads_as_any_model(saved, importance, tmp_path):
    parent, processor = folder.load_model(saved)
    settings = Student.model_validate({"from": "teacher", "training": None, "importance": importance, **SMALLER})
    model, rows = student.build(parent, settings, [torch.from_numpy(speech(0.5))[None]])
    folder.save_model(model.eval(), processor, tmp_path)
    loaded = AutoModelForCTC.from_pretrained(tmp_path).eval()
    assert type(loaded) is type(parent) and loaded.config.hidden_size == 16
    waveform = torch.from_numpy(speech(1.0))[None]
    with torch.inference_mode():
        assert torch.allclose(model(waveform).logits, loaded(waveform).logits, atol=1e-5)
    fresh = [row["to"] for row in rows if row["from"] is None]
    assert all("gru_rel_pos_linear.weight" in name for name in fresh), fresh


def test_a_student_with_all_of_its_parent_is_its_parent(saved):
    parent, _ = folder.load_model(saved)
    model, rows = student.build(parent, Student.model_validate({"from": "teacher", "training": None}))
    waveform = torch.from_numpy(speech(1.0))[None]
    with torch.inference_mode():
        assert torch.equal(model.eval()(waveform).logits, parent(waveform).logits)
    assert {row["how"] for row in rows} == {"whole"}


@pytest.mark.parametrize("family", ["hubert", "wavlm", "data2vec-audio"])
def test_a_student_without_units_that_nobody_reads_is_exact_in_every_family(family, tmp_path):
    parent, _ = folder.load_model(save_model(tmp_path / "m", "layer", family=family, layers=3))
    with torch.no_grad():
        for layer in parent.base_model.encoder.layers:
            layer.feed_forward.output_dense.weight[:, ::2] = 0
    settings = {"from": "teacher", "training": None, "importance": "weights", "feed_forward": 32}
    model, _ = student.build(parent, Student.model_validate(settings))
    waveform = torch.from_numpy(speech(1.0))[None]
    with torch.inference_mode():
        assert torch.allclose(model.eval()(waveform).logits, parent(waveform).logits, atol=1e-4)


def test_heads_of_wavlm_are_the_same_in_all_layers(tmp_path):
    parent, _ = folder.load_model(save_model(tmp_path / "m", "layer", family="wavlm", layers=3, heads=4))
    settings = {"from": "teacher", "training": None, "importance": "weights", "heads": 2, "hidden": 16}
    model, _ = student.build(parent, Student.model_validate(settings))
    wide, slim = parent.base_model.encoder.layers, model.base_model.encoder.layers
    bias = wide[0].attention.rel_attn_embed.weight
    kept = [
        index for index in range(4) for own in slim[0].attention.rel_attn_embed.weight.T if torch.equal(own, bias[:, index])
    ]
    assert len(kept) == 2
    for old, new in zip(wide, slim, strict=True):
        assert torch.equal(new.attention.gru_rel_pos_const, old.attention.gru_rel_pos_const[:, kept])


def test_a_layer_that_starts_after_the_first_takes_wavlms_position_bias_along(tmp_path):
    parent, _ = folder.load_model(save_model(tmp_path / "m", "layer", family="wavlm", layers=3))
    model, _ = student.build(parent, Student.model_validate({"from": "teacher", "training": None, "layers": [1, 2]}))
    embeddings = [net.base_model.encoder.layers[0].attention.rel_attn_embed.weight for net in (parent, model)]
    assert torch.equal(*embeddings)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"model_type": "whisper"}, "'whisper' model: Bigfoot shrinks CTC models of wav2vec2, hubert, wavlm, data2vec-audio"),
        ({"model_type": "wav2vec2-bert"}, "'wav2vec2-bert' model .it reads filter banks"),
        ({"model_type": "wav2vec2-conformer"}, "'wav2vec2-conformer' model .its convolutions"),
        ({"model_type": ["wav2vec2"]}, "model: Bigfoot shrinks CTC models of"),
        ({"model_type": "wav2vec2", "add_adapter": True}, "add_adapter: true"),
        ({"model_type": "hubert", "conv_pos_batch_norm": True}, "conv_pos_batch_norm: true"),
    ],
)
@pytest.mark.refuses("Models", "wav2vec2-bert, wav2vec2-conformer, Whisper ..., `add_adapter`", "the model's kind is said")
def test_what_cant_be_shrunk_is_refused_by_name(config, message):
    with pytest.raises(BigfootError, match=message) as raised:
        families.check(config, "m")
    assert "\n" not in str(raised.value)
