"""Every check finds its fault in a corpus that is otherwise good, and params decide what follows."""

import json
import re

import numpy as np
import pytest
import soundfile

from pipeline.common.errors import BigfootError
from pipeline.params import Checks
from pipeline.prepare.checks import Examined, Finding, frames, severity
from pipeline.speech.corpus import open_corpus
from tests import recordings
from tests.recordings import change, lines, prepare, tone


def _write(data, samples, subtype="PCM_16"):
    soundfile.write(data / "audio" / "train1.wav", samples, 16_000, subtype=subtype)


def _cut(data):
    path = data / "audio" / "train1.wav"
    path.write_bytes(path.read_bytes()[:8_000])


def _with_nan():
    samples = tone()
    samples[100] = np.nan
    return samples


def _text(words):
    return lambda data: change(data / "train.jsonl", 1, text=words)


def _same_audio(split, number):
    return lambda data: _copy(data / "audio" / f"{split}{number}.wav", data / "audio" / "train1.wav")


def _copy(source, target):
    target.write_bytes(source.read_bytes())


def _same_recording(data):
    """A second utterance of train and one of test that are parts of one file."""
    for table, at, offset in (("train", 1, 0.0), ("test", 1, 0.5)):
        change(data / f"{table}.jsonl", at, audio="audio/long.wav", offset=offset, duration=0.5, id=f"{table}{at}", text="a")
    soundfile.write(data / "audio/long.wav", tone(1.0, seed=99), 16_000)


FAULTS = {
    "missing": lambda data: (data / "audio" / "train1.wav").unlink(),
    "empty": lambda data: (data / "audio" / "train1.wav").write_bytes(b""),
    "unreadable": lambda data: (data / "audio" / "train1.wav").write_bytes(b"not audio at all" * 20),
    "truncated": _cut,
    "out_of_range": lambda data: _write(data, tone() * 4, "FLOAT"),
    "opposite_phase": lambda data: _write(data, np.stack([tone(seed=70), -tone(seed=70)], axis=1)),
    "nan": lambda data: _write(data, _with_nan(), "FLOAT"),
    "silent": lambda data: _write(data, tone() * 0.001),
    "clipped": lambda data: _write(data, np.clip(tone() * 10, -1, 1)),
    "too_short": lambda data: _write(data, tone(0.2)),
    "too_long": lambda data: _write(data, tone(3.1)),
    "no_text": _text("?!"),
    "unspellable": _text("ab $"),
    "text_too_long": _text("ab" * 20),
    "duplicate_audio": _same_audio("train", 0),
    "shared_audio": _same_audio("test", 200),
    "shared_sentence": lambda data: change(data / "train.jsonl", 1, text="ABBA"),
    "shared_speaker": lambda data: change(data / "train.jsonl", 1, speaker="dev100"),
    "shared_recording": lambda data: _same_recording(data),
}
LIMITS = {"max_seconds": 3.0}


def _prepare(tmp_path, fault, severity):
    data = recordings.folder(tmp_path / "data", each=3)
    change(data / "test.jsonl", 0, text="abba")
    FAULTS[fault](data)
    corpus = recordings.corpus(data, checks={fault: severity}, limits=LIMITS)
    return prepare(corpus, tmp_path / "tiny", workers=0)


def _audio(tmp_path, name: str) -> np.ndarray:
    corpus = open_corpus(tmp_path / "tiny")
    return corpus.audio(next(u for u in corpus.utterances("train") if u.id == name))


def _report(tmp_path):
    """data.md, without the spaces that line up the columns of its tables."""
    return re.sub(" +", " ", (tmp_path / "tiny" / "report" / "data.md").read_text())


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_found_dropped_and_explained(tmp_path, fault):
    info = _prepare(tmp_path, fault, "drop")
    dropped = [json.loads(line) for line in (tmp_path / "tiny" / "report/dropped.jsonl").read_text().splitlines()]
    assert [(row["id"], row["split"], row["check"]) for row in dropped] == [("train1", "train", fault)]
    assert dropped[0]["why"] and info["dropped"] == 1 and info["splits"]["train"]["utterances"] == 2
    assert "train1" not in [u.id for u in open_corpus(tmp_path / "tiny").utterances("train")]
    assert f"| train | train1 | {fault} |" in _report(tmp_path)


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_can_stop_the_stage_and_leaves_no_half_corpus(tmp_path, fault):
    with pytest.raises(BigfootError, match=f"^train/train1: .*corpus.checks.{fault}") as caught:
        _prepare(tmp_path, fault, "stop")
    assert "\n" not in str(caught.value)
    assert {path.name for path in tmp_path.iterdir()} == {"data", "tiny.parts"}  # what was checked is kept for the next run


