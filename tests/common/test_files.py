"""A file is read whole and of the right shape, or refused in one line that names it and the command that makes it."""

import errno
import fcntl
import hashlib
import json
import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

import pytest

from pipeline.common.errors import BigfootError
from pipeline.common.files import new_folder, open_lock, read_json, read_json_lines, sha256, sha256_of, write_json
from pipeline.common.objects import read_object


@dataclass(frozen=True)
class Inner:
    count: int


@dataclass(frozen=True)
class Outer:
    name: str
    share: float | None
    parts: dict[str, Inner]


GOOD = {"name": "a", "share": 1, "parts": {"x": {"count": 3, "of a newer version": True}}}
COMMAND = "dvc repro prepare"


@pytest.mark.parametrize(
    ("content", "kind", "error"),
    [
        (None, dict, "is missing: run `dvc repro prepare`"),
        (b"{", dict, "is not valid JSON: run `dvc repro --force prepare`"),
        (b"", dict, "is not valid JSON"),
        (b"null", dict, "holds null where an object belongs: run `dvc repro --force prepare`"),
        (b"[]", dict, "holds a list where an object belongs"),
        (b"{}", list, "holds an object where a list belongs"),
        (b"3", list, "holds a number where a list belongs"),
        (b"\xff\xfe", dict, "is not text in UTF-8"),
    ],
)
def test_what_is_not_json_of_that_kind_is_one_line(tmp_path, content, kind, error):
    path = tmp_path / "a.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(BigfootError) as refused:
        read_json(path, COMMAND, kind)
    assert str(refused.value).startswith(f"{path} ") and error in str(refused.value) and "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"parts": {"x": {}}}, "a.json lacks count, it was made by an older Bigfoot: run `dvc repro prepare`"),
        ({"parts": {"x": {"count": "3"}}}, "a.json: parts.x.count: input should be a valid integer"),
        ({"parts": None}, "a.json: parts: input should be an object"),
        ({"share": "much"}, "a.json: share: input should be a valid number"),
        ({"name": 3}, "a.json: name: input should be a valid string: run `dvc repro --force prepare`"),
    ],
)
def test_a_field_that_is_missing_or_of_another_type_is_named(tmp_path, change, error):
    write_json(tmp_path / "a.json", GOOD)
    assert read_object(tmp_path / "a.json", Outer, COMMAND) == Outer("a", 1, {"x": Inner(3)})
    write_json(tmp_path / "a.json", GOOD | change)
    with pytest.raises(BigfootError) as refused:
        read_object(tmp_path / "a.json", Outer, COMMAND)
    assert error in str(refused.value) and "\n" not in str(refused.value)


def test_a_bad_line_is_named_by_its_number(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text('{"a": 1}\n{"a": 2}\n')
    assert read_json_lines(path, COMMAND) == [{"a": 1}, {"a": 2}]
    for bad in ("[]", "{", ""):
        path.write_text(f'{{"a": 1}}\n{bad}\n')
        with pytest.raises(BigfootError, match="line 2 is not a JSON object"):
            read_json_lines(path, COMMAND)


def test_what_is_written_is_read_back_and_leaves_nothing_beside(tmp_path):
    write_json(tmp_path / "new" / "a.json", {"é": [1, None]})
    assert read_json(tmp_path / "new" / "a.json", COMMAND) == {"é": [1, None]} and "é" in (tmp_path / "new/a.json").read_text()
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["a.json"]
    with pytest.raises(TypeError):
        write_json(tmp_path / "new" / "a.json", object())
    assert json.loads((tmp_path / "new" / "a.json").read_text()) == {"é": [1, None]}


def test_a_name_of_any_length_that_the_disk_takes_can_be_written(tmp_path):
    name = "ع" * 120 + ".json"
    write_json(tmp_path / name, {})
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_a_hash_is_of_the_content_alone(tmp_path):
    first, second = tmp_path / "a", tmp_path / "b"
    first.write_bytes(b"one"), second.write_bytes(b"two")
    assert sha256(first) == hashlib.sha256(b"one").hexdigest()
    both = sha256_of([first, second])
    assert both != sha256_of([second, first])
    first.rename(tmp_path / "c")
    assert sha256_of([tmp_path / "c", second]) == both


def test_a_folder_that_cannot_be_written_whole_leaves_nothing_new_behind(tmp_path):
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "b").touch()
    (tmp_path / "empty").mkdir()
    for folder in (tmp_path / "new", tmp_path / "old", tmp_path / "empty"):
        with pytest.raises(BigfootError, match=f"{folder.name} can't be written: No space left on device"), new_folder(folder):
            folder.mkdir(exist_ok=True)
            (folder / "a").touch()
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*")) == ["empty", "old", "old/a", "old/b"]


def test_of_many_files_that_cannot_be_copied_the_first_says_why(tmp_path):
    for name in ("a", "b"):
        (tmp_path / "old" / name).mkdir(parents=True)
        (tmp_path / "old" / name / "x").touch()
    (tmp_path / "new" / "a").mkdir(parents=True)
    (tmp_path / "new" / "a" / "x").symlink_to("gone/x")
    with pytest.raises(BigfootError, match="new can't be written: No such file or directory$"), new_folder(tmp_path / "new"):
        shutil.copytree(tmp_path / "old", tmp_path / "new", dirs_exist_ok=True)


def test_any_other_error_stays_what_it_is_and_leaves_nothing_behind_either(tmp_path):
    with pytest.raises(RuntimeError, match="iostream"), new_folder(tmp_path / "new"):
        (tmp_path / "new").mkdir()
        raise RuntimeError("basic_ios::clear: iostream error")
    assert not (tmp_path / "new").exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="becomes another user, as root alone can")
def test_a_lock_of_one_user_keeps_another_one_off():
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:  # pytest's own folders are closed to others
        path = Path(folder, "a.lock")
        Path(folder).chmod(0o1777)
        with open_lock(path) as held:
            fcntl.flock(held, fcntl.LOCK_EX)
            os.seteuid(65534)
            try:
                with open_lock(path) as wanted, pytest.raises(BlockingIOError):
                    fcntl.flock(wanted, fcntl.LOCK_EX | fcntl.LOCK_NB)
            finally:
                os.seteuid(0)
