"""docs/recordings.md: each table of the page is read by the params that stand below it."""

from pathlib import Path

import pytest
from ruamel.yaml import YAML

from pipeline.params import FolderSource
from pipeline.prepare import folder
from tests.docs import pages

BLOCKS = [block for block in pages.blocks(pages.ROOT / "docs/recordings.md") if block.test == "recordings"]
SOURCES = [YAML(typ="safe").load(block.text) for block in BLOCKS if not block.file]


@pytest.fixture
def data(tmp_path) -> Path:
    """The page's tables, each for dev and test too, and a Kaldi folder of ten speakers."""
    for block in BLOCKS:
        if block.file:
            path = tmp_path / block.file
            path.parent.mkdir(parents=True, exist_ok=True)
            for split in ("train", "dev", "val", "test"):
                path.with_name(path.name.replace("train", split)).write_text(block.text, encoding="utf-8")
    (tmp_path / "de/clips").mkdir()
    for split in ("train", "dev", "test", "all"):
        (tmp_path / "kaldi" / split).mkdir(parents=True)
        for name, line in {"wav.scp": "s{n}-1 {n}.wav", "text": "s{n}-1 one", "utt2spk": "s{n}-1 s{n}"}.items():
            lines = (line.format(n=n) + "\n" for n in range(10))
            (tmp_path / "kaldi" / split / name).write_text("".join(lines))
    (tmp_path / "more.jsonl").write_text('{"audio": "1.wav"}\n')
    return tmp_path


@pytest.mark.parametrize("number", range(len(SOURCES)))
def test_each_way_in_is_read_as_the_page_says(data, number):
    raws = folder.read(FolderSource(**SOURCES[number]), data)
    splits = list(dict.fromkeys(raw.split for raw in raws))
    assert splits[:3] == ["train", "dev", "test"] and splits[3:] in ([], ["unlabelled"])


def test_the_page_shows_what_its_columns_give(data):
    commands, voices, calls = (folder.read(FolderSource(**SOURCES[number]), data)[0] for number in range(3))
    assert (commands.text, commands.speaker) == ("no", "00000030")
    assert (voices.text, voices.audio) == ('"Guten Tag", sagte sie.', data / "de/clips/common_voice_de_1.mp3")
    assert (calls.id, calls.offset, calls.duration) == ("call1-0.500", 0.5, 1.5)
