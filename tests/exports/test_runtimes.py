"""Every other runtime writes the recognizer's texts of the quickstart's test set, in an environment without Bigfoot.

A real model: the quickstart's student `thin`, trained here in five minutes, or in the finished quickstart that
BIGFOOT_QUICKSTART names. What runs are the programs of the exported folder's card, and those in programs/.
"""

import json
import os
import re
import shutil
import subprocess
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from pipeline.common.errors import BigfootError
from pipeline.exports import layouts
from pipeline.quantize.run import quantize
from pipeline.quantize.schemes import require_packages
from pipeline.recognition.recognizer import Recognizer
from pipeline.speech import audio
from pipeline.speech.corpus import open_corpus
from tests.chain.conftest import committed, copy_tracked, run_dvc
from tests.exports import environments
from tests.exports.conftest import CARD

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]
PROGRAMS = Path(__file__).parent / "programs"
LAYOUT = {
    "int8-onnx": "onnx",
    "fp32-onnx": "onnx",
    "int4w-onnx": "onnx",
    "int8-openvino": "openvino",
    "peer-executorch": "executorch",
    "peer-executorch-int8": "executorch",
    "peer-litert": "litert",
    "peer-litert-int8": "litert",
}
MOVED = 0.05  # of the texts; WebAssembly's int8 products are other ones, and a peer's int8 is not Bigfoot's
SENSITIVE = 0.01  # of the texts in few bits; sherpa-onnx normalizes audio a little otherwise, which rounding makes larger
REPEATED = 3  # times that a program hears each recording, so that its start is little beside them
PHONES = "Android, iOS, Linux, macOS, Windows, WebAssembly"
NATIVE = "Android, iOS, Linux, macOS, Windows"
DESKTOPS = "Linux, macOS, Windows"


@dataclass(frozen=True)
class Export:
    """An exported folder, and the recognizer's texts of the recordings; `wanted` are the float variant's for a peer."""

    folder: Path
    megabytes: float
    texts: list[str]
    wanted: list[str]

    @property
    def graph(self) -> str:
        return next(path.relative_to(self.folder).as_posix() for path in self.folder.glob("onnx/*.onnx"))

    def program(self, heading: str) -> Path:
        """The card's program under a heading, as a file in the folder."""
        section = (self.folder / "README.md").read_text(encoding="utf-8").partition(f"### {heading}")[2]
        language, code = re.search(r"```(\w+)\n(.*?)```", section, re.DOTALL).groups()
        file = self.folder / f"program.{ {'python': 'py', 'js': 'mjs'}[language] }"
        file.write_text(code, encoding="utf-8")
        return file


@pytest.fixture(scope="module")
def quickstart(tmp_path_factory) -> Path:
    if finished := os.environ.get("BIGFOOT_QUICKSTART"):
        return Path(finished)
    folder = tmp_path_factory.mktemp("trained") / "project"
    copy_tracked(folder)
    committed(folder)
    run_dvc(folder, "repro", "student@thin")
    return folder


@pytest.fixture(scope="module")
def recordings(quickstart, tmp_path_factory) -> list[Path]:
    """The test set as WAV files."""
    folder, corpus = tmp_path_factory.mktemp("recordings"), open_corpus(quickstart / "corpora/quickstart")
    files = [folder / f"{number:03}.wav" for number, _ in enumerate(corpus.utterances("test"))]
    for file, utterance in zip(files, corpus.utterances("test"), strict=True):
        audio.write(file, corpus.audio(utterance))
    assert len(files) >= 50
    return files


@pytest.fixture(scope="module")
def exports(quickstart, recordings, tmp_path_factory) -> Callable[[str], Export]:
    """The export of `thin` in a scheme, and the recognizer's texts of the recordings, made when first asked for."""
    folder, made = tmp_path_factory.mktemp("exports"), {}

    def texts(scheme: str) -> list[str]:
        corpus, variant = open_corpus(quickstart / "corpora/quickstart"), folder / f"thin.{scheme}"
        quantize(scheme, {}, quickstart / "models/thin", corpus, variant)
        recognizer = Recognizer.load(variant)
        return [recognizer.transcribe(audio.read(file)) for file in recordings]

    def export(scheme: str) -> Export:
        if scheme not in made:
            own, out = texts(scheme), folder / scheme
            layouts.write(folder / f"thin.{scheme}", out, LAYOUT[scheme], CARD)
            megabytes = sum(path.stat().st_size for path in out.rglob("*") if path.is_file()) / 1e6
            made[scheme] = Export(out, megabytes, own, texts("fp32") if scheme.startswith("peer-") else own)
        return made[scheme]

    return export


def run(command: list[str | Path], folder: Path, **environment: str) -> tuple[list[str], float, float]:
    """(lines printed, seconds, peak memory in MB) of a program in a folder."""
    with (folder / "printed.txt").open("w+") as out, (folder / "errors.txt").open("w+") as errors:
        began, memory = time.monotonic(), 0.0
        running = subprocess.Popen(command, cwd=folder, stdout=out, stderr=errors, env=_without_bigfoot() | environment)
        while running.poll() is None:
            memory = _peak_mb(running.pid) or memory
            time.sleep(0.02)
        seconds = time.monotonic() - began
        errors.seek(0)
        assert running.returncode == 0, errors.read()[-3000:]
        out.seek(0)
        return out.read().split("\n")[:-1], seconds, memory


