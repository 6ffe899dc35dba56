"""Promises of pipeline/prepare/librispeech.py, on a LibriSpeech of tones."""

import hashlib
import tarfile

import pytest

from pipeline.common.errors import BigfootError
from pipeline.params import LibriSpeechSource
from pipeline.prepare import librispeech
from pipeline.speech.corpus import open_corpus
from tests import recordings
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
    assert corpus.splits == ["train", "dev", "test-clean", "test-other"] and info["dropped"] == 0
    first = corpus.utterances("test-clean")[0]
    assert (first.id, first.speaker, first.recording, first.text) == ("20-77-0000", "20", "20-77", "ca abcde")


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
    """A folder as an address, with one split's archive and its checksum."""
    libri(tmp_path / "published", ["dev-clean"])
    archive = tmp_path / "dev-clean.tar.gz"
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(tmp_path / "published" / "LibriSpeech", "LibriSpeech")
    return tmp_path.as_uri(), {"dev-clean": hashlib.sha256(archive.read_bytes()).hexdigest()}


def test_fetching_unpacks_what_was_published(tmp_path, server):
    address, sha256 = server
    for _ in range(2):  # the second time there is nothing to do
        librispeech.fetch(["dev-clean"], tmp_path / "data", address, sha256)
    assert len(list((tmp_path / "data" / "LibriSpeech" / "dev-clean").glob("*/*/*.flac"))) == 2
    assert [path.name for path in (tmp_path / "data").iterdir()] == ["LibriSpeech"]


def test_a_download_with_the_wrong_checksum_is_refused_and_leaves_nothing(tmp_path, server):
    with pytest.raises(BigfootError, match="came broken"):
        librispeech.fetch(["dev-clean"], tmp_path / "data", server[0], {"dev-clean": "0" * 64})
    assert not list((tmp_path / "data" / "LibriSpeech").iterdir())


def test_no_net_and_unknown_splits_are_said_in_one_line(tmp_path):
    with pytest.raises(BigfootError, match="can't be fetched.*is there a net") as caught:
        librispeech.fetch(["dev-clean"], tmp_path / "data", (tmp_path / "nowhere").as_uri())
    assert "\n" not in str(caught.value)
    with pytest.raises(BigfootError, match="no split dev-cleen: it has dev-clean"):
        librispeech.fetch(["dev-cleen"], tmp_path / "data")