@pytest.mark.parametrize("fault", ["clipped", "shared_sentence", "shared_speaker", "too_short", "shared_audio"])
def test_a_fault_can_be_reported_and_kept(tmp_path, fault):
    info = _prepare(tmp_path, fault, "report")
    assert info["dropped"] == 0 and "train1" in [u.id for u in open_corpus(tmp_path / "tiny").utterances("train")]
    assert f"| {fault} | report | 1 | train/train1: " in _report(tmp_path)


def test_the_same_audio_in_two_splits_stops_by_default_and_sentence_and_speaker_are_shown(tmp_path):
    data = recordings.folder(tmp_path / "data")
    change(data / "test.jsonl", 0, speaker="train0", text="abc")
    leaks = prepare(recordings.corpus(data), tmp_path / "tiny", workers=0)["leaks"]
    pairs = {"train-dev": 0, "train-gate": 0, "train-test": 1, "dev-gate": 0, "dev-test": 0, "gate-test": 0}
    assert leaks["shared_sentence"] == leaks["shared_speaker"] == pairs
    _same_audio("dev", 100)(data)
    with pytest.raises(BigfootError, match="train/train1: the same audio as (dev|gate)/dev100"):
        prepare(recordings.corpus(data), tmp_path / "tiny", workers=0)


def test_the_same_audio_in_two_test_sets_stops_too(tmp_path):
    data = recordings.folder(tmp_path / "data")
    source = {"kind": "folder", "test": {"test": "test.jsonl", "test-b": "test.jsonl"}}
    with pytest.raises(BigfootError, match="test-b/.*: the same audio as test/"):
        prepare(recordings.corpus(data, source), tmp_path / "tiny", workers=0)


def call(data):
    """A call of two speakers, one per channel, and each of them as a file of its own."""
    sides = {"left": tone(1.0, seed=1), "right": tone(1.0, seed=2)}
    for name, samples in sides.items():
        soundfile.write(data / f"audio/{name}.wav", samples, 16_000, subtype="FLOAT")
    soundfile.write(data / "audio/call.wav", np.stack(list(sides.values()), axis=1), 16_000, subtype="FLOAT")


def reasons(corpus) -> dict[str, str]:
    """{id: why it was dropped}."""
    return {row["id"]: row["why"] for row in map(json.loads, (corpus / "report/dropped.jsonl").read_text().splitlines())}


def test_the_words_that_cant_be_spelled_are_named(tmp_path):
    data = recordings.folder(tmp_path / "data")
    change(data / "train.jsonl", 1, text="a b 0170 1234. c")
    prepare(recordings.corpus(data), tmp_path / "tiny", workers=0)
    (why,) = reasons(tmp_path / "tiny").values()
    assert why == "the text rules have no words for '0170', '1234.': 'a b 0170 1234. c'"


@pytest.mark.accepts("Audio", "a speaker per channel in a corpus", "`corpus.channels: split` and a column with the channel")
def test_rows_that_name_their_channel_have_its_samples(tmp_path):
    data = recordings.folder(tmp_path / "data")
    call(data)
    alone = [{"audio": f"audio/{name}.wav", "text": "abc", "side": 1} for name in ("left", "right")]
    lines(data / "train.jsonl", alone + [{"audio": "audio/call.wav", "text": "bca", "side": side} for side in (2, "1", 3)])
    for split in ("dev", "test"):
        change(data / f"{split}.jsonl", 0, side=1)
    source = {"kind": "folder", "columns": {"channel": "side"}}
    prepare(recordings.corpus(data, source, channels="split"), tmp_path / "tiny", workers=0)
    why = reasons(tmp_path / "tiny")
    assert why["call-ch1"] == "the same audio as left-ch1" and why["call-ch2"] == "the same audio as right-ch1"
    assert why["call-ch3"].endswith("call.wav has no channel 3, only 2")
    kept = recordings.corpus(data, source, channels="split", checks={"duplicate_audio": "report"})
    prepare(kept, tmp_path / "tiny", workers=0)
    found = [(u.text, u.recording) for u in open_corpus(tmp_path / "tiny").utterances("train")]
    assert found[2:] == [("bca", "audio/call")] * 2
    with pytest.raises(ValueError, match="source.columns.channel picks one of each row, so channels is split, not mix"):
        recordings.corpus(data, source)
    change(data / "train.jsonl", 0, side="left")
    with pytest.raises(BigfootError, match="line 1: channel 'left' is not a number from 1 on"):
        prepare(kept, tmp_path / "tiny", workers=0)


