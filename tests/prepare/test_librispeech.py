"""Promises of pipeline/prepare/librispeech.py, on a LibriSpeech of tones."""

import hashlib
import shutil
import sys
import tarfile
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from pipeline.common.errors import Away, BigfootError
from pipeline.params import LibriSpeechSource
from pipeline.prepare import librispeech
from pipeline.speech.corpus import open_corpus
from tests import recordings
from tests.docs import services
from tests.recordings import prepare

SPLITS = ["train-clean-100", "dev-clean", "test-clean", "test-other"]
SOURCE = {"kind": "librispeech"}


def libri(root, names=SPLITS):
    for seed, name in enumerate(names):
        chapter = root / "LibriSpeech" / name / f"{seed}0" / "77"
        for number in range(2):
            recordings.sound(chapter / f"{seed}0-77-{number:04d}.flac", seed=10 * seed + number)
        texts = [f"{seed}0-77-{number:04d} {'ABCDE'[seed]}{'AB'[number]} ABCDE" for number in range(2)]
        (chapter / f"{seed}0-77.trans.txt").write_text("\n".join(texts) + "\n")
    return root


def test_its_layout_is_read_and_each_test_set_keeps_its_name(tmp_path):
    info = prepare(recordings.corpus(libri(tmp_path / "data"), SOURCE), tmp_path / "tiny", workers=0)
    corpus = open_corpus(tmp_path / "tiny")
    assert corpus.splits == ["train", "dev", "gate", "test-clean", "test-other"] and info["dropped"] == 0
    first = corpus.utterances("test-clean")[0]
    assert (first.id, first.speaker, first.recording, first.text) == ("20-77-0000", "20", "20-77", "ca abcde")


def test_parts_of_its_own_are_gate_and_dev_stays_whole(tmp_path):
    data = libri(tmp_path / "data")
    source = SOURCE | {"gate": ["test-other"], "test": ["test-clean"]}
    info = prepare(recordings.corpus(data, source), tmp_path / "tiny", workers=0)
    speakers = [
        {u.speaker for u in open_corpus(tmp_path / "tiny").utterances(split)} for split in ("dev", "gate", "test-clean")
    ]
    assert speakers == [{"10"}, {"30"}, {"20"}] and info["splits"]["dev"]["utterances"] == 2 and info["notes"] == []


def test_the_texts_of_unlabelled_parts_are_not_used(tmp_path):
    data = libri(tmp_path / "data", [*SPLITS, "train-clean-360"])
    prepare(recordings.corpus(data, SOURCE | {"unlabelled": ["train-clean-360"]}), tmp_path / "tiny", workers=0)
    corpus = open_corpus(tmp_path / "tiny")
    assert [(u.id, u.text, u.speaker) for u in corpus.utterances("unlabelled")] == [(f"40-77-000{n}", "", "40") for n in (0, 1)]
    assert corpus.test_sets == ["test-clean", "test-other"]


@pytest.mark.parametrize("lost", ["a chapter", "a line", "letters"])
def test_a_recording_without_a_transcript_stops_and_is_named(tmp_path, lost):
    """As after a copy that was interrupted: otherwise figures would be of fewer utterances."""
    data = libri(tmp_path / "data")
    file = data / "LibriSpeech/test-clean/20/77/20-77.trans.txt"
    if lost == "a chapter":
        other = libri(tmp_path / "more") / "LibriSpeech/test-other/30"
        shutil.copytree(other, data / "LibriSpeech/test-clean/30")
        (data / "LibriSpeech/test-clean/30/77/30-77.trans.txt").unlink()
    elif lost == "a line":
        file.write_text(file.read_text().splitlines()[0])
    else:
        file.write_bytes(b"20-77-0000 \xff")
    named = {
        "a chapter": "2 recordings without a transcript, the first is 30/77",
        "a line": "1 recording without",
        "letters": "UTF-8",
    }
    with pytest.raises(BigfootError, match=named[lost]):
        prepare(recordings.corpus(data, SOURCE), tmp_path / "tiny", workers=0)


def test_the_folder_librispeech_itself_does_as_well(tmp_path):
    data = libri(tmp_path)
    source = LibriSpeechSource(**SOURCE)
    assert librispeech.read(source, data) == librispeech.read(source, data / "LibriSpeech")


