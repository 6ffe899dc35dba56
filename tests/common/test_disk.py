"""A full disk, a limit and a folder that can't be written are one line, whichever library writes."""

import resource
import subprocess
import sys

import pytest

from tests.planted import ROOT

LIMIT = 200_000  # bytes that a file may have: what `ulimit -f` sets, and what a full disk looks like to a program
BEGIN = "from pathlib import Path\nimport numpy as np\nbig = np.random.default_rng(0).uniform(-1, 1, 1_000_000).astype('f4')\n"
WRITERS = {
    "text": "from pipeline.common.files import write_json; write_json(Path('a.json'), big.tolist())",
    "audio": "from pipeline.speech import audio; audio.write('a.flac', big)",
    "numpy": "big.tofile(Path('a.bin').open('wb'))",
    "safetensors": "from safetensors.numpy import save_file; save_file({'a': big}, 'a.safetensors')",
    "torch": "import torch; torch.save(torch.from_numpy(big), 'a.pt')",
    "onnx": "from onnx import helper, numpy_helper, save\n"
    "save(helper.make_model(helper.make_graph([], 'g', [], [], [numpy_helper.from_array(big, 'w')])), 'a.onnx')",
    "openvino": "import openvino\nfrom openvino import opset13 as op\ninput = op.parameter([big.size], np.float32)\n"
    "model = openvino.Model([op.add(input, op.constant(big))], [input])\nopenvino.save_model(model, 'a.xml', False)",
}


def run(folder, code: str, **changes) -> subprocess.CompletedProcess:
    """A command line whose work is this code, in `folder`."""
    indented = "\n".join(f"    {line}" for line in (BEGIN + code).splitlines())
    program = f"from pipeline.common.command import stage_main\ndef work():\n{indented}\nstage_main(work, [])"
    return subprocess.run(
        [sys.executable, "-c", program], cwd=folder, capture_output=True, text=True,
        **{"env": {"PYTHONPATH": str(ROOT), "PATH": ""}} | changes,
    )  # fmt: skip


def line(done: subprocess.CompletedProcess) -> str:
    """The one line of a command that failed."""
    assert done.returncode == 1, done.stderr
    (only,) = [text for text in done.stderr.splitlines() if "Warning" not in text]
    return only


@pytest.mark.shows("full", "no more room, in each library that writes", "one line, nothing half done")
@pytest.mark.parametrize("writer", WRITERS)
def test_a_disk_without_space_is_one_line(tmp_path, writer):
    limited = run(tmp_path, WRITERS[writer], preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (LIMIT, LIMIT)))
    assert line(limited).startswith("error: the disk of ") and "free some space and run it again" in limited.stderr
    assert not (tmp_path / "a.json.part").exists()


def test_a_folder_that_cant_be_written_is_named(tmp_path):
    (tmp_path / "reports").write_text("a file where a folder belongs")
    done = run(tmp_path, "Path('reports/a.json').write_text('{}')")
    assert line(done) == "error: reports/a.json can't be used (Not a directory): check its permissions and its disk"


def test_without_a_folder_for_temporary_files_the_line_says_which_variable_helps(tmp_path):
    code = "import tempfile; tempfile._candidate_tempdir_list = lambda: ['/proc']; tempfile.mkdtemp()"
    assert line(run(tmp_path, code)).endswith("set TMPDIR to one that can")


def test_a_mistake_of_ours_stays_a_traceback(tmp_path):
    done = run(tmp_path, "{}['a']")
    assert done.returncode == 1 and "Traceback" in done.stderr and "KeyError" in done.stderr
