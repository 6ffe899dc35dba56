"""What training is fed: the order of batches and the augmentation are fixed by the seed."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline import params
from pipeline.train import trainer


@given(
    st.lists(st.floats(0.1, 10.0), min_size=1, max_size=40),
    st.floats(0.5, 30.0),
    st.integers(1, 60),
    st.integers(0, 5),
)
@settings(max_examples=60)
def test_batches_fit_their_seconds_and_an_epoch_has_every_utterance_once(durations, seconds, count, seed):
    batches = list(trainer.Batches(durations, seconds, count, seed))
    assert batches == list(trainer.Batches(durations, seconds, count, seed))
    assert len(batches) == count
    for batch in batches:
        longest = np.ceil(max(durations[i] for _, i in batch) / 0.5) * 0.5  # batches are padded to half seconds
        assert len(batch) == 1 or longest * len(batch) <= seconds + 1e-9
    epochs = {epoch for batch in batches for epoch, _ in batch}
    for epoch in epochs - {max(epochs)}:  # the last one may be cut off
        used = sorted(i for batch in batches for e, i in batch if e == epoch)
        assert used == list(range(len(durations)))


def test_augmentation_is_fixed_by_its_seed_and_noise_has_the_level_asked_for():
    wave = np.sin(np.arange(16000) / 9).astype(np.float32)
    noisy = params.Augment(noise_probability=1.0, noise_snr_db=(20.0, 20.0))
    out = trainer.augment(wave, noisy, np.random.default_rng(1))
    assert np.array_equal(out, trainer.augment(wave, noisy, np.random.default_rng(1)))
    snr = 10 * np.log10((wave**2).sum() / ((out - wave) ** 2).sum())
    assert snr == pytest.approx(20, abs=0.1)
    faster = trainer.augment(wave, params.Augment(speed=(1.25, 1.25)), np.random.default_rng(1))
    assert len(faster) == pytest.approx(16000 / 1.25, abs=2)