@pytest.mark.refuses("Audio", "one text for several channels that are split", "the column of the channel is asked for")
def test_each_channel_without_text_is_an_utterance_and_one_text_for_several_is_refused(tmp_path):
    data = recordings.folder(tmp_path / "data")
    call(data)
    lines(data / "calls.jsonl", [{"audio": f"audio/{name}.wav"} for name in ("left", "right", "call")])
    corpus = recordings.corpus(data, {"kind": "folder", "unlabelled": "calls.jsonl"}, channels="split")
    prepare(corpus, tmp_path / "tiny", workers=0)
    assert reasons(tmp_path / "tiny") == {"call-ch1": "the same audio as left", "call-ch2": "the same audio as right"}
    lines(data / "train.jsonl", [{"audio": "audio/call.wav", "text": "abc"}])
    with pytest.raises(BigfootError, match="call.wav has 2 channels, and corpus.channels is split: say in .*columns.channel"):
        prepare(corpus, tmp_path / "tiny", workers=0)


@pytest.mark.accepts("Audio", "several channels in a corpus", "`corpus.channels: mix` (their mean) or `first`")
@pytest.mark.parametrize(
    ("channels", "taken"), [("mix", lambda left, right: (left + right) / 2), ("first", lambda left, right: left)]
)
def test_channels_are_mixed_or_the_first_is_taken(tmp_path, channels, taken):
    data = recordings.folder(tmp_path / "data")
    left, right = tone(seed=50), tone(seed=51)
    _write(data, np.stack([left, right], axis=1), "FLOAT")
    prepare(recordings.corpus(data, channels=channels), tmp_path / "tiny", workers=0)
    written = _audio(tmp_path, "train1")
    np.testing.assert_allclose(written, taken(left, right), atol=1e-4)


def test_a_channel_that_is_not_taken_may_be_damaged(tmp_path):
    data = recordings.folder(tmp_path / "data")
    _write(data, np.stack([tone(seed=50), np.full_like(tone(seed=50), np.nan)], axis=1), "FLOAT")
    assert prepare(recordings.corpus(data, channels="first"), tmp_path / "tiny", workers=0)["dropped"] == 0
    assert prepare(recordings.corpus(data), tmp_path / "mixed", workers=0)["dropped"] == 1


def test_the_first_channel_of_two_in_opposite_phase_is_speech(tmp_path):
    data = recordings.folder(tmp_path / "data")
    FAULTS["opposite_phase"](data)
    assert prepare(recordings.corpus(data, channels="first"), tmp_path / "tiny", workers=0)["dropped"] == 0
    assert prepare(recordings.corpus(data), tmp_path / "mixed", workers=0)["dropped"] == 1
    assert "train1.wav has channels of opposite phase" in (tmp_path / "mixed/report/dropped.jsonl").read_text()


def test_integers_stored_as_floats_are_scaled_not_clipped_and_reported(tmp_path):
    data = recordings.folder(tmp_path / "data")
    samples = np.rint(tone() * 32_768)
    _write(data, samples, "FLOAT")
    prepare(recordings.corpus(data), tmp_path / "tiny", workers=0)
    np.testing.assert_allclose(_audio(tmp_path, "train1"), samples / 32_768, atol=1e-6)
    report = _report(tmp_path)
    assert "were divided by 32,768" in report and "| clipped | report | 0 |" in report


@pytest.mark.accepts(
    "Audio", "any rate from 2 to 768 kHz", "resampled to 16 kHz; a line says where splits differ (telephone, wideband)"
)
def test_the_report_says_at_which_rates_recordings_came_and_warns_where_splits_differ(tmp_path, caplog):
    data = recordings.folder(tmp_path / "data", each=3)
    rates = prepare(recordings.corpus(data), tmp_path / "tiny", workers=0)["rates"]
    assert rates == {split: {"16000": count} for split, count in (("train", 3), ("dev", 2), ("gate", 1), ("test", 3))}
    assert "telephones" not in caplog.text + _report(tmp_path)
    for n in (200, 201):
        recordings.sound(data / "audio" / f"test{n}.wav", seed=n, rate=8_000)
    rates = prepare(recordings.corpus(data), tmp_path / "tiny", workers=0)["rates"]
    assert rates["test"] == {"8000": 2, "16000": 1}
    note = "recordings below 16 kHz, as of telephones, are 0% of train and 67% of test"
    assert note in caplog.text and note[1:] in _report(tmp_path)
    assert "| test | 2 | 1 |" in _report(tmp_path)


def test_formats_beyond_libsndfile_are_utterances_like_any_other(tmp_path):
    data = recordings.folder(tmp_path / "data")
    pytest.importorskip("av")
    from tests.media import media

    media(data / "audio/train1.m4a", tone(seed=60), 16_000)
    change(data / "train.jsonl", 1, audio="audio/train1.m4a")
    assert prepare(recordings.corpus(data), tmp_path / "tiny", workers=0)["dropped"] == 0


