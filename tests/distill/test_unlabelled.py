"""Audio without text teaches by the teacher's logits, and by its own text where it is confident."""

import logging
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from pipeline.common.errors import BigfootError
from pipeline.distill.logits.speeds import AtSpeeds
from pipeline.distill.logits.store import LogitsStore
from pipeline.distill.loss import Imitation
from pipeline.distill.pseudo_labels import greedy_labels, pseudo_labels
from pipeline.models.vocabulary import Vocabulary
from pipeline.params import Distillation
from pipeline.speech.corpus import open_corpus
from pipeline.train.batches import Batches, Mixed
from tests import corpora, tones
from tests.distill.surgery.parents import parent
from tests.distill.test_loss import batch

VOCABULARY = Vocabulary(("", "", " ", "a", "b"), 0)


def logits_of(path: list[int], probability: float) -> np.ndarray:
    """Logits of frames whose likeliest token has this probability."""
    rows = np.full((len(path), 5), np.log((1 - probability) / 4), dtype=np.float16)
    rows[np.arange(len(path)), path] = np.log(probability)
    return rows


def test_the_teachers_text_is_its_greedy_path_with_the_mean_probability_of_its_tokens():
    labels, confidence = greedy_labels(logits_of([0, 3, 3, 0, 3, 1, 2, 4, 0], 0.8), VOCABULARY)
    assert labels == [3, 3, 2, 4] and confidence == pytest.approx(0.8, abs=1e-3)
    assert greedy_labels(logits_of([0, 0, 1], 0.9), VOCABULARY) == ([], 0.0)


def test_only_a_confident_teacher_gives_labels():
    store = {"sure": logits_of([3, 0, 4], 0.95), "unsure": logits_of([3, 0, 4], 0.6)}
    labels = pseudo_labels(store.get, VOCABULARY, least_confidence=0.9)
    assert labels("sure") == [3, 4] and labels("unsure") == []


def test_a_share_of_the_batches_is_of_the_second_stream_and_the_seed_says_which():
    def mixed(share: float) -> list:
        return list(Mixed(Batches([1.0] * 8, 2.0, 1000, 3), Batches([1.0] * 50, 2.0, 1000, 3), share, offset=8))

    batches = mixed(0.8)
    assert batches == mixed(0.8) and len(batches) == 1000
    kinds = [{row >= 8 for _, rows in batch for row in rows} for batch in batches]
    assert all(len(kind) == 1 for kind in kinds) and 760 < sum(kind == {True} for kind in kinds) < 840
    assert {row for batch in batches for _, rows in batch for row in rows} == set(range(58))
    assert mixed(0.0) == list(Batches([1.0] * 8, 2.0, 1000, 3))


def test_utterances_without_labels_count_in_kl_and_not_in_ctc():
    student, both = parent(), batch()
    both["teacher_logits"] = torch.randn(2, int(both["frames"].max()), student.config.vocab_size)
    silent = both | {"label_lengths": torch.tensor([3, 0])}
    alone = {key: value[:1] for key, value in both.items()}
    ctc = Imitation(Distillation(kl_weight=0.0, ctc_weight=1.0, teacher="stored"), blank=0)
    assert ctc(student, silent, 0.0).item() == pytest.approx(ctc(student, alone, 0.0).item(), rel=1e-4)
    kl = Imitation(Distillation(kl_weight=1.0, ctc_weight=0.0, teacher="stored"), blank=0)
    assert torch.equal(kl(student, silent, 0.0), kl(student, both, 0.0))
    nothing = both | {"label_lengths": torch.tensor([0, 0])}
    ctc(student, nothing, 0.0).backward()  # a batch that teaches nothing is no error


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A project in which half of the training utterances have no text, with a trained teacher and its logits."""

    def change(chosen: dict) -> None:
        run = chosen["students"]["half"]["training"]
        chosen["corpus"]["source"] = {"kind": "folder", "unlabelled": "calls.jsonl"}
        distillation = {"unlabelled": 0.5, "pseudo_labels": 0.0}
        chosen["students"]["more"] = {"from": "teacher", "layers": 2, "training": run, "distillation": distillation}

    folder = tones.project(tmp_path_factory.mktemp("unlabelled") / "project", steps=20, change=change)
    corpus = folder / "corpora/tones"

    def halve(splits: dict) -> None:
        splits["unlabelled"] = [(replace(utterance, text=""), flac) for utterance, flac in splits["train"][1::2]]
        splits["train"] = splits["train"][::2]

    corpora.rewrite(corpus, halve)
    tones.run(folder, "teacher")
    tones.run(folder, "teacher_logits")
    return folder


def test_logits_are_stored_for_audio_without_text_at_every_speed(folder):
    corpus = open_corpus(folder / "corpora/tones")
    store = LogitsStore(folder / "logits/teacher", corpus)
    utterances = AtSpeeds(corpus, store.speeds).utterances("unlabelled")
    assert [utterance.id for utterance in utterances[:1]] == ["train1"] and utterances[-1].id == "train23@0.9"
    frames = [len(store.logits(utterance)) for utterance in utterances]
    assert frames == [39] * 12 + [44] * 12


def test_a_student_learns_from_both_and_says_how_much(folder, caplog):
    with caplog.at_level(logging.INFO):
        tones.run(folder, "student", "more")
    assert "more: 0.00 h with text, 0.00 h without in 50% of the batches" in caplog.text
    assert re.search(r"confident of the text of \d+ of 24 utterances without, each at 2 speeds", caplog.text)
    losses = [row["loss"] for row in tones.curve(folder, "more") if "loss" in row]
    assert losses and all(np.isfinite(losses))


def test_a_student_that_wants_audio_without_text_of_a_corpus_that_has_none_is_one_line(tmp_path):
    def change(chosen: dict) -> None:
        chosen["corpus"]["source"] = {"kind": "folder", "unlabelled": "calls.jsonl"}
        chosen["students"]["half"]["distillation"] |= {"unlabelled": 0.5, "teacher": "online"}

    bare = tones.project(tmp_path / "project", steps=20, change=change)
    tones.run(bare, "teacher")
    with pytest.raises(BigfootError, match="students.half.distillation.unlabelled: the corpus has no split unlabelled"):
        tones.run(bare, "student", "half")
