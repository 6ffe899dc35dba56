"""Promises of pipeline/prepare/kaldi.py and cuts.py: data folders of Kaldi and cuts of lhotse, as their tools write them."""

import gzip
import unicodedata

import pytest

from pipeline.common.errors import BigfootError
from pipeline.params import FolderSource
from pipeline.prepare import folder
from tests import recordings

SOURCE = FolderSource(kind="folder", train="train", dev="train", test={"test": "train"})


def kaldi(data, **files):
    (data / "train").mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (data / "train" / name.replace("_", ".")).write_text(content, encoding="utf-8")
    return data


def read(data, source=SOURCE):
    return [raw for raw in folder.read(source, data) if raw.split == "train"]


def test_a_data_folder_is_read_with_paths_from_where_the_recipe_ran(tmp_path):
    recordings.sound(tmp_path / "WAVE/u1.wav")
    data = kaldi(tmp_path, wav_scp="u1 WAVE/u1.wav\nu2  WAVE/u2.wav\n", text="u1 MARK IS\nu2\n", utt2spk="u1 s1\nu2 s2\n")
    (one, two) = read(data)
    assert (one.id, one.audio, one.text, one.speaker) == ("u1", tmp_path / "WAVE/u1.wav", "MARK IS", "s1")
    assert (two.id, two.text, two.speaker, two.offset) == ("u2", "", "s2", None)


@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_a_first_file_that_is_missing_or_written_otherwise_moves_no_other(tmp_path, form):
    written = unicodedata.normalize(form, "é0.wav")
    for name in (unicodedata.normalize("NFC", "é0.wav"), "u1.wav"):
        recordings.sound(tmp_path / "train" / name)
    data = kaldi(tmp_path, wav_scp=f"u0 gone.wav\nu1 {written}\nu2 u1.wav\n", text="u0 a\nu1 b\nu2 c\n")
    gone, *found = read(data)
    assert not gone.audio.exists() and len(found) == 2 and all(raw.audio.is_file() for raw in found)


@pytest.mark.accepts("Tables and splits", "Kaldi data folders with segments", "wav.scp, text, utt2spk, segments")
def test_segments_are_stretches_of_their_recordings(tmp_path):
    data = kaldi(tmp_path, wav_scp="r2 b.wav\nr1 a.wav\n", text="u1 one\nu2 two\nu3 three\n",
                 segments="u1 r1 0.5 2.25\nu2 r2 1.0 2\nu3 r1 3 -1\n")  # fmt: skip
    assert [(raw.id, raw.text, raw.audio.name, raw.offset, raw.duration, raw.recording) for raw in read(data)] == [
        ("u1", "one", "a.wav", 0.5, 1.75, "r1"), ("u3", "three", "a.wav", 3.0, None, "r1"),
        ("u2", "two", "b.wav", 1.0, 1.0, "r2"),
    ]  # fmt: skip


def test_a_mark_of_utf_8_at_the_start_is_not_a_part_of_a_name(tmp_path):
    (one,) = read(kaldi(tmp_path, wav_scp="\ufeffu1 a.wav\n", text="\ufeffu1 one\n", utt2spk="\ufeffu1 ann\n"))
    assert (one.id, one.text, one.speaker) == ("u1", "one", "ann")


def test_speakers_may_be_part_of_the_names(tmp_path):
    data = kaldi(tmp_path, wav_scp="ann-1 a.wav\n", text="ann-1 one\n")
    columns = {"speaker": {"from": "id", "pattern": "^(.+)-"}}
    assert read(data, SOURCE.model_validate(SOURCE.model_dump(by_alias=True) | {"columns": columns}))[0].speaker == "ann"


@pytest.mark.parametrize(
    ("files", "message"),
    [
        (
            {"wav_scp": "u1 sph2pipe a.sph |\n"},
            r"wav.scp, line 1 is a command, which is not run \(sph2pipe a.sph \|",
        ),
        ({"wav_scp": "u1\n"}, "wav.scp, line 1 names no file"),
        ({"wav_scp": "u1 a.wav\nu1 b.wav\n"}, "wav.scp, line 2: u1 is there twice"),
        ({"text": "u1 one\nu9 nine\n"}, "text, line 2: u9 is not in wav.scp"),
        ({"utt2spk": "u9 ann\n"}, "utt2spk has no speaker of u1: add it, or remove the file"),
        ({"segments": "u1 u1 2 1\n"}, "segments, line 1: it ends at 1 s, before it begins at 2 s"),
        ({"segments": "u1 u1 0 nan\n"}, "segments, line 1: it ends at nan s"),
        ({"segments": "u1 r7 0 1\n"}, "segments, line 1: r7 is not in wav.scp"),
        ({"segments": "u1 u1 0\n"}, "segments, line 1 is not UTTERANCE RECORDING START END"),
    ],
)
@pytest.mark.refuses("Tables and splits", "commands in wav.scp", "they are never run")
def test_a_line_that_does_not_fit_is_named_and_commands_are_never_run(tmp_path, files, message):
    data = kaldi(tmp_path, **{"wav_scp": "u1 a.wav\n", "text": "u1 one\n"} | files)
    with pytest.raises(BigfootError, match=message):
        read(data)


