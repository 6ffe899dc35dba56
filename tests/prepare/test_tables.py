"""Promises of pipeline/prepare/tables.py: a table is read whole, or its first bad line is named."""

import csv
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.common.errors import BigfootError
from pipeline.prepare import tables

CELL = st.text(st.characters(blacklist_categories=("Cs",), blacklist_characters="\r\n\0"), max_size=20)
ROWS = st.lists(st.fixed_dictionaries({"audio": CELL.filter(str.strip), "text": CELL, "speaker": CELL}), min_size=1, max_size=8)


def values(path):
    return [row for _, row in tables.rows(path)]


def written(tmp_path, content, name="t.csv"):
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


@pytest.fixture(scope="module")
def scratch(tmp_path_factory):
    return tmp_path_factory.mktemp("tables")


@given(rows=ROWS, delimiter=st.sampled_from(",;\t"), end=st.sampled_from(["\n", "\r\n"]), has_mark=st.booleans())
def test_csv_that_was_written_is_read_back_the_same(scratch, rows, delimiter, end, has_mark):
    path = scratch / "a.csv"
    with path.open("w", newline="", encoding="utf-8-sig" if has_mark else "utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]), delimiter=delimiter, lineterminator=end)
        writer.writeheader()
        writer.writerows(rows)
    assert values(path) == rows


@given(rows=ROWS)
def test_tsv_is_read_back_the_same_quotes_included(scratch, rows):
    rows = [{name: cell.replace("\t", " ") for name, cell in row.items()} for row in rows]
    lines = ["audio\ttext\tspeaker", *("\t".join((row["audio"], row["text"], row["speaker"])) for row in rows)]
    assert values(written(scratch, "\n".join(lines), "a.tsv")) == rows


@given(rows=st.lists(st.dictionaries(CELL, CELL | st.integers() | st.none() | st.booleans()), max_size=6))
def test_json_lines_are_read_back_the_same(scratch, rows):
    content = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    assert values(written(scratch, content, "a.jsonl")) == rows == values(written(scratch, content, "a.json"))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("audio,text,,\na.wav,one,,\n", "line 1: column 3 has no name"),
        ('audio,text,speaker\na.wav,"one,ann\nb.wav,two,ben\nc.wav,three",carl\n', "line 2 has a quote .* closed on line 4"),
        ('audio,text\na.wav,one\nb.wav,"two\nc.wav,three\n', "line 3 has a quote .* runs on to line 4"),
        ('audio,text\n"a.wav,one\nb.wav",two\n', "line 2 has a quote .* closed on line 3"),
        ('audio,text\na.wav,one\nb.wav,"he" said\n', "line 3 has a quote that doesn't fit"),
        ("audio,text\na.wav,one,more\n", "line 2 has 3 cells where the header has 2: audio, text"),
        ("audio,text\n\na.wav\n", "line 3 has 1 cells where the header has 2"),
        ("audio,text,text\na.wav,one,two\n", "line 1: two columns are called text"),
        ("audio,text\n".encode("utf-16"), "UTF-16.*save it as UTF-8"),
        ("audio,text\n".encode("utf-16-le"), "UTF-16"),
        (b"audio,text\na.wav,\xe4\n", "not UTF-8"),
        ("sep=;\naudio;text\na.wav;one\n", "line 1 tells Excel what separates cells: remove this line"),
        ("LJ001-0001|Printing, in the only sense|Printing\n", r"its cells between \|: save it as .tsv, with tabs"),
        (f"audio,text\na.wav,{'x' * 200_000}\n", "line 2 has a cell of more than 131,072 characters, .*: correct the line"),
        (f'audio,text\na.wav,"{"x" * 99}\n{"x" * 200_000}\n', "line 2 has a quote .* runs on to line 3"),
    ],
)
@pytest.mark.refuses("Tables and splits", "a CSV whose quotes swallow rows, or with cells too many", "its line is said")
def test_a_csv_that_would_lose_rows_or_cells_stops_with_its_line(tmp_path, content, message):
    with pytest.raises(BigfootError, match=rf"t\.csv.*{message}") as caught:
        values(written(tmp_path, content))
    assert "\n" not in str(caught.value)


def test_a_tsv_with_its_header_in_quotes_is_refused(tmp_path):
    with pytest.raises(BigfootError, match="t.tsv, line 1 has its names in quotes, .*: save it as .csv"):
        values(written(tmp_path, '"audio"\t"text"\n"a.wav"\t"one"\n', "t.tsv"))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"a": 1}\n' + "[" * 100_000, "line 2 is nested too deeply"),
        ('{"a": ' * 100_000, "line 1 is nested too deeply"),
        ('{"a": 1}\n{"a"\n', "line 2 is not valid JSON"),
        ("3\n", "line 1 is not a JSON object"),
        ('[{"audio": "a.wav"}]', "is one JSON array: write an object per line"),
        ('[\n{"audio": "a.wav"}\n]\n', "is one JSON array: write an object per line"),
        ('["a.wav", "a"]\n{"audio": "a.wav"}\n', "line 1 is not a JSON object: each line has to be one"),
        ('[{"audio": "a.wav"\n{"audio": "b.wav"}\n', "line 1 is not valid JSON"),
        ('{"a": ' + "9" * 5_000 + "}", "line 1 is not valid JSON"),
        ('{"a": 1}\n{"a": 1, "b": {}, "a": 1}\n', "line 2: two values are called a"),
    ],
)
def test_json_that_is_no_row_stops_with_its_line(tmp_path, content, message):
    with pytest.raises(BigfootError, match=message):
        values(written(tmp_path, content, "t.jsonl"))


@pytest.mark.parametrize("name", ["train.txt", "train", "train.xlsx", "train.json.bak"])
@pytest.mark.refuses("Tables and splits", "tables of other kinds", "the kinds that are taken are listed")
def test_a_table_of_another_kind_is_refused_with_the_kinds_that_are_taken(tmp_path, name):
    with pytest.raises(BigfootError, match=r"\.jsonl or \.json .*\.csv, \.tsv, a Kaldi data folder"):
        values(written(tmp_path, "audio,text\n", name))


def test_suffixes_may_be_in_capitals_and_an_empty_table_has_no_rows(tmp_path):
    assert values(written(tmp_path, "audio,text\na,b\n", "T.CSV")) == [{"audio": "a", "text": "b"}]
    assert values(written(tmp_path, "")) == []


@pytest.mark.refuses("Tables and splits", "a JSON row with a key twice", "file, line and key are said")
def test_a_json_row_with_a_key_twice_is_refused(tmp_path):
    path = written(tmp_path, '{"audio": "a.wav", "text": "a"}\n{"audio": "b.wav", "text": "b", "text": "c"}\n', "t.jsonl")
    with pytest.raises(BigfootError, match="t.jsonl, line 2: two values are called text"):
        values(path)
