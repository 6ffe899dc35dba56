"""A corpus that was exported is a source, and gives the same corpus again."""

from pathlib import Path

import pytest

from pipeline.apps import corpus_files
from pipeline.common.errors import BigfootError
from pipeline.speech.corpus import open_corpus
from tests import corpora, recordings


def test_files_give_the_same_corpus_again(tmp_path):
    recordings.prepare(recordings.corpus(recordings.folder(tmp_path / "data")), tmp_path / "first", workers=0)
    assert corpus_files.export(open_corpus(tmp_path / "first"), tmp_path / "files") == 6
    recordings.prepare(
        recordings.corpus(tmp_path / "files", {"kind": "folder", "gate": "gate.jsonl"}), tmp_path / "again", workers=0
    )
    assert corpora.rows(tmp_path / "again") == corpora.rows(tmp_path / "first")


def test_a_folder_that_cannot_be_made_is_one_line(tmp_path):
    recordings.prepare(recordings.corpus(recordings.folder(tmp_path / "data")), tmp_path / "first", workers=0)
    with pytest.raises(BigfootError, match="/proc/files can't be written"):
        corpus_files.export(open_corpus(tmp_path / "first"), Path("/proc/files"))


def test_nothing_is_overwritten(tmp_path):
    recordings.prepare(recordings.corpus(recordings.folder(tmp_path / "data")), tmp_path / "first", workers=0)
    with pytest.raises(BigfootError, match="data is not an empty folder: name another one"):
        corpus_files.export(open_corpus(tmp_path / "first"), tmp_path / "data")
