"""What is killed takes with it all that works for it: nothing is left that no one waits for."""

import os
import subprocess
import sys

import psutil
import pytest

from tests.planted import ROOT

SLEEP = "import subprocess, time; subprocess.Popen(['sleep', '601']); print('up', flush=True); time.sleep(600)"
WATCHED = f"from pipeline.common.parent import end_with_starter; end_with_starter('STARTED'); {SLEEP}"
# As DVC starts a stage: a program, a shell with the variable, the process itself.
STARTER = f"""
import os, subprocess, sys
shell = "{{sys.executable}} -c \\"$CODE\\"; true"
subprocess.run(["sh", "-c", shell.format(sys=sys)], env=os.environ | {{"STARTED": "1", "CODE": {WATCHED!r}}})
"""
POOL = """
import multiprocessing, sys, time
from concurrent.futures import ProcessPoolExecutor
from pipeline.common.parent import end_with_pool

if __name__ == "__main__":
    pool = ProcessPoolExecutor(2, multiprocessing.get_context("spawn"), end_with_pool)
    list(pool.map(abs, range(100)))
    print("up", flush=True)
    time.sleep(600)
"""


@pytest.mark.parametrize("code", [STARTER, POOL], ids=["behind a shell", "a pool of workers"])
def test_a_killed_process_leaves_nothing_that_works_for_it(tmp_path, code):
    (tmp_path / "main.py").write_text(code)
    killed = subprocess.Popen(
        [sys.executable, "main.py"], cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(ROOT)}, stdout=subprocess.PIPE, text=True
    )
    assert killed.stdout.readline() == "up\n"
    left = psutil.Process(killed.pid).children(recursive=True)
    assert len(left) >= 3  # the shell, the process and its own child; or two workers and their tracker
    killed.kill()
    killed.wait()
    _, alive = psutil.wait_procs(left, timeout=20)
    assert not alive


def test_what_was_started_by_hand_outlives_its_terminal():
    """Without the variable nothing is watched: `nohup python -m pipeline.stages.teacher &`."""
    environment = {key: value for key, value in os.environ.items() if key != "DVC_STAGE"} | {"PYTHONPATH": str(ROOT)}
    code = f"import pipeline.stages, threading; print(threading.active_count()); {SLEEP}"
    shell = subprocess.Popen(
        ["sh", "-c", f'{sys.executable} -c "$CODE"; true'],
        env=environment | {"CODE": code}, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert shell.stdout.readline() == "1\n" and shell.stdout.readline() == "up\n"
    started = psutil.Process(shell.pid).children(recursive=True)
    shell.kill()
    assert len(started) == 2 and len(psutil.wait_procs(started, timeout=2)[1]) == 2
    for process in started:
        process.kill()
