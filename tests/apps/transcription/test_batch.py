"""`bigfoot transcribe --out`: one table of files and addresses, the same however often a run was killed."""

import functools
import http.server
import importlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import fsspec
import pytest
import soundfile
from pyarrow import parquet

from pipeline.apps.transcription import batch, remote, run
from pipeline.apps.transcription.files import Recording
from pipeline.common.errors import BigfootError, Busy
from pipeline.project import Project
from tests.docs import services
from tests.nodes import is_at_work, nodes
from tests.planted import ROOT, bigfoot
from tests.tiny import speech

__all__ = ["nodes"]  # the fixture
NOWHERE = Project(Path("nowhere"))  # for variants that are folders


@pytest.fixture(scope="module")
def talks(variant, tmp_path_factory):
    """A folder with two recordings and what `--format json` says of them, named as below that folder."""
    folder = tmp_path_factory.mktemp("talks")
    (folder / "c").mkdir()
    (folder / "notes.txt").touch()
    for number, name in enumerate(("b.flac", "c/d.wav")):
        soundfile.write(folder / name, speech(3.0, seed=number), 16_000)
    done = bigfoot("transcribe", variant, ".", "--format", "json", "--threads", 1, cwd=folder)
    return folder, done.stdout.splitlines()


def transcribe(variant, names, table, **options) -> bool:
    return batch.transcribe(str(variant), list(map(str, names)), table, NOWHERE, threads=1, **options)


def rows(table: Path) -> list[dict]:
    return [json.loads(line) for line in table.read_text().splitlines()]


def test_both_tables_have_what_json_has_and_leave_nothing_beside_them(variant, talks, tmp_path, monkeypatch):
    folder, lines = talks
    monkeypatch.chdir(folder)
    assert transcribe(variant, ["."], tmp_path / "a.jsonl", workers=2) and transcribe(variant, ["."], tmp_path / "a.parquet")
    assert (tmp_path / "a.jsonl").read_text().splitlines() == lines
    written = parquet.read_table(tmp_path / "a.parquet").to_pylist()
    for row in written:
        assert {word.pop("channel") for word in row["words"]} == {None}
    assert written == [json.loads(line) for line in lines]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.jsonl", "a.parquet"]


def test_a_killed_run_goes_on_and_its_table_has_the_same_bytes(variant, tmp_path):
    for number in range(40):
        soundfile.write(tmp_path / f"{number:02}.wav", speech(20.0, seed=number % 5), 16_000)
    table, whole = tmp_path / "out/a.jsonl", tmp_path / "whole.jsonl"
    command = [sys.executable, "-m", "pipeline.cli", "transcribe", variant, ".", "--threads", "1", "--out"]
    start = functools.partial(subprocess.Popen, cwd=tmp_path, stderr=subprocess.PIPE, env=environment())
    killed = start([*command, table])
    wait_for_parts(killed, table, 3)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    kept = len(list(parts(table)))
    assert 3 <= kept < 40 and not table.exists()
    assert f"a.jsonl: {kept} of 40 recordings are done already" in start([*command, table]).communicate()[1].decode()
    start([*command, whole]).communicate()
    assert table.read_bytes() == whole.read_bytes() and [path.name for path in table.parent.iterdir()] == [table.name]


def environment() -> dict[str, str]:
    return os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}


def parts(table: Path):
    return table.parent.glob(f"{table.name}.parts/*/*.json")


def wait_for_parts(process: subprocess.Popen, table: Path, number: int, also=lambda: True) -> None:
    deadline = time.monotonic() + 120
    while len(list(parts(table))) < number or not also():
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.005)


def test_a_second_run_keeps_off_the_table_of_one_that_is_at_work(variant, talks, tmp_path):
    table = tmp_path / "a.jsonl"
    with batch._alone(table, tmp_path / "a.jsonl.parts"), pytest.raises(Busy, match="another run is writing .*a.jsonl: wait"):
        transcribe(variant, [talks[0]], table)
    assert transcribe(variant, [talks[0]], table) and [path.name for path in tmp_path.iterdir()] == ["a.jsonl"]


def test_failed_recordings_are_listed_and_alone_tried_again(variant, talks, tmp_path, capsys):
    bad, gone, table, good = tmp_path / "bad.wav", tmp_path / "gone.wav", tmp_path / "a.jsonl", talks[0] / "b.flac"
    bad.write_bytes(b"no audio")
    names = [bad, good, gone, bad]
    assert not transcribe(variant, names, table, workers=2)
    listed = rows(tmp_path / "a.jsonl.failed.jsonl")
    assert [row["file"] for row in listed] == [str(bad), str(gone), str(bad)]
    assert "bad.wav can't be read" in listed[0]["reason"] and "gone.wav is missing" in listed[1]["reason"]
    assert f"error: no transcript of 3 of 4 recordings, {table}.failed.jsonl says" in capsys.readouterr().err
    assert [row["file"] for row in rows(table)] == [str(good)]

    (part,) = parts(table)
    part.write_text(part.read_text().replace('"text": "', '"text": "kept '))
    for path in (bad, gone):
        path.write_bytes(good.read_bytes())
    assert transcribe(variant, names, table)
    found = rows(table)
    assert [row["file"] for row in found] == list(map(str, names)) and [r["text"][:5] == "kept " for r in found] == [0, 1, 0, 0]
    assert not list(tmp_path.glob("a.jsonl.failed.jsonl")) and not list(parts(table))


