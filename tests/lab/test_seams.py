"""What windows change is counted where it is: nothing without context, near a seam what a window's edge changes."""

import numpy as np
import pytest

from pipeline.lab import seams
from pipeline.recognition.recognizer import Recognizer
from pipeline.speech.corpus import open_corpus
from tests.recognition.test_recognizer import INFO, local_frames
from tests.tiny import noise_corpus, speech

RECORDINGS = [([speech(70.0, seed=seed)], ["a b"]) for seed in (1, 2)]


def edges_differ(waveforms: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """Local, but for 2.5 s at both ends of what is passed in together, since attention has less context there."""
    logits = local_frames(waveforms).copy()
    logits[:, :125] = logits[:, -125:] = np.eye(4)[2]
    return logits


def statistics_differ(waveforms: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """Every frame depends on how much is passed in together, as with group norm."""
    logits = local_frames(waveforms).copy()
    logits[..., waveforms.shape[1] % 3] += 100
    return logits


def test_a_model_without_context_gives_the_same_text_in_windows():
    found = seams.compared(Recognizer(INFO, local_frames), RECORDINGS)
    assert found["seams"] == 4 and found["seconds"] == 140 and found["words"] == 4
    assert found["words_that_differ"] == found["frames_that_differ_within_2_s_of_a_seam"] == 0
    assert found["frames_that_differ_elsewhere"] == 0


@pytest.mark.parametrize(("run", "elsewhere"), [(edges_differ, False), (statistics_differ, True)])
def test_what_differs_is_counted_near_seams_and_away_from_them(run, elsewhere):
    found = seams.compared(Recognizer(INFO, run), RECORDINGS)
    assert found["frames_that_differ_within_2_s_of_a_seam"] > 50
    assert (found["frames_that_differ_elsewhere"] > 50) == elsewhere


def test_a_recording_is_a_minute_of_one_speaker_at_one_level(tmp_path):
    corpus = noise_corpus(tmp_path / "noise", "one two")
    utterances = corpus.utterances(corpus.test_sets[0])
    made = seams.joined(open_corpus(tmp_path / "noise"))
    assert len(made) == len({utterance.speaker for utterance in utterances})
    for pieces, texts in made:
        assert len(pieces) == len(texts) and 60 <= sum(map(len, pieces)) / 16_000 < 70
        assert [piece.std() for piece in pieces] == pytest.approx([seams.LOUD] * len(pieces), rel=1e-3)
