"""A stage works on its outs alone: a second start and Ctrl-C are one line, what a killed one held or kept is free or gone."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from pipeline import stages
from pipeline.common.errors import Busy
from tests.planted import ROOT

HOLD = """
import tempfile, time
from pipeline import stages
with stages._own("student@half"):
    tempfile.mkdtemp()
    print("held", flush=True)
    time.sleep(600)
"""


@pytest.fixture
def holder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TMPDIR", str(tmp_path / "tmp"))
    monkeypatch.setattr(tempfile, "tempdir", None)
    (tmp_path / "tmp").mkdir()
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD], env=os.environ | {"PYTHONPATH": str(ROOT)}, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.wait()


def test_a_second_start_says_who_runs_the_stage(holder, monkeypatch):
    monkeypatch.setattr(stages, "DYING_SECONDS", 0.2)
    with pytest.raises(Busy) as refused, stages._lock("student@half"):
        pass
    assert str(refused.value) == f"student@half runs here already, as process {holder.pid}: wait for it, or stop it"
    with stages._lock("student@thin"):  # another stage's outs are free
        pass


def test_ctrl_c_is_one_line(tmp_path):
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD], cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(ROOT)}, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )  # fmt: skip
    assert process.stdout.readline() == "held\n"
    process.send_signal(signal.SIGINT)
    assert process.communicate(timeout=60)[1] == "stopped: `dvc repro` goes on with what is left\n" and process.returncode


def test_a_killed_process_holds_nothing(holder):
    holder.kill()
    with stages._lock("student@half"):
        assert holder.wait() == -9


def test_what_a_killed_process_kept_for_a_while_is_gone_after_the_next(holder):
    (folder,) = Path("tmp").iterdir()
    assert list(folder.iterdir())
    holder.kill()
    with stages._own("student@half"):
        assert Path(tempfile.mkdtemp()).parent.parent == Path("tmp").absolute() and not folder.exists()
    assert not list(Path("tmp").iterdir()) and os.listdir(".bigfoot/locks") == ["student@half.lock"]
    assert os.environ["TMPDIR"] == tempfile.gettempdir() == str(Path("tmp").absolute())


def test_a_copy_of_a_project_leaves_the_files_of_a_stage_that_runs_in_the_other(holder, tmp_path, monkeypatch):
    (folder,) = Path("tmp").iterdir()
    shutil.copytree(".bigfoot", "copy/.bigfoot")
    monkeypatch.chdir("copy")
    with stages._own("student@half"):
        pass
    assert list((tmp_path / "tmp" / folder.name).iterdir())


def test_arguments_that_a_stage_does_not_take_are_one_line(tmp_path):
    command = [sys.executable, "-m", "pipeline.stages.prepare", "foo"]
    done = subprocess.run(command, cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (1, "error: prepare: too many positional arguments\n")
