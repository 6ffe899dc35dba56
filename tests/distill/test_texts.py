"""Texts that don't fit into a slower student's frames are counted, in `bigfoot check` and at the start of its training."""

import numpy as np
import pytest

from pipeline.distill import texts
from pipeline.project import load_params
from pipeline.speech import audio
from pipeline.speech.shards import Utterance
from tests import corpora, tones

HALF_SECOND = np.random.default_rng(1).normal(0, 0.1, 8_000).astype(np.float32)  # 24 frames at 50 per second, 12 at 25
NOTE = "half: {} of 26 texts of train have more characters than their audio has frames{}, 25 per second: CTC leaves them out, "
TEACHES, NOTHING = "the teacher's outputs still teach their audio", "they teach nothing"


def project(folder, change=lambda half: None, speeds=(1.0,), rate=25, also=lambda chosen: None):
    """Params of one student with `rate` frames per second, and a corpus with two dense texts, of 12 and of 13 characters."""

    def edit(chosen: dict) -> None:
        half = chosen["students"]["half"] | {"frame_rate": rate, "distillation": {}}
        change(half)
        chosen["students"], chosen["logits"]["speeds"] = {"half": half}, list(speeds)
        also(chosen)
        chosen["variants"] = {"teacher-fp32": {"model": "teacher", "scheme": "fp32"}}

    def dense(splits: dict) -> None:
        for text in ("one two nine", "one one  nine"):  # two gaps need a blank between them
            splits["train"].append((Utterance(text[4], text, "tone", 0.5), audio.flac(HALF_SECOND)))

    tones.project(folder, steps=20, change=edit)
    corpora.rewrite(folder / "corpora/tones", dense)
    return folder


def lines(folder) -> list[str]:
    return list(texts.lines(load_params(folder / "params.yaml"), folder, folder / "corpora/tones"))


@pytest.mark.parametrize(
    ("learns", "speeds", "expected"),
    [
        ({}, [1.0, 0.9], [NOTE.format(1, "") + TEACHES]),
        ({}, [1.0, 1.1], [NOTE.format(2, ", where it is played 1.1 times as fast") + TEACHES]),
        ({"kl_weight": 0}, [1.0, 1.1], [NOTE.format(1, "") + NOTHING]),  # without the store there are no other speeds
        ({"ctc_weight": 0}, [1.0], []),
    ],
)
def test_check_says_how_many_texts_lack_a_frame_and_what_becomes_of_them(tmp_path, learns, speeds, expected):
    assert lines(project(tmp_path, lambda half: half["distillation"].update(learns), speeds)) == expected


def test_of_a_teacher_too_since_labels_alone_teach_it(tmp_path):
    def faster(chosen: dict) -> None:
        chosen["teacher"]["training"]["augment"] = {"speed": [1.0, 2.0]}

    (line,) = [line for line in lines(project(tmp_path, also=faster)) if line.startswith("teacher")]
    played = "1 of 26 texts of train have more characters than their audio has frames, where it is played 2 times as fast"
    assert line == f"teacher: {played}, 50 per second: CTC leaves them out, {NOTHING}"


def test_all_fit_at_the_teachers_rate_and_nothing_is_said_before_prepare_has_run(tmp_path):
    assert lines(project(tmp_path / "fast", rate=None)) == []
    slow = project(tmp_path / "slow")
    (slow / "corpora/tones").rename(slow / "corpora/others")
    assert lines(slow) == []