@pytest.mark.parametrize("left", [b"", bytes(300), b'{"file": "b.fl'], ids="empty zeros half".split())
def test_a_transcript_that_a_power_cut_left_broken_is_made_again(variant, talks, tmp_path, left):
    bad, good, table = tmp_path / "bad.wav", talks[0] / "b.flac", tmp_path / "a.jsonl"
    bad.write_bytes(b"no audio")
    assert not transcribe(variant, [bad, good], table)
    (part,) = parts(table)
    part.write_bytes(left)
    assert not transcribe(variant, [bad, good], table)
    assert [row["file"] for row in rows(table)] == [str(good)]


def test_recordings_whose_names_hide_what_tells_them_apart_have_a_transcript_each(tmp_path):
    alike = [Recording("https://h/a?key=***", Path("a"), Path("a"), f"https://h/a?key={key}", "v") for key in "xy"]
    first, second = (batch._part(tmp_path, each) for each in batch._told_apart(alike))
    assert first != second
    one, again = (batch._part(tmp_path, *batch._told_apart([each])) for each in alike)
    assert one == again, "signed anew for each run, it is the same recording"


@pytest.mark.parametrize("change", ["content", "variant", "channels"])
def test_what_was_made_otherwise_is_made_again(variant, talks, tmp_path, change, capsys):
    sound, copy, table = tmp_path / "a.wav", tmp_path / "local.fp32-onnx", tmp_path / "a.jsonl"
    sound.write_bytes((talks[0] / "c/d.wav").read_bytes())
    copy.mkdir()
    for file in variant.iterdir():
        (copy / file.name).write_bytes(file.read_bytes())
    assert not transcribe(copy, [sound, tmp_path / "gone.wav"], table)
    (part,) = parts(table)
    if change == "content":
        sound.write_bytes((talks[0] / "b.flac").read_bytes())
    elif change == "variant":
        model = (copy / "model.onnx").read_bytes()
        (copy / "model.onnx").write_bytes(model[:-1] + bytes([model[-1] ^ 1]))
    assert not transcribe(
        copy, [sound, tmp_path / "gone.wav"], table, **({"channels": "first"} if change == "channels" else {})
    )
    assert part.is_file() and len(list(parts(table))) == 2
    assert "done already" not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (["--out", "a.txt"], "error: --out a.txt: it becomes a table, so call it .jsonl or .parquet"),
        (["--out", "a.jsonl", "--format", "srt"], "error: --out writes one table in the form of its name"),
        (["--out", "a.jsonl", "--out-dir", "b"], "error: --out writes one table in the form of its name"),
        (["--out", "b.flac/a.jsonl"], r"error: b.flac/a.jsonl.parts "),
    ],
)
def test_a_table_that_cannot_be_is_one_line_before_anything_is_done(variant, talks, options, complaint):
    done = bigfoot("transcribe", variant, "b.flac", *options, cwd=talks[0])
    assert done.returncode == 1 and done.stderr.startswith(complaint) and done.stderr.count("\n") == 1


# ---------------------------------------------------------------- addresses


@pytest.fixture
def memory(talks):
    """The recordings in the memory of this process."""
    store = fsspec.filesystem("memory")
    for path in talks[0].rglob("*"):
        if path.is_file():
            store.pipe(f"/bucket/{path.relative_to(talks[0])}", path.read_bytes())
    yield "memory://bucket"
    store.rm("/bucket", recursive=True)


def test_addresses_are_read_as_files_are_and_named_as_given(variant, talks, memory, tmp_path, capsys, monkeypatch):
    texts = [json.loads(line)["text"] for line in talks[1]]
    monkeypatch.setenv("TMPDIR", str(tmp_path / "tmp"))
    (tmp_path / "tmp").mkdir()
    for url in (f"file://{talks[0]}", memory, f"{memory}/"):
        assert transcribe(variant, [url], tmp_path / "a.jsonl")
        found = [(row["file"], row["text"]) for row in rows(tmp_path / "a.jsonl")]
        assert found == [(f"{url.rstrip('/')}/{name}", text) for name, text in zip(("b.flac", "c/d.wav"), texts, strict=True)]
    assert run.transcribe(str(variant), [memory], "txt", tmp_path / "out", NOWHERE, threads=1)
    assert (tmp_path / "out/c/d.txt").read_text() == texts[1] + "\n" and capsys.readouterr().err == ""
    assert run.transcribe(str(variant), [f"{memory}/c/d.wav"], "txt", None, NOWHERE, threads=1)
    assert capsys.readouterr().out == texts[1] + "\n"
    assert not run.transcribe(str(variant), [f"{memory}/none.wav"], "txt", None, NOWHERE, threads=1)
    assert capsys.readouterr().err == f"error: {memory}/none.wav is missing: check the address\n"
    assert not list((tmp_path / "tmp").iterdir())


