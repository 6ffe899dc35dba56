"""What a model is fed: augmentation is fixed by its seed; joined utterances keep their frames, texts and logits."""

import numpy as np
import pytest
from accelerate.state import AcceleratorState

from pipeline import params
from pipeline.train.examples import PAUSE_LEVEL, augment, joined, joined_logits
from tests import tones

STRIDE = 320


def test_augmentation_is_fixed_by_its_seed_and_noise_has_the_level_asked_for():
    wave = np.sin(np.arange(16000) / 9).astype(np.float32)
    noisy = params.Augment(noise_probability=1.0, noise_snr_db=(20.0, 20.0))
    out = augment(wave, noisy, np.random.default_rng(1))
    assert np.array_equal(out, augment(wave, noisy, np.random.default_rng(1)))
    snr = 10 * np.log10((wave**2).sum() / ((out - wave) ** 2).sum())
    assert snr == pytest.approx(20, abs=0.1)
    faster = augment(wave, params.Augment(speed=(1.25, 1.25)), np.random.default_rng(1))
    assert len(faster) == pytest.approx(16000 / 1.25, abs=2)


def test_a_mask_of_specaugment_that_is_longer_than_the_recordings_fits_into_the_batch(tmp_path):
    """transformers refuses it otherwise, in whatever step the first short batch comes."""

    def mask_long(chosen: dict) -> None:
        chosen["teacher"]["config"]["mask_time_length"] = 60  # frames; the recordings have 39, in batches of 49

    folder = tones.project(tmp_path, steps=30, change=mask_long)
    tones.run(folder, "teacher")
    assert tones.metrics(folder)["steps"] == 30


def test_params_decide_the_precision_not_accelerates_configuration(tmp_path, monkeypatch):
    monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", "bf16")  # as its launcher sets it
    tones.run(tones.project(tmp_path, steps=30), "teacher")
    assert AcceleratorState().mixed_precision == "no"


def test_joined_utterances_start_at_whole_frames_with_faint_noise_between():
    waves = [np.full(length, level, np.float32) for length, level in ((5_000, 0.1), (7_777, 0.2), (400, 0.3))]
    out, starts = joined(waves, STRIDE, np.random.default_rng(1))
    assert len(out) == starts[-1] + 400 and not any(start % STRIDE for start in starts)
    rest = np.ones(len(out), bool)
    for wave, start in zip(waves, starts, strict=True):
        assert np.array_equal(out[start : start + len(wave)], wave)
        rest[start : start + len(wave)] = False
    assert out[rest].std() == pytest.approx(PAUSE_LEVEL, rel=0.1)
    gaps = np.diff(starts) - [5_000, 7_777]
    assert (gaps >= 0.1 * 16_000).all() and (gaps <= 0.5 * 16_000 + STRIDE).all()


def test_one_utterance_is_left_as_it_is():
    wave, logits = np.ones(1_000, np.float32), np.ones((2, 5), np.float32)
    out, starts = joined([wave], STRIDE, np.random.default_rng(1))
    assert out is wave and starts == [0]
    assert joined_logits([logits], [0], 0) is logits


def test_a_pause_gets_the_frame_most_certain_to_be_blank():
    sure, unsure, letter = [9.0, 0.0, 0.0], [1.0, 0.0, 0.0], [0.0, 9.0, 9.0]
    out = joined_logits([np.array([letter, unsure]), np.array([sure, letter, letter])], [0, 4], blank=0)
    assert out.tolist() == [letter, unsure, sure, sure, sure, letter, letter]