def _peak_mb(pid: int) -> float | None:
    """Of the program that a process runs now (what wait4 gives begins at its starter's peak); None where it has ended."""
    status = Path(f"/proc/{pid}/status").read_text()
    found = re.search(r"^VmHWM:\s+(\d+)", status, re.MULTILINE)
    return int(found[1]) * 1024 / 1e6 if found else None


def _without_bigfoot() -> dict[str, str]:
    return {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "VIRTUAL_ENV")}


def hold(export: Export, command: list, recordings: list[Path], record_property, **environment: str) -> None:
    """Hold a program's texts against the recognizer's, and record its size, speed and memory."""
    start = min(run([*command, recordings[0]], export.folder, **environment)[1] for _ in range(2))
    lines, seconds, memory = run([*command, *recordings * REPEATED], export.folder, **environment)
    texts = lines[: len(recordings)]
    assert lines == texts * REPEATED
    others = [(theirs, ours) for theirs, ours in zip(texts, export.texts, strict=True) if theirs != ours]
    assert len(others) <= len(recordings) * (SENSITIVE if "int4w" in export.folder.name else 0), others
    equal = sum(ours == theirs for ours, theirs in zip(export.wanted, texts, strict=True))
    assert equal >= len(recordings) * (1 - MOVED if "int" in export.folder.name else 1)
    milliseconds = 1000 * (seconds - start) / (len(lines) - 1)
    record(record_property, export, len(recordings), equal, milliseconds, memory)


def record(record_property, export: Export, texts: int, equal: int, milliseconds: float, memory: float | None) -> None:
    """Record a row of docs/deploy.md; on a busy machine a program's start may seem to last longer than all of it."""
    figures = {"tried": texts, "equal": equal, "megabytes": round(export.megabytes, 2)}
    figures |= {"milliseconds": round(milliseconds, 1)} if milliseconds > 0 else {}
    figures |= {"memory": round(memory)} if memory else {}
    for name, value in figures.items():
        record_property(name, value)


def require(scheme: str) -> None:
    """Skip where what makes a peer is not installed."""
    try:
        require_packages(scheme)
    except BigfootError as error:
        pytest.skip(str(error))


def cases(*runtimes: tuple[str, ...]) -> dict:
    """Arguments of `parametrize` for (runtime, scheme, platforms ...), in which `label` is the runtime with its version."""
    values = [(environments.label(runtime), runtime, *rest) for runtime, *rest in runtimes]
    names = ("label", "runtime", "scheme", "platforms", "heading")[: len(values[0])]
    return {"argnames": names, "argvalues": values, "ids": [f"{runtime}-{scheme}" for runtime, scheme, *_ in runtimes]}


@pytest.mark.shows("deployed", "{label}, Python: thin.{scheme}", "{platforms}")
@pytest.mark.parametrize(
    **cases(
        ("sherpa-onnx", "int8-onnx", PHONES, "sherpa-onnx"),
        ("sherpa-onnx", "fp32-onnx", PHONES, "sherpa-onnx"),
        ("sherpa-onnx", "int4w-onnx", PHONES, "sherpa-onnx"),
        ("onnxruntime", "int8-onnx", PHONES, "ONNX Runtime"),
        ("onnxruntime", "int4w-onnx", PHONES, "ONNX Runtime"),
        ("optimum-onnx", "int4w-onnx", DESKTOPS, "Optimum"),
        ("optimum-onnx", "int8-onnx", DESKTOPS, "Optimum"),
        ("optimum-onnx", "fp32-onnx", DESKTOPS, "Optimum"),
        ("optimum-intel", "int8-openvino", DESKTOPS, "Optimum Intel"),
        ("executorch", "peer-executorch", NATIVE, "ExecuTorch"),
        ("executorch", "peer-executorch-int8", NATIVE, "ExecuTorch"),
        ("ai-edge-litert", "peer-litert", PHONES, "LiteRT"),
        ("ai-edge-litert", "peer-litert-int8", PHONES, "LiteRT"),
    )
)
def test_a_python_runtime_writes_the_recognizers_texts(
    exports, recordings, record_property, label, runtime, scheme, platforms, heading
):
    require(scheme)
    export = exports(scheme)
    command = [environments.python(runtime), export.program(heading).name]
    hold(export, command, recordings, record_property, HF_HUB_OFFLINE="1")


