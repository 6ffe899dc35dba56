"""Promises of pipeline/prepare/synthetic.py."""

import numpy as np
import pytest

from pipeline.common.errors import BigfootError
from pipeline.params import SyntheticSource
from pipeline.prepare import synthetic
from tests import recordings
from tests.recordings import prepare

pytest.importorskip("espeakng_loader")
SMALL = {"kind": "synthetic", "seed": 7, "train_utterances": 30, "dev_utterances": 6, "test_utterances": 8}
SOURCE = SyntheticSource(**SMALL)


def test_voices_and_sentences_of_dev_and_test_never_occur_in_train():
    raws = synthetic.read(SyntheticSource(kind="synthetic", seed=3))
    for what in (lambda raw: raw.text, lambda raw: raw.speaker):
        train, dev, test = ({what(raw) for raw in raws if raw.split == split} for split in ("train", "dev", "test"))
        assert not train & (dev | test) and not dev & test
    assert len({raw.speaker for raw in raws if raw.split == "train"}) == len(synthetic.VOICES["train"])


def test_every_voice_speaks_and_speaks_the_same_whatever_was_spoken_before():
    voices = [voice for names in synthetic.VOICES.values() for voice in names]
    assert len(voices) == len(set(voices))
    first = {voice: synthetic._spoken("nine two", synthetic._description(voice), rate=160, pitch=50) for voice in voices}
    again = {
        voice: synthetic._spoken("nine two", synthetic._description(voice), rate=160, pitch=50) for voice in reversed(voices)
    }
    assert all(np.array_equal(first[voice], again[voice]) for voice in voices)
    assert all(0.3 < samples.size / 16_000 < 3 and np.abs(samples).max() > 0.02 for samples in first.values())
    assert len({samples.tobytes() for samples in first.values()}) == len(voices)


def test_train_is_spoken_by_variations_too_and_dev_and_test_by_the_bare_voices():
    bare = synthetic._description("Alicia")
    rng = np.random.default_rng(1)
    varied = {synthetic._variation(bare, rng) for _ in range(5)}
    assert len(varied | {bare}) == 6
    spoken = [synthetic._spoken("nine two", voice, rate=160, pitch=50) for voice in varied]
    assert len({samples.size for samples in spoken}) == 1 and len({samples.tobytes() for samples in spoken}) == 5
    assert all(np.abs(samples).max() > 0.02 for samples in spoken)
    assert {raw.split for raw in synthetic.read(SOURCE) if raw.audio.varied} == {"train"}


def test_an_unknown_voice_is_one_clear_error():
    with pytest.raises(BigfootError, match=r"no voice en-us\+no-such"):
        synthetic._description("no-such")


def test_the_corpus_is_the_same_bytes_when_made_twice(tmp_path):
    for name, workers in (("a", 2), ("b", 0)):
        prepare(recordings.corpus("none", SMALL), tmp_path / name, workers=workers)
    made = [{p.relative_to(tmp_path / n): p.read_bytes() for p in (tmp_path / n).rglob("*.*")} for n in ("a", "b")]
    assert made[0] == made[1] and len(made[0]) == 14


def test_another_seed_makes_another_corpus():
    other = synthetic.read(SyntheticSource(**{**SMALL, "seed": 8}))
    assert [raw.text for raw in other] != [raw.text for raw in synthetic.read(SOURCE)]


def test_levels_and_noise_vary_and_nothing_clips():
    spoken = [raw.audio.make() for raw in synthetic.read(SOURCE)[:20]]
    peaks = 20 * np.log10([np.abs(samples).max() for samples in spoken])
    floors = 20 * np.log10([np.sqrt(np.mean(samples[:160] ** 2)) / np.abs(samples).max() for samples in spoken])
    assert peaks.max() <= -2.9 and peaks.min() >= -20.1 and np.ptp(peaks) > 8
    assert np.ptp(floors) > 10


def test_it_is_called_synthetic_wherever_its_corpus_is_described(tmp_path):
    info = prepare(recordings.corpus("none", SMALL), tmp_path / "a", workers=0)
    assert info["synthetic"] is True and info["about"].startswith("SYNTHETIC")
    assert "synthetic speech" in (tmp_path / "a" / "report" / "data.md").read_text()
    assert set(info["leaks"]["shared_sentence"].values()) == set(info["leaks"]["shared_speaker"].values()) == {0}


def test_without_espeak_the_extra_is_named(monkeypatch):
    monkeypatch.setattr(synthetic, "find_spec", lambda name: None)
    with pytest.raises(BigfootError, match=r"\[synthetic\]"):
        synthetic.read(SOURCE)