def test_a_folder_without_its_files_is_refused(tmp_path):
    with pytest.raises(BigfootError, match="train/wav.scp is missing: a Kaldi data folder has wav.scp and text"):
        read(kaldi(tmp_path, utt2spk=""))
    with pytest.raises(BigfootError, match="train/text is missing"):
        read(kaldi(tmp_path, wav_scp="u1 a.wav\n"))
    for split in ("train", "dev", "test"):
        recordings.lines(tmp_path / f"{split}.jsonl", [])
    raws = folder.read(FolderSource(kind="folder", unlabelled="train"), tmp_path)  # which needs no text
    assert [raw.split for raw in raws] == ["unlabelled"]


# ---------------------------------------------------------------- lhotse


@pytest.mark.refuses("Tables and splits", "lhotse's cuts without lhotse", "what to install is said")
def test_cuts_without_lhotse_are_refused_with_what_to_install(tmp_path):
    try:
        import lhotse  # noqa: F401
    except ImportError:
        (tmp_path / "train.jsonl.gz").write_bytes(gzip.compress(b""))
        with pytest.raises(BigfootError, match=r"which is not installed: `pip install 'bigfoot-asr\[lhotse\]'`"):
            read(tmp_path, FolderSource(kind="folder", train="train.jsonl.gz"))


def cuts(tmp_path, change=lambda cut: cut):
    """Two supervised stretches of one recording, as lhotse writes them, and the source that reads them."""
    lhotse = pytest.importorskip("lhotse")
    recording = lhotse.Recording.from_file(recordings.sound(tmp_path / "data/call.wav", 4.0), recording_id="call")
    recording.sources[0].source = "call.wav"
    said = [lhotse.SupervisionSegment(f"s{n}", "call", n, 1.0, text="ab", speaker="ann") for n in (0, 2)]
    whole = lhotse.CutSet.from_cuts([lhotse.MonoCut("c", 0, 4.0, 0, said, recording=recording)])
    change(whole.trim_to_supervisions(keep_overlapping=False)).to_file(tmp_path / "data/cuts.jsonl.gz")
    return FolderSource(kind="folder", train="cuts.jsonl.gz", dev="cuts.jsonl.gz", test={"test": "cuts.jsonl.gz"})


def test_cuts_of_lhotse_are_segments_of_their_recording(tmp_path):
    raws = read(tmp_path / "data", cuts(tmp_path))
    assert [(raw.audio, raw.text, raw.speaker, raw.recording, raw.offset, raw.duration) for raw in raws] == [
        (tmp_path / "data/call.wav", "ab", "ann", "call", offset, 1.0) for offset in (0, 2)
    ]


def test_cuts_that_only_lhotse_can_make_audio_of_are_refused(tmp_path):
    with pytest.raises(BigfootError, match="cut .* has transforms, which only lhotse can apply"):
        read(tmp_path / "data", cuts(tmp_path, lambda them: them.perturb_speed(1.1)))
    with pytest.raises(BigfootError, match="is not a MonoCut with a recording"):
        read(tmp_path / "data", cuts(tmp_path, lambda them: them.pad(duration=3.0)))
    with pytest.raises(BigfootError, match="has a text of 0.00 to 1.00 s, which is not all of its 1.50 s: write `cuts.trim_to"):
        read(tmp_path / "data", cuts(tmp_path, lambda them: them.extend_by(duration=0.5, direction="right")))
    (tmp_path / "data/cuts.jsonl.gz").write_bytes(gzip.compress(b'{"audio": "a.wav", "text": "x"}\n'))
    with pytest.raises(BigfootError, match="cuts.jsonl.gz can't be read as lhotse's cuts"):
        read(tmp_path / "data", FolderSource(kind="folder", train="cuts.jsonl.gz"))
