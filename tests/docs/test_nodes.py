"""The page on several nodes is followed by two "nodes" on this machine, which talk over gloo. Slow: each trains a teacher."""

import contextlib
import functools
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time

import pytest

from tests import tones
from tests.docs import pages, shell

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500)]
PAGE = pages.ROOT / "docs/scaling.md"
HERE = {"MLFLOW_TRACKING_URI": "http://127.0.0.1:9", "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}
SRUN = """#!/bin/bash
# As srun with one task per node: the command runs once for each, with its own SLURM_NODEID.
for option in "$@"; do [[ $option == --* ]] && shift || break; done
for node in $(seq 0 $((SLURM_NNODES - 1))); do SLURM_NODEID=$node "$@" & tasks+=($!); done
for task in "${tasks[@]}"; do wait "$task" || exit 1; done
"""


def blocks(test: str) -> list[str]:
    """The page's blocks of a test, for one process per node on this machine."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    here = {
        "num_processes: 16": "num_processes: 2", "node1": "127.0.0.1", "$(hostname)": "127.0.0.1", "29500": port,
        "--nproc-per-node 8": "--nproc-per-node 1", "MULTI_GPU": "MULTI_GPU\nuse_cpu: true",
    }  # fmt: skip
    found = [block.text for block in pages.blocks(PAGE) if block.test == test]
    for old, new in here.items():
        found = [text.replace(old, new) for text in found]
    return found


@pytest.fixture
def project(tmp_path):
    """A clone in which the stage teacher is the next one."""
    return tones.project(shell.clone(tmp_path / "project"), steps=20)


def together(scripts: list[str], folder, **variables: str) -> str:
    """Execute scripts at the same time, each on a node of its own; returns their output."""
    environment = shell.environment(folder) | HERE | variables
    start = functools.partial(subprocess.Popen, cwd=folder, env=environment, text=True, start_new_session=True)
    logs = [folder.parent / f"node{number}.txt" for number in range(len(scripts))]
    nodes = [
        start(["bash", "-euxc", script], stdout=log.open("w"), stderr=subprocess.STDOUT)
        for script, log in zip(scripts, logs, strict=True)
    ]
    deadline = time.monotonic() + 1200
    while any(node.poll() is None for node in nodes):
        if any(node.returncode for node in nodes) or time.monotonic() > deadline:  # then the other one waits in vain
            for node in nodes:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(node.pid, signal.SIGTERM)
            break
        time.sleep(0.2)
    output = "\n".join(log.read_text() for log in logs)
    assert all(node.wait(60) == 0 for node in nodes), output[-6000:]
    return output


def steps(output: str) -> int:
    return output.count("step 20/20")


def test_dvc_starts_the_processes_of_its_node_and_the_launcher_those_of_another(project):
    file, other, first = blocks("nodes")
    (project / "accelerate.yaml").write_text(file)
    output = together([other, first], project)
    assert 1 <= steps(output) <= 2, "one process of both nodes reports: its loss and its dev WER"
    assert tones.metrics(project)["steps"] == 20 and "Updating lock file" in output


def test_torchrun_starts_the_same_processes_and_dvc_is_told(project):
    other, first = blocks("torchrun")
    output = together([other, first], project)
    assert 1 <= steps(output) <= 2 and tones.metrics(project)["steps"] == 20
    assert "models/teacher" in (project / "dvc.lock").read_text()


def test_the_slurm_script_starts_one_launcher_per_node(project, tmp_path):
    (script,) = blocks("slurm")
    srun = tmp_path / "bin/srun"
    srun.parent.mkdir()
    srun.write_text(SRUN)
    srun.chmod(0o755)
    path = f"{srun.parent}:{shell.environment(project)['PATH']}"
    output = together([script], project, PATH=path, SLURM_NNODES="2", SLURM_GPUS_ON_NODE="1")
    assert 1 <= steps(output) <= 2 and tones.metrics(project)["steps"] == 20


def test_options_of_the_launchers_exist():
    helps = {
        tool: subprocess.run([sys.executable, "-m", *module.split(), "--help"], capture_output=True, text=True).stdout
        for tool, module in (("accelerate", "accelerate.commands.launch"), ("torchrun", "torch.distributed.run"))
    }
    texts = [text for test in ("nodes", "torchrun", "slurm") for text in blocks(test)]
    used = [command for text in texts for command in pages.commands(text) if command[0] in helps]
    used += [line.split() for line in texts[-1].splitlines() if line.strip().startswith("accelerate launch")]
    found = [(tool, word) for tool, *words in used for word in words[: words.index("-m")] if word.startswith("--")]
    assert len(set(found)) >= 7
    assert not {(tool, option) for tool, option in found if option not in re.findall(r"--[a-z_-]+", helps[tool])}


@pytest.mark.skipif(not shutil.which("sbatch"), reason="no Slurm here")
def test_options_of_slurm_exist():
    (script,) = blocks("slurm")
    for tool, options in (
        ("sbatch", re.findall(r"^#SBATCH (--[a-z-]+)", script, re.MULTILINE)),
        ("srun", re.findall(r"^srun (--[a-z-]+)", script, re.MULTILINE)),
    ):
        text = subprocess.run([tool, "--help"], capture_output=True, text=True).stdout
        assert options and all(option in text for option in options), tool
