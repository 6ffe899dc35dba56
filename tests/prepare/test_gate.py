"""The split gate: a source's own, or half of dev, cut so that no speaker, else no recording, is on both sides."""

import shutil
from pathlib import Path

import pytest

from pipeline.common.errors import BigfootError
from pipeline.speech.corpus import open_corpus
from tests import recordings
from tests.recordings import lines, prepare

SPEAKERS = 8
CUT = "The source has no split gate: half of dev became gate, cut by {}."


def cut(folder: Path, rows: list[dict]) -> tuple[dict[str, list], str]:
    """dev and gate of a corpus with these rows in its dev, and what its notes say of them; `seconds` of each row, else 0.5."""
    data = recordings.folder(folder / "data")
    for row in rows:
        recordings.sound(data / row["audio"], row.pop("seconds", 0.5), seed=int(Path(row["audio"]).stem))
    lines(data / "dev.jsonl", rows)
    (note,) = prepare(recordings.corpus(data), folder / "tiny", workers=0)["notes"]
    corpus = open_corpus(folder / "tiny")
    return {split: list(corpus.utterances(split)) for split in ("dev", "gate")}, note


def said(number: int, **columns: object) -> dict:
    return {"audio": f"audio/{number}.wav", "text": "abc", **columns}


def by_speaker() -> list[dict]:
    """Three utterances each of eight speakers, of 1.2 to 2.1 s together."""
    return [
        said(1000 + 10 * who + n, speaker=f"s{who}", seconds=0.4 + 0.1 * (who % 4)) for n in range(3) for who in range(SPEAKERS)
    ]


def test_a_speaker_is_on_one_side_and_each_side_has_about_half_of_the_audio(tmp_path):
    halves, note = cut(tmp_path, by_speaker())
    assert note == CUT.format("speaker")
    speakers = {split: {utterance.speaker for utterance in its} for split, its in halves.items()}
    assert not speakers["dev"] & speakers["gate"] and len(speakers["dev"] | speakers["gate"]) == SPEAKERS
    seconds = [sum(utterance.duration for utterance in its) for its in halves.values()]
    assert sum(seconds) == pytest.approx(13.2) and min(seconds) > 0.35 * sum(seconds)


def test_the_cut_does_not_follow_the_order_of_rows_and_one_more_utterance_moves_no_other(tmp_path):
    before, _ = cut(tmp_path / "a", by_speaker())
    turned, _ = cut(tmp_path / "b", by_speaker()[::-1])
    more, _ = cut(tmp_path / "c", [*by_speaker(), said(2000, speaker="s3", seconds=0.3)])
    for split in before:
        names = {utterance.id for utterance in before[split]}
        assert names == {utterance.id for utterance in turned[split]}
        assert names == {utterance.id for utterance in more[split]} - {"2000"}


@pytest.mark.parametrize("speaker", ["", "ann"])
def test_without_two_speakers_it_is_cut_by_recording(tmp_path, speaker):
    rows = [said(1000 + n, speaker=speaker, recording=f"call{n % 4}") for n in range(12)]
    halves, note = cut(tmp_path, rows)
    assert note == CUT.format("recording")
    calls = [{utterance.recording for utterance in its} for its in halves.values()]
    assert not calls[0] & calls[1] and [len(its) for its in halves.values()] == [6, 6]


@pytest.mark.parametrize("known", [{}, {"speaker": "ann"}, {"recording": "call"}, {"speaker": "ann", "recording": "call"}])
def test_without_two_recordings_it_is_cut_by_utterance(tmp_path, known):
    halves, note = cut(tmp_path, [said(1000 + n, **known) for n in range(4)])
    assert note == CUT.format("utterance") and [len(its) for its in halves.values()] == [2, 2]


def test_one_that_is_dropped_is_no_reason_to_cut(tmp_path):
    """Ben has nothing that is kept, so Ann's utterances are cut, and there is something on each side."""
    rows = [said(1000 + n, speaker="ann") for n in range(4)] + [said(2000, speaker="ben", seconds=0.1)]
    halves, note = cut(tmp_path, rows)
    assert note == CUT.format("utterance") and [len(its) for its in halves.values()] == [2, 2]


def test_a_dev_of_one_utterance_is_refused_and_one_without_any_says_why(tmp_path):
    with pytest.raises(BigfootError, match="dev has a single utterance.*add speech to dev, or name a split gate") as refused:
        cut(tmp_path, [said(1000)])
    assert "\n" not in str(refused.value)
    with pytest.raises(BigfootError, match=r"all 2 utterances of dev are dropped \(2 too_short\)"):
        cut(tmp_path, [said(1000 + n, seconds=0.1) for n in range(2)])


def test_a_gate_that_a_folder_names_is_taken_as_it_is_and_dev_stays_whole(tmp_path):
    data = recordings.folder(tmp_path / "data")
    recordings.sound(data / "audio/judge.wav", seed=500)
    lines(data / "judge.jsonl", [{"audio": "audio/judge.wav", "text": "cab"}])
    info = prepare(recordings.corpus(data, {"kind": "folder", "gate": "judge.jsonl"}), tmp_path / "tiny", workers=0)
    assert info["notes"] == [] and list(info["splits"]) == ["train", "dev", "gate", "test"]
    corpus = open_corpus(tmp_path / "tiny")
    names = [[utterance.id for utterance in corpus.utterances(split)] for split in ("dev", "gate")]
    assert names == [["dev100", "dev101"], ["judge"]] and corpus.test_sets == ["test"]
    shutil.copy(data / "audio/dev100.wav", data / "audio/judge.wav")
    with pytest.raises(BigfootError, match="^dev/dev100: the same audio as gate/judge"):
        prepare(recordings.corpus(data, {"kind": "folder", "gate": "judge.jsonl"}), tmp_path / "tiny", workers=0)


def test_a_column_may_name_the_rows_of_gate(tmp_path):
    rows = [{"audio": f"{n}.wav", "text": "abc", "split": name} for n, name in enumerate(["train", "dev", "judge", "test"])]
    for n in range(4):
        recordings.sound(tmp_path / f"data/{n}.wav", seed=n)
    lines(tmp_path / "data/all.jsonl", rows)
    source = {"kind": "folder", "manifest": "all.jsonl", "gate": "judge"}
    info = prepare(recordings.corpus(tmp_path / "data", source), tmp_path / "tiny", workers=0)
    assert info["notes"] == [] and [u.id for u in open_corpus(tmp_path / "tiny").utterances("gate")] == ["2"]