def test_an_absent_split_is_named_with_the_command_that_fetches_it(tmp_path):
    data = libri(tmp_path, SPLITS[:3])
    with pytest.raises(BigfootError, match=r"no split test-other: .*python -m pipeline.prepare.librispeech .* test-other"):
        librispeech.read(LibriSpeechSource(**SOURCE), data)


def test_a_broken_transcript_is_named_with_its_line(tmp_path):
    data = libri(tmp_path)
    (data / "LibriSpeech" / "dev-clean" / "10" / "77" / "10-77.trans.txt").write_text("10-77-0000 A\nnonsense\n")
    with pytest.raises(BigfootError, match="10-77.trans.txt, line 2"):
        librispeech.read(LibriSpeechSource(**SOURCE), data)


@pytest.fixture
def server(tmp_path):
    """A local HTTP server of one split's archive, and the archive's checksum; /cut.../ promises more bytes than it sends."""
    libri(tmp_path / "published", ["dev-clean"])
    archive = tmp_path / "served" / "dev-clean.tar.gz"
    archive.parent.mkdir()
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(tmp_path / "published" / "LibriSpeech", "LibriSpeech")
    content = archive.read_bytes()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            folder, _, name = self.path[1:].partition("/")
            status = 503 if folder == "busy" else 200 if name == archive.name else 404
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content[: len(content) // 2] if folder == "cut" else content)

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        threading.Thread(target=running.serve_forever).start()
        yield f"http://127.0.0.1:{running.server_port}", {"dev-clean": hashlib.sha256(content).hexdigest()}
        running.shutdown()


def test_fetching_unpacks_what_was_published(tmp_path, server, capfd):
    address, sha256 = server
    for at in (f"{address}/whole", "http://127.0.0.1:1"):  # the second time there is nothing to fetch
        librispeech.fetch(["dev-clean"], tmp_path / "data", at, sha256)
    assert len(list((tmp_path / "data" / "LibriSpeech" / "dev-clean").glob("*/*/*.flac"))) == 2
    assert [path.name for path in (tmp_path / "data").iterdir()] == ["LibriSpeech"]
    assert capfd.readouterr() == ("", ""), "the progress bar is for terminals"


def test_a_terminal_shows_progress(tmp_path, server, capsys, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    librispeech.fetch(["dev-clean"], tmp_path / "data", f"{server[0]}/whole", server[1])
    assert "100%" in capsys.readouterr().err


def test_a_download_with_the_wrong_checksum_is_refused_and_leaves_nothing(tmp_path, server):
    with pytest.raises(BigfootError, match="SHA-256"):
        librispeech.fetch(["dev-clean"], tmp_path / "data", f"{server[0]}/whole", {"dev-clean": "0" * 64})
    assert nothing_is_in(tmp_path / "data")


@pytest.mark.parametrize(
    ("folder", "split", "kind", "reason"),
    [
        ("cut", "dev-clean", Away, "IncompleteRead"),
        ("busy", "dev-clean", Away, "503"),
        ("whole", "dev-other", BigfootError, "404"),
    ],
)
def test_a_download_that_fails_is_one_line_and_leaves_nothing(tmp_path, server, folder, split, kind, reason):
    address, sha256 = server
    with pytest.raises(BigfootError, match=rf"{split}.tar.gz can't be fetched \(.*{reason}") as caught:
        librispeech.fetch([split], tmp_path / "data", f"{address}/{folder}", {split: sha256["dev-clean"]})
    assert caught.type is kind and "\n" not in str(caught.value)
    assert nothing_is_in(tmp_path / "data")


def test_no_network_and_unknown_splits_are_one_line_errors(tmp_path):
    with pytest.raises(Away, match="can't be fetched") as caught:
        librispeech.fetch(["dev-clean"], tmp_path / "data", f"http://127.0.0.1:{services.free_port()}")
    assert "\n" not in str(caught.value)
    with pytest.raises(BigfootError, match="no split dev-cleen: it has dev-clean"):
        librispeech.fetch(["dev-cleen"], tmp_path / "data")


def nothing_is_in(data) -> bool:
    return [path.name for path in data.rglob("*")] == ["LibriSpeech"]