@pytest.mark.parametrize(
    ("runtime", "scheme", "heading"),
    [("executorch", "peer-executorch", "ExecuTorch"), ("ai-edge-litert", "peer-litert", "LiteRT")],
)
def test_a_program_says_in_one_line_that_a_recording_is_too_long(exports, runtime, scheme, heading, tmp_path):
    require(scheme)
    audio.write(tmp_path / "long.wav", np.zeros(31 * 16_000, dtype=np.float32))
    command = [environments.python(runtime), exports(scheme).program(heading).name, tmp_path / "long.wav"]
    done = subprocess.run(command, cwd=exports(scheme).folder, capture_output=True, text=True, env=_without_bigfoot())
    assert done.returncode == 1 and done.stderr.endswith("long.wav is longer than 30 s: cut it at pauses\n")


@pytest.mark.shows("deployed", "{label}, Node: thin.{scheme}", "{platforms}")
@pytest.mark.parametrize(
    **cases(
        ("sherpa-onnx-node", "int8-onnx", DESKTOPS),
        ("sherpa-onnx-wasm", "int8-onnx", "WebAssembly"),
        ("sherpa-onnx-node", "int4w-onnx", DESKTOPS),
        ("sherpa-onnx-wasm", "int4w-onnx", "WebAssembly"),
        ("@huggingface/transformers", "int4w-onnx", DESKTOPS),
        ("@huggingface/transformers", "int8-onnx", DESKTOPS),
        ("@huggingface/transformers", "fp32-onnx", DESKTOPS),
    )
)
def test_a_node_runtime_writes_the_recognizers_texts(exports, recordings, record_property, label, runtime, scheme, platforms):
    export, modules = exports(scheme), environments.node()
    link = export.folder / "node_modules"
    link.exists() or link.symlink_to(modules)
    if runtime.startswith("@"):
        program = [export.program("transformers.js").name]
    else:
        program = [Path(shutil.copy(PROGRAMS / f"{runtime}.cjs", export.folder)).name, export.graph]
    hold(export, ["node", *program], recordings, record_property, LD_LIBRARY_PATH=str(modules / "sherpa-onnx-linux-x64"))


def test_the_release_of_onnx_asr_refuses_the_layout_until_it_has_the_model_type(quickstart, tmp_path):
    """Its repository has it (2c2fe19 gave all 150 texts, in batches too): the day this fails, hold its texts."""
    quantize("int8-onnx", {}, quickstart / "models/thin", None, tmp_path / "variant")
    layouts.write(tmp_path / "variant", tmp_path / "out", "onnx-asr", CARD)
    command = [environments.python("onnx-asr"), Export(tmp_path / "out", 0, [], []).program("onnx-asr").name]
    with pytest.raises(AssertionError, match="Model 'wav2vec2-ctc' not supported"):
        run(command, tmp_path / "out")


class Pages(SimpleHTTPRequestHandler):
    """Serves the page, `server.folders` and `server.recordings`, and keeps what is posted as `server.heard`."""

    def translate_path(self, path: str) -> str:
        top, _, rest = path.partition("?")[0].lstrip("/").partition("/")
        return str(self.server.folders.get(top, Path("/none")) / rest)

    def do_GET(self):
        if self.path != "/recordings.json":
            return super().do_GET()
        self._answer(json.dumps([f"/recordings/{file.name}" for file in self.server.recordings]).encode())

    def do_POST(self):
        self.server.heard = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self._answer(b"")
        self.server.is_done.set()

    def _answer(self, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.mark.shows("deployed", "{label}, Chromium: thin.{scheme}", "{platforms}")
@pytest.mark.parametrize(
    **cases(
        ("@huggingface/transformers", "int8-onnx", "browsers (WebAssembly)"),
        ("@huggingface/transformers", "int4w-onnx", "browsers (WebAssembly)"),
        ("@huggingface/transformers", "fp32-onnx", "browsers (WebAssembly)"),
    )
)
def test_a_browser_writes_the_recognizers_texts(
    exports, recordings, record_property, label, runtime, scheme, platforms, tmp_path
):
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if not chromium:
        pytest.skip("Chromium is not installed")
    export, server = exports(scheme), ThreadingHTTPServer(("127.0.0.1", 0), Pages)
    server.folders = {
        "page": PROGRAMS,
        "model": export.folder,
        "modules": environments.node(),
        "recordings": recordings[0].parent,
    }
    server.recordings, server.is_done, server.heard = recordings, threading.Event(), {}
    threading.Thread(target=server.serve_forever, daemon=True).start()
    page = f"http://127.0.0.1:{server.server_port}/page/transformers.html?dtype={'q8' if 'int' in scheme else 'fp32'}"
    options = ["--headless=new", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'profile'}"]
    browser = subprocess.Popen([chromium, *options, page], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        assert server.is_done.wait(600), "the page has not answered"
    finally:
        browser.terminate()
        browser.wait()
        server.shutdown()
        server.server_close()
    assert "error" not in server.heard, server.heard["error"]
    equal = sum(ours == theirs for ours, theirs in zip(export.texts, server.heard["texts"], strict=True))
    assert equal >= len(recordings) * (1 if scheme == "fp32-onnx" else 1 - MOVED)
    record(record_property, export, len(recordings), equal, 1000 * server.heard["seconds"] / len(recordings), None)
