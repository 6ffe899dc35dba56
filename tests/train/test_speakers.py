"""Utterances of one speaker are joined only where a corpus names speakers, which is known before anything is trained."""

from dataclasses import replace

import pytest

from pipeline.common.errors import BigfootError
from pipeline.project import load_params
from pipeline.train import speakers
from tests import corpora, tones


def joined(chosen: dict) -> None:
    chosen["students"]["half"]["training"]["augment"] = {"join": 3}


def nameless(splits: dict) -> None:
    for rows in splits.values():
        rows[:] = [(replace(utterance, speaker=""), sound) for utterance, sound in rows]


def test_a_student_that_joins_utterances_of_a_corpus_without_speakers_is_refused_before_the_teacher_is_trained(tmp_path):
    folder = tones.project(tmp_path, steps=20, change=joined)
    params, corpus = load_params(folder / "params.yaml"), folder / "corpora/tones"
    speakers.check(params, corpus)
    speakers.check(params, folder / "corpora/yet_to_be_prepared")
    corpora.rewrite(corpus, nameless)
    with pytest.raises(BigfootError, match="half: training.augment.join joins utterances of one speaker, but the corpus names"):
        speakers.check(params, corpus)


def test_a_training_refuses_it_too(tmp_path):
    def teacher_joins(chosen: dict) -> None:
        chosen["teacher"]["training"]["augment"] = {"join": 3}

    folder = tones.project(tmp_path, steps=20, change=teacher_joins)
    corpora.rewrite(folder / "corpora/tones", nameless)
    with pytest.raises(BigfootError, match="teacher: training.augment.join"):
        tones.run(folder, "teacher")
