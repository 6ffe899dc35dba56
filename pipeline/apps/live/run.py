"""`bigfoot transcribe --live`: from stdin or a microphone to a terminal.

Text that may still change is rewritten on the terminal's last line (on stderr); what is final is a line on stdout, so that a
pipe or a file gets that alone. Ctrl-C ends the recording, not the program: what was said until then is still recognized.
"""

import os
import queue
import select
import shutil
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec

from pipeline.apps.live.pcm import Pcm
from pipeline.apps.live.session import Session, Utterance
from pipeline.apps.transcription import variant
from pipeline.apps.transcription.formats import columns, json_line
from pipeline.common.command import write_out
from pipeline.common.errors import BigfootError, one_line
from pipeline.project import Project
from pipeline.recognition.recognizer import Recognizer
from pipeline.speech.live import Live

POLL_SECONDS = 0.2
BLOCK = 1 << 16  # bytes
MOST_WAITING = 30  # seconds of the microphone's audio
NO_MICROPHONE = 'sounddevice is not installed: pip install "bigfoot-asr[microphone]", or pipe PCM in and name - instead'


def transcribe(model: str, source: str | None, form: str, project: Project, live: Live, threads: int | None = None) -> None:
    """Write utterances to stdout as they end: `form` is txt or json. `source` is - for stdin, None for the microphone.

    Raises BigfootError where the variant can't be opened, what comes is not PCM, or this machine is slower than the speaker.
    """
    if form not in ("txt", "json"):
        raise BigfootError(f"--live writes txt or json, not {form}")
    if source not in ("-", None):
        raise BigfootError(f"--live hears - (PCM on stdin) or, without a name, the microphone, not {one_line(str(source))}")
    if source is None and find_spec("sounddevice") is None:
        raise BigfootError(NO_MICROPHONE)
    show = Screen(form)
    with variant.opened(model, project) as folder:
        session, pcm = Session(Recognizer.load(folder, threads=threads), live), Pcm()
        with _interruptions() as is_over:
            for data in _piped(is_over) if source == "-" else _spoken(is_over):
                show(session.feed(pcm.feed(data)))
            pcm.end()
            show(session.end())


class Screen:
    """Shows utterances: a line each once they are final; before that, where there is a terminal, its last line."""

    def __init__(self, form: str):
        self._form = form
        self._is_terminal = sys.stderr.isatty()

    def __call__(self, utterances: list[Utterance]) -> None:
        for utterance in utterances:
            if self._is_terminal:
                sys.stderr.write("\r\x1b[K" + ("" if utterance.is_final else _tail(one_line(utterance.text))))
                sys.stderr.flush()
            if utterance.is_final:
                write_out(json_line(utterance.as_object()) if self._form == "json" else one_line(utterance.text) + "\n")


def _tail(text: str) -> str:
    """As much of the end of a text as fits in a line of the terminal."""
    width = shutil.get_terminal_size().columns - 1
    if columns(text) <= width:
        return text
    text = text[-width:]
    while text and columns(text) >= width:
        text = text[1:]
    return "…" + text


@contextmanager
def _interruptions() -> Iterator[Callable[[], bool]]:
    """Gives a function: whether Ctrl-C was pressed. A second one ends the process."""
    presses = []

    def note(number: int, frame: object) -> None:
        presses.append(number)
        signal.signal(signal.SIGINT, before)

    before = signal.signal(signal.SIGINT, note)
    try:
        yield lambda: bool(presses)
    finally:
        signal.signal(signal.SIGINT, before)


def _piped(is_over: Callable[[], bool]) -> Iterator[bytes]:
    """What comes on stdin, until its end."""
    if sys.stdin is None:
        raise BigfootError("stdin is closed: pipe PCM into it")
    source = sys.stdin.fileno()
    while not is_over():
        if select.select([source], [], [], POLL_SECONDS)[0]:
            data = os.read(source, BLOCK)
            if not data:
                return
            yield data


def _spoken(is_over: Callable[[], bool]) -> Iterator[bytes]:
    """What the default microphone hears."""
    try:
        import sounddevice
    except OSError as error:  # its wheels for Linux have no PortAudio
        raise BigfootError(f"{error}: install it (`apt install libportaudio2`), or pipe PCM in and name -") from None
    heard: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    block = 1_600
    try:
        stream = sounddevice.RawInputStream(
            samplerate=16_000, channels=1, dtype="int16", blocksize=block, callback=lambda data, *_: heard.put(bytes(data))
        )
        stream.start()
    except sounddevice.PortAudioError as error:
        raise BigfootError(f"the microphone can't be opened: {error}: pipe PCM in and name - instead") from None
    with stream:
        while not is_over():
            if heard.qsize() * block > MOST_WAITING * 16_000:
                raise BigfootError(
                    "this machine recognizes more slowly than you speak: take a smaller variant or a longer --chunk"
                )
            try:
                yield heard.get(timeout=POLL_SECONDS)
            except queue.Empty:
                continue
