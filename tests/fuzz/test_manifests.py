"""Tables of all kinds, damaged and made up: read, examined and written as `prepare` does it."""

import json
import shutil
from itertools import islice

import pytest
from hypothesis import strategies as st

from pipeline.prepare import parts, raw
from pipeline.speech.shards import Utterance, Utterances
from tests.corpora import RULES, write_split
from tests.fuzz import counts, fuzz, mutated
from tests.recordings import corpus, folder

SPARE_MB = 200
ROWS = [("audio/train0.wav", "abc"), ("audio/train1.wav", "b c"), ("audio/none.wav", "\u00e4\u05d0 8")]
TABLES = {
    "train.jsonl": "".join(
        json.dumps({"audio": a, "text": t, "speaker": "x", "duration": 0.5, "offset": 0.1, "id": f"u{n}"}) + "\n"
        for n, (a, t) in enumerate(ROWS)
    ),
    "train.csv": "audio,text,speaker,duration\n" + "".join(f'{a},"{t}",x,0.5\n' for a, t in ROWS),
    "train.tsv": "audio\ttext\tspeaker\tsplit\n" + "".join(f"{a}\t{t}\tx\ttrain\n" for a, t in ROWS),
}
KALDI = {
    "wav.scp": "".join(f"r{n} {a}\n" for n, (a, _) in enumerate(ROWS)),
    "segments": "".join(f"u{n} r{n} 0.1 0.3\n" for n in range(len(ROWS))),
    "text": "".join(f"u{n} {t}\n" for n, (_, t) in enumerate(ROWS)),
    "utt2spk": "".join(f"u{n} s{n}\n" for n in range(len(ROWS))),
}
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=30) | st.sampled_from([a for a, _ in ROWS]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=4,
)
KEYS = st.sampled_from(["audio", "text", "speaker", "duration", "offset", "id", "recording", "audio_filepath"])
LINES = st.lists(st.dictionaries(KEYS | st.text(max_size=5), VALUES, max_size=8), max_size=4).map(
    lambda rows: "".join(json.dumps(row) + "\n" for row in rows).encode()
)


@pytest.fixture
def data(tmp_path):
    return folder(tmp_path / "data")


def examine(source: dict, data, out) -> None:
    """Every utterance read, checked and written, and the split read back."""
    chosen = corpus(data, {"kind": "folder", **source})
    found = raw.read(chosen.source, data)
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir()
    part = parts.make(list(islice((r for r in found if r.split == "train"), 5)), chosen, out / "part.arrow")
    rows = [Utterance(e.id, e.text, e.speaker, e.seconds, e.recording, "train", n) for n, e in enumerate(parts.read(part))]
    write_split(out, "train", [(row, b"") for row in rows], RULES)
    assert list(Utterances(out / "train")) == rows


@counts(10_000, "tables (CSV, TSV, JSON Lines)")
def test_a_table_is_read_or_refused_with_its_line(count, data, tmp_path, record_property):
    def check(given: tuple[str, bytes]) -> None:
        name, content = given
        (data / name).write_bytes(content)
        examine({"train": name}, data, tmp_path / "out")

    each = [st.tuples(st.just(name), mutated(st.just(text.encode()), 512)) for name, text in TABLES.items()]
    made_up = st.tuples(st.sampled_from(list(TABLES)), LINES | st.binary(max_size=100))
    fuzz(count, st.one_of(*each, made_up), check, SPARE_MB, record_property)


@counts(2_000, "Kaldi folders")
def test_a_kaldi_folder_is_read_or_refused_with_file_and_line(count, data, tmp_path, record_property):
    (data / "kaldi").mkdir()

    def check(given: tuple[str, bytes]) -> None:
        for name, text in KALDI.items():
            (data / "kaldi" / name).write_text(text, encoding="utf-8")
        name, content = given
        (data / "kaldi" / name).write_bytes(content)
        examine({"train": "kaldi"}, data, tmp_path / "out")

    each = [st.tuples(st.just(name), mutated(st.just(text.encode()), 512)) for name, text in KALDI.items()]
    fuzz(count, st.one_of(*each), check, SPARE_MB, record_property)
