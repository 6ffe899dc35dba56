"""`bigfoot transcribe --live` writes final text to stdout, rewrites partial text on a terminal, and ends well by Ctrl-C."""

import json
import os
import pty
import signal
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from pipeline.quantize.run import quantize
from pipeline.recognition.recognizer import Recognizer
from tests import tiny

ROOT = Path(__file__).parents[3]
AUDIO = tiny.speech(3.0)
PCM = np.round(AUDIO * 32767).astype("<i2").tobytes()


@pytest.fixture(scope="module")
def variant(tmp_path_factory):
    folder = tmp_path_factory.mktemp("live")
    quantize("fp32-onnx", {}, tiny.save_model(folder / "tiny"), None, folder / "tiny.fp32-onnx")
    return folder / "tiny.fp32-onnx"


def bigfoot(*arguments, **options) -> subprocess.Popen:
    command = [sys.executable, "-m", "pipeline.cli", "transcribe", *map(str, arguments), "--live"]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.Popen(command, cwd=options.pop("cwd", ROOT), env=environment, **pipes | options)


def expected(variant: Path) -> str:
    return Recognizer.load(variant).transcribe((np.frombuffer(PCM, "<i2") / 32768).astype(np.float32))


def test_with_context_over_all_the_lines_are_the_files_text(variant):
    out, err = bigfoot(variant, "-", "--right", 10).communicate(PCM)
    assert out.decode().split() == expected(variant).split() and expected(variant), err


def test_json_lines_have_words_and_times(variant):
    out, err = bigfoot(variant, "-", "--format", "json").communicate(PCM)
    found = [json.loads(line) for line in out.splitlines()]
    assert found, err
    for each in found:
        assert each["text"] == " ".join(word["word"] for word in each["words"])
        assert (each["start"], each["end"]) == (each["words"][0]["start"], each["words"][-1]["end"])
        assert 0 <= each["start"] < each["end"] <= 3.01
    assert found == sorted(found, key=lambda each: each["start"])


def test_ctrl_c_ends_with_what_was_said_so_far(variant):
    whole, _ = bigfoot(variant, "-").communicate(PCM)
    started = bigfoot(variant, "-", stderr=subprocess.PIPE, bufsize=0)
    started.stdin.write(PCM)
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and not is_waiting(started.pid):
        time.sleep(0.2)
    started.send_signal(signal.SIGINT)
    assert started.wait(60) == 0
    assert (started.stdout.read(), started.stderr.read()) == (whole, b"")


def is_waiting(pid: int) -> bool:
    """Whether the process has taken over Ctrl-C (SigCgt) and has read all that was written to it (it sleeps)."""
    status = dict(line.split(":\t", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines() if ":\t" in line)
    handles = int(status["SigCgt"], 16) >> (signal.SIGINT - 1) & 1
    loaded = "onnxruntime" in Path(f"/proc/{pid}/maps").read_text()
    return bool(handles and loaded and status["State"].startswith("S")) and settled(pid)


def settled(pid: int) -> bool:
    """Whether it has used hardly any time of the CPU for a second."""

    def used() -> int:
        return sum(map(int, Path(f"/proc/{pid}/stat").read_text().split()[13:15]))

    before = used()
    time.sleep(1)
    return used() - before <= 5


def test_a_terminal_shows_partial_text_on_one_line(variant):
    screen, terminal = pty.openpty()
    started = bigfoot(variant, "-", stderr=terminal)
    out, _ = started.communicate(PCM)
    os.close(terminal)
    shown = b""
    try:
        while piece := os.read(screen, 65_536):
            shown += piece
    except OSError:  # the terminal's other end is closed
        pass
    rewritten = shown.decode().split("\r\x1b[K")
    assert len(rewritten) > 3 and rewritten[-1] == "" and "\n" not in shown.decode() and out


@pytest.mark.parametrize(
    ("arguments", "content", "named"),
    [
        (["-"], b"OggS" + bytes(99), "Ogg"),
        (["-", "--chunk", "0"], b"", "--chunk"),
        (["-", "--format", "srt"], b"", "srt"),
        (["-", "--workers", "2"], b"", "--workers"),
        (["a.wav"], b"", "a.wav"),
        (["a.wav", "b.wav"], b"", "one source"),
    ],
)
def test_what_cannot_be_heard_is_one_line(variant, arguments, content, named):
    started = bigfoot(variant, *arguments)
    _, err = started.communicate(content)
    assert started.returncode == 1 and named in err.decode() and err.count(b"\n") == 1, err.decode()


@pytest.mark.skipif(find_spec("sounddevice") is not None, reason="it is installed")
def test_without_sounddevice_the_microphone_is_one_line(variant):
    started = bigfoot(variant)
    _, err = started.communicate()
    assert started.returncode == 1 and b"sounddevice" in err and err.count(b"\n") == 1


def test_without_portaudio_the_microphone_is_one_line(variant, tmp_path):
    (tmp_path / "sounddevice.py").write_text("raise OSError('PortAudio library not found')")
    started = bigfoot(variant, cwd=tmp_path)
    _, err = started.communicate()
    assert started.returncode == 1 and b"PortAudio library not found: install it" in err and err.count(b"\n") == 1, err


@pytest.mark.parametrize("content", [b"", b"\0", bytes(2), bytes(400_000)], ids="nothing byte sample silence".split())
def test_silence_and_next_to_nothing_give_no_line(variant, content):
    started = bigfoot(variant, "-")
    out, err = started.communicate(content)
    assert started.returncode == 0 and (out, err) == (b"", b"") or (content == bytes(2) and len(out) <= 3)


def test_a_light_variant_is_heard_without_pytorch(variant):
    code = (
        "import sys; from pipeline import cli; sys.argv[0] = 'bigfoot'\ntry: cli.main()\nexcept SystemExit: pass\n"
        "print(sorted({'torch', 'transformers', 'mlflow', 'fastapi'} & set(sys.modules)), file=sys.stderr)"
    )
    command = [sys.executable, "-c", code, "transcribe", str(variant), "-", "--live"]
    done = subprocess.run(command, input=PCM, capture_output=True, env=os.environ | {"PYTHONPATH": str(ROOT)})
    assert done.stderr == b"[]\n"
