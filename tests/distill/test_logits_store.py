"""The store returns the teacher's logits of each utterance, without padding frames, in half precision."""

import json

import numpy as np
import pytest
import torch
from transformers import AutoModelForCTC, AutoProcessor, Wav2Vec2Config, Wav2Vec2ForCTC

from pipeline.common.errors import BigfootError
from pipeline.distill import logits_store, student
from pipeline.models.forward import accept_features, fewest_samples
from pipeline.params import Logits
from pipeline.speech.shards import Utterance
from tests.tiny import VOCAB, save_model, speech

SECONDS = (0.5, 1.3, 0.9, 0.5)
SMALL = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16,
         "num_conv_pos_embedding_groups": 4}  # fmt: skip


class Speech:
    """Four synthetic training utterances."""

    folder, rules = None, {}

    def utterances(self, split):
        return [Utterance(f"u{i}", "a", "", seconds) for i, seconds in enumerate(SECONDS)] if split == "train" else []

    def audio(self, utterance):
        return speech(utterance.duration, seed=int(utterance.id[1:]))


@pytest.mark.parametrize("norm", ["group", "layer"])
def test_every_utterance_gets_the_teachers_logits_of_it_alone(tmp_path, norm):
    folder = save_model(tmp_path / "teacher", norm)
    logits_store.store_logits(Logits(speeds=[1.0]), folder, Speech(), tmp_path / "logits")
    store = logits_store.LogitsStore(tmp_path / "logits")
    assert len(store) == len(SECONDS) and store.vocabulary == len(VOCAB) and "u1" in store
    model, processor = AutoModelForCTC.from_pretrained(folder).eval(), AutoProcessor.from_pretrained(folder)
    for utterance in Speech().utterances("train"):
        inputs = processor(Speech().audio(utterance), sampling_rate=16000, return_tensors="pt").input_values
        with torch.inference_mode():
            expected = model(inputs).logits[0].numpy()
        kept = store[utterance.id]
        assert kept.dtype == np.float16 and kept.shape == expected.shape
        np.testing.assert_allclose(kept, expected, atol=5e-3)


@pytest.mark.parametrize("norm", ["group", "layer"])
def test_the_feature_encoders_output_is_stored_on_request(tmp_path, norm):
    folder = save_model(tmp_path / "teacher", norm)
    logits_store.store_logits(Logits(speeds=[1.0], features=True), folder, Speech(), tmp_path / "logits")
    store = logits_store.LogitsStore(tmp_path / "logits")
    model, processor = AutoModelForCTC.from_pretrained(folder).eval(), AutoProcessor.from_pretrained(folder)
    assert store.channels == model.config.conv_dim[-1]
    for utterance in Speech().utterances("train"):
        inputs = processor(Speech().audio(utterance), sampling_rate=16000, return_tensors="pt").input_values
        with torch.inference_mode():
            expected = model.wav2vec2.feature_extractor(inputs)[0].T.numpy()
        kept = store.features(utterance.id)
        assert kept.dtype == np.float16 and kept.shape == expected.shape and len(kept) == len(store[utterance.id])
        np.testing.assert_allclose(kept, expected, atol=5e-3)
    accept_features(model)
    with torch.inference_mode():
        logits = model(torch.from_numpy(kept[None].astype(np.float32))).logits[0].numpy()
    np.testing.assert_allclose(logits, store[utterance.id], atol=0.05 * logits.std())


def test_features_are_read_only_where_they_are_stored_and_the_encoder_equals_the_teachers(tmp_path):
    folder = save_model(tmp_path / "models/teacher")
    model = AutoModelForCTC.from_pretrained(folder)
    logits_store.store_logits(Logits(speeds=[1.0]), folder, Speech(), tmp_path / "logits")
    assert not (tmp_path / "logits/features.bin").exists()
    with pytest.raises(BigfootError, match=r"students\.half\.distillation\.features: .*logits\.features"):
        student._check_feature_encoder("half", model, logits_store.LogitsStore(tmp_path / "logits"), folder)
    logits_store.store_logits(Logits(speeds=[1.0], features=True), folder, Speech(), tmp_path / "logits")
    student._check_feature_encoder("half", model, logits_store.LogitsStore(tmp_path / "logits"), folder)
    model.wav2vec2.feature_extractor.conv_layers[3].conv.weight.data[0, 0, 0] += 1e-6
    with pytest.raises(BigfootError, match=r"students\.half\.distillation\.features: conv_layers\.3\.conv\.weight"):
        student._check_feature_encoder("half", model, logits_store.LogitsStore(tmp_path / "logits"), folder)


@pytest.mark.parametrize(
    ("kernels", "strides"), [([10, 3, 3, 3, 3, 2, 2], [5, 2, 2, 2, 2, 2, 2]), ([20, 7, 5, 2], [10, 4, 4, 2])]
)
def test_fewest_samples_give_the_number_of_frames_and_one_sample_less_does_not(kernels, strides):
    model = Wav2Vec2ForCTC(Wav2Vec2Config(**SMALL, conv_kernel=kernels, conv_stride=strides, conv_dim=[8] * len(kernels)))
    for frames in (1, 2, 75):
        samples = fewest_samples(model.config, frames)
        assert int(model._get_feat_extract_output_lengths(samples)) == frames
        assert int(model._get_feat_extract_output_lengths(samples - 1)) == frames - 1


def test_student_audio_and_stored_logits_agree_at_every_speed(tmp_path):
    folder, speeds = save_model(tmp_path / "teacher"), [0.9, 1.0, 1.25]
    logits_store.store_logits(Logits(speeds=speeds), folder, Speech(), tmp_path / "logits")
    store, at_speeds = logits_store.LogitsStore(tmp_path / "logits"), logits_store.AtSpeeds(Speech(), speeds)
    assert store.speeds == speeds and len(store) == 3 * len(SECONDS)
    model = AutoModelForCTC.from_pretrained(folder)
    for utterance in at_speeds.utterances("train"):
        samples = at_speeds.audio(utterance)
        assert len(samples) / 16000 == pytest.approx(utterance.duration, abs=1e-3)
        assert len(store[utterance.id]) == int(model._get_feat_extract_output_lengths(len(samples)))
    ids = [u.id for u in at_speeds.utterances("train")]
    assert ids[0] == "u0@0.9" and "u0" in ids and "u3@1.25" in ids
    assert not np.allclose(store["u1@0.9"][:20], store["u1"][:20])


def test_an_unfinished_store_is_not_there(tmp_path, monkeypatch):
    folder = save_model(tmp_path / "teacher")
    monkeypatch.setattr(Speech, "audio", lambda self, utterance: speech(0.5) if utterance.id != "u2" else 1 / 0)
    with pytest.raises(ZeroDivisionError):
        logits_store.store_logits(Logits(speeds=[1.0]), folder, Speech(), tmp_path / "logits")
    with pytest.raises(BigfootError, match="index.json is missing"):
        logits_store.LogitsStore(tmp_path / "logits")


def test_a_store_of_another_version_is_refused(tmp_path):
    (tmp_path / "index.json").write_text(json.dumps({"version": 0}))
    with pytest.raises(BigfootError, match="has version 0"):
        logits_store.LogitsStore(tmp_path)