def test_unknown_speakers_are_not_one_shared_speaker(tmp_path):
    data = recordings.folder(tmp_path / "data")
    for split in ("train", "dev", "test"):
        change(data / f"{split}.jsonl", 0, speaker=None)
        change(data / f"{split}.jsonl", 1, speaker="")
    info = prepare(recordings.corpus(data, checks={"shared_speaker": "stop"}), tmp_path / "tiny", workers=0)
    assert info["splits"]["train"]["speakers"] is None and set(info["leaks"]["shared_speaker"].values()) == {0}


def test_audio_much_shorter_than_its_manifest_says_is_truncated(tmp_path):
    data = recordings.folder(tmp_path / "data")
    change(data / "train.jsonl", 0, duration=0.51)
    change(data / "train.jsonl", 1, duration=2.0)
    prepare(recordings.corpus(data), tmp_path / "tiny", workers=0)
    assert '"id": "train1", "split": "train", "check": "truncated"' in (tmp_path / "tiny" / "report/dropped.jsonl").read_text()


@pytest.mark.accepts("Languages and text", "characters in dev, gate and test that train lacks", "they count as errors")
def test_what_a_model_cannot_write_is_reported_and_scored_in_dev_and_test(tmp_path):
    data = recordings.folder(tmp_path / "data", each=3)
    texts = ["ab ñ", "ab $", "ab" * 20]
    for split in ("train", "dev", "test"):
        for number, text in enumerate(texts[1:] if split == "train" else texts, start=split == "train"):
            change(data / f"{split}.jsonl", number, text=text)
    info = prepare(recordings.corpus(data), tmp_path / "tiny", workers=0)
    assert [info["splits"][split]["utterances"] for split in ("train", "dev", "gate", "test")] == [1, 2, 1, 3]
    assert [u.text for u in open_corpus(tmp_path / "tiny").utterances("test")] == texts
    report = _report(tmp_path)
    assert "| beyond_alphabet | report | 4 | dev/dev100: 'ñ' never occurs in the training text |" in report
    assert "| unspellable | drop | 3 |" in report and "| text_too_long | drop | 3 |" in report
    with pytest.raises(BigfootError, match=r"'ñ' never occurs in the training text.*beyond_alphabet"):
        prepare(recordings.corpus(data, checks={"beyond_alphabet": "stop"}), tmp_path / "tiny", workers=0)


@pytest.mark.accepts(
    "Languages and text", "recordings without words in dev, gate and test", "scored with `corpus.checks.no_text: keep`"
)
def test_silence_without_text_is_scored_if_it_is_kept_but_never_trained_on(tmp_path):
    data = recordings.folder(tmp_path / "data", each=4)
    for split in ("train", "dev", "test"):
        change(data / f"{split}.jsonl", 1, text="")
    info = prepare(recordings.corpus(data, checks={"no_text": "keep"}), tmp_path / "tiny", workers=0)
    assert [info["splits"][split]["utterances"] for split in ("train", "dev", "gate", "test")] == [3, 2, 2, 4]
    assert open_corpus(tmp_path / "tiny").utterances("test")[1].text == "" and info["splits"]["test"]["words"] == 3
    assert prepare(recordings.corpus(data), tmp_path / "tiny", workers=0)["splits"]["test"]["utterances"] == 3
    for number in range(4):
        change(data / "test.jsonl", number, text="")
    with pytest.raises(BigfootError, match="no utterance of test has words"):
        prepare(recordings.corpus(data, checks={"no_text": "keep"}), tmp_path / "tiny", workers=0)


@pytest.mark.parametrize("samples", [1, 399, 400, 719, 720, 16_000, 16_079, 16_080])
def test_frames_are_those_of_wav2vec2(samples):
    length = samples
    for kernel, stride in ((10, 5), (3, 2), (3, 2), (3, 2), (3, 2), (2, 2), (2, 2)):
        length = max(0, (length - kernel) // stride + 1)
    assert frames(samples) == length


@pytest.mark.parametrize("check", ["unspellable", "text_too_long"])
def test_what_a_model_cant_write_is_an_error_where_it_is_scored(check):
    for wanted in ("report", "drop", "stop"):
        fates = [severity(check, split, Checks(**{check: wanted})) for split in ("train", "dev", "gate", "test")]
        assert fates == [wanted, "report", "report", "report"]


def test_the_severest_finding_decides_and_of_several_the_first():
    checks = Checks(too_short="report", clipped="drop", silent="drop", unspellable="stop")
    examined = Examined("a", "train", "text", "")
    fates = []
    for check in ("too_short", "clipped", "too_short", "silent", "unspellable"):
        examined.add(Finding(check, ""), checks)
        fates.append((examined.fate, examined.because.check, examined.is_kept))
    assert fates == [
        ("report", "too_short", True), ("drop", "clipped", False), ("drop", "clipped", False), ("drop", "clipped", False),
        ("stop", "unspellable", False),
    ]  # fmt: skip