def test_an_object_that_changes_is_transcribed_again(variant, talks, memory, tmp_path):
    assert not transcribe(variant, [memory, "gone.wav"], tmp_path / "a.jsonl")
    fsspec.filesystem("memory").pipe("/bucket/b.flac", (talks[0] / "c/d.wav").read_bytes())
    assert not transcribe(variant, [memory, "gone.wav"], tmp_path / "a.jsonl")
    first, second = rows(tmp_path / "a.jsonl")
    assert first["text"] == second["text"] and len(list(parts(tmp_path / "a.jsonl"))) == 3


def test_a_web_servers_file_is_a_recording_and_its_password_is_not_shown(variant, talks, capsys):
    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_):
            """Says nothing."""

    handler = functools.partial(Quiet, directory=str(talks[0]))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}"
        urls = [f"{address}/c/d.wav?token=hush", f"{address}/none.wav?token=hush"]
        assert not run.transcribe(str(variant), urls, "json", None, NOWHERE, threads=1)
        server.shutdown()
    captured = capsys.readouterr()
    assert json.loads(captured.out)["text"] == json.loads(talks[1][1])["text"]
    assert "hush" not in captured.out and f"error: {address}/none.wav?token=*** is missing" in captured.err
    assert "hush" not in captured.err


@pytest.mark.parametrize(
    ("url", "complaint"),
    [
        ("nothing://bucket", "nothing://bucket can't be read: Protocol not known: nothing"),
        ("http://127.0.0.1:9/a.wav", "http://127.0.0.1:9/a.wav can't be read: "),
        ("s3://bucket", r"s3://bucket needs a package that is not installed: pip install 'bigfoot-asr\[remote\]'"),
        ("gs://bucket", "gs://bucket needs a package that is not installed: .*gcsfs"),
    ],
)
def test_an_address_that_cannot_be_asked_is_one_line(url, complaint, monkeypatch):
    for package in ("s3fs", "gcsfs"):
        monkeypatch.setitem(sys.modules, package, None)
    monkeypatch.delitem(importlib.import_module("fsspec.registry")._registry, "s3", raising=False)
    with pytest.raises(BigfootError, match=f"^{complaint}"):
        remote.listed(url)


# ---------------------------------------------------------------- a real S3 server, and a real cluster


@pytest.fixture
def bucket(talks, tmp_path, monkeypatch):
    """A bucket with 40 recordings, one of them broken, in an S3 server on this machine that the environment names."""
    for key, value in services.KEYS.items():
        monkeypatch.setenv(key, value)
    with services.s3(tmp_path) as address:
        monkeypatch.setenv("AWS_ENDPOINT_URL", address)
        fsspec.get_filesystem_class("s3").clear_instance_cache()  # which has the address of an earlier test
        client = services.client(address)
        client.create_bucket(Bucket="talks")
        for number in range(40):
            soundfile.write(tmp_path / "a.wav", speech(20.0, seed=number), 16_000)
            content = b"no audio" if number == 7 else (tmp_path / "a.wav").read_bytes()
            client.put_object(Bucket="talks", Key=f"day/{number % 2}/{number:02}.wav", Body=content)
        client.put_object(Bucket="talks", Key="day/", Body=b"")
        yield "s3://talks/day"


@pytest.mark.slow
@pytest.mark.parametrize("where", ["workers", "Ray"])
def test_a_bucket_is_transcribed_though_the_run_is_killed(variant, bucket, request, tmp_path, where):
    alone, table = tmp_path / "alone.parquet", tmp_path / "a.parquet"
    assert not transcribe(variant, [bucket], alone)
    assert len(rows(tmp_path / "alone.jsonl.failed.jsonl")) == 1
    head = request.getfixturevalue("nodes")[0].head_node if where == "Ray" else None
    command = [sys.executable, "-m", "pipeline.cli", "transcribe", variant, bucket, "--out", table, "--threads", "1"]
    start = functools.partial(subprocess.Popen, [*command, "--workers", "2"], stderr=subprocess.PIPE, env=environment())
    killed = start()
    wait_for_parts(killed, table, 3, lambda: head is None or is_at_work(head))
    killed.kill()
    killed.wait()
    time.sleep(2)  # pieces under way end with it, or are written still
    kept = len(list(parts(table)))
    assert 3 <= kept < 39
    again = start()
    complaints = [line for line in again.communicate()[1].decode().splitlines() if not line.startswith("transcribe: ")]
    assert again.returncode == 1 and len(complaints) == 2, complaints
    assert complaints[0] == f"{table}: {kept} of 40 recordings are done already"
    assert complaints[1].startswith(f"error: no transcript of 1 of 40 recordings, {tmp_path}/a.jsonl.failed.jsonl says why")
    assert table.read_bytes() == alone.read_bytes()
    (failure,) = rows(tmp_path / "a.jsonl.failed.jsonl")
    assert failure["file"] == f"{bucket}/1/07.wav" and "can't be read as WAV" in failure["reason"]
