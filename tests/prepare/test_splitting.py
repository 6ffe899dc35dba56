"""Promises of pipeline/prepare/splitting.py: no speaker in two splits, and no speaker moves when others come."""

from pathlib import Path

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from pipeline.common.errors import BigfootError
from pipeline.params import Shares
from pipeline.prepare.raw import Raw
from pipeline.prepare.splitting import draw
from tests import recordings
from tests.recordings import lines, prepare


def utterance(number: int, speaker: str = "", recording: str = "") -> Raw:
    return Raw(f"u{number}", "", Path("a.wav"), "", speaker, recording=recording)


def splits(raws, shares) -> dict[str, str]:
    return {raw.id: raw.split for raw in draw(raws, shares)[0]}


@given(speakers=st.lists(st.text(max_size=3), min_size=30, max_size=60), seed=st.integers(0, 99))
def test_the_utterances_of_a_speaker_stay_together_whoever_joins(speakers, seed):
    raws = [utterance(number, speaker) for number, speaker in enumerate(speakers)]
    shares = Shares(dev=0.3, test=0.3, seed=seed)
    try:
        drawn = splits(raws, shares)
    except BigfootError:
        assume(False)
    assert len(drawn) == len(raws)
    of = [{drawn[raw.id] for raw in raws if raw.speaker == speaker} for speaker in set(speakers) - {""}]
    assert all(len(its) == 1 for its in of)
    more = splits([*raws, utterance(100, "somebody new"), utterance(101)], shares)
    assert {name: more[name] for name in drawn} == drawn


def test_shares_are_about_those_that_were_asked_for_and_another_seed_draws_others():
    raws = [utterance(number, f"speaker{number}") for number in range(3_000)]
    drawn = splits(raws, Shares(dev=0.1, test=0.2))
    counts = [list(drawn.values()).count(split) for split in ("train", "dev", "test")]
    assert counts == pytest.approx([2_100, 300, 600], rel=0.15)
    assert splits(raws, Shares(dev=0.1, test=0.2, seed=8)) != drawn


def test_unknown_speakers_are_drawn_by_recording_and_else_one_by_one_and_the_note_says_so():
    raws = [utterance(n, f"s{n % 20}" if n < 100 else "", f"call{n % 30}" if n < 200 else "") for n in range(300)]
    drawn, note = draw(raws, Shares(dev=0.2, test=0.2, seed=1))
    assert [raw.split for raw in drawn] == sorted((raw.split for raw in drawn), key=("train", "dev", "test").index)
    calls = {raw.recording: {r.split for r in drawn if not r.speaker and r.recording == raw.recording} for raw in raws[100:200]}
    assert all(len(its) == 1 for its in calls.values())
    assert note.startswith(
        "Splits drawn by speaker or, where it is unknown, by recording or, where it is unknown, by utterance"
    )


def test_the_note_counts_what_was_drawn():
    raws = [utterance(number, f"s{number % 10}") for number in range(40)]
    drawn, note = draw(raws, Shares(dev=0.2, test=0.2, seed=3))
    for split in ("train", "dev", "test"):
        mine = [raw for raw in drawn if raw.split == split]
        count = len({raw.speaker for raw in mine})
        assert f"{split} {count} speaker{'s' * (count > 1)} with {len(mine)} utterances" in note and mine


def test_a_split_that_stays_empty_is_refused_with_a_seed_that_fills_it():
    raws = [utterance(number, f"s{number % 4}") for number in range(40)]
    refused = 0
    for seed in range(10):
        try:
            draw(raws, Shares(seed=seed))
        except BigfootError as error:
            refused += 1
            assert "empty (4 speakers in all): corpus.source.split.seed: " in str(error)
            better = int(str(error).split("split.seed: ")[1].split()[0])
            assert {raw.split for raw in draw(raws, Shares(seed=better))[0]} == {"train", "dev", "test"}
    assert refused
    for count in (1, 2):
        with pytest.raises(BigfootError, match=f"can't fill train, dev and test from {count} speaker.*name a table of each"):
            draw(raws[:count], Shares())


@pytest.mark.accepts("Tables and splits", "a table without splits", "drawn by speaker, seeded, and said")
def test_a_table_without_splits_becomes_a_corpus_that_says_how(tmp_path):
    rows = []
    for n in range(24):
        recordings.sound(tmp_path / f"data/{n}.wav", seed=n)
        rows.append({"audio": f"{n}.wav", "text": "ab", "speaker": f"s{n % 12}"})
    lines(tmp_path / "data/all.jsonl", rows)
    source = {"kind": "folder", "manifest": "all.jsonl", "split": {"dev": 0.25, "test": 0.25, "seed": 2}}
    info = prepare(recordings.corpus(tmp_path / "data", source), tmp_path / "tiny", workers=0)
    assert info["notes"][0].startswith("Splits drawn by speaker (seed 2): train ") and list(info["splits"])[0] == "train"
    assert set(info["leaks"]["shared_speaker"].values()) == {0}
    assert info["notes"][0] in (tmp_path / "tiny/report/data.md").read_text()
