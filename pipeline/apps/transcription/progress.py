"""How far a long transcription is, on stderr: 0:12:40 of 2:00:00 (11%), 85x real time, 0:01:16 left.

On a terminal one line that is written over and in the end wiped out; elsewhere a line each ten seconds, so that what
takes less says nothing.
"""

import sys
import threading
import time
from collections.abc import Callable

from pipeline.apps.transcription.formats import clock

TERMINAL_SECONDS, ELSEWHERE_SECONDS = 0.5, 10.0


class Progress:
    """A context in which progress is told. `total`: seconds of audio, 0 where nobody knows; `done` says how many are heard."""

    def __init__(self, total: float, done: Callable[[], float]):
        self._total, self._done, self._started = total, done, time.monotonic()
        self._is_terminal = sys.stderr.isatty()
        self._stopped, self._lock = threading.Event(), threading.Lock()
        self._thread = threading.Thread(target=self._tell_again, daemon=True)

    def __enter__(self) -> "Progress":
        self._thread.start()
        return self

    def __exit__(self, *_) -> None:
        self._stopped.set()
        self._thread.join()
        self.make_room()

    def make_room(self) -> None:
        """Wipe the line out, so that something else can be written in its place."""
        if self._is_terminal:
            self._write("\r\x1b[K")

    def line(self, done: float, elapsed: float) -> str:
        """What is said after `elapsed` seconds, with `done` seconds of audio heard."""
        rate = done / elapsed if elapsed else 0.0
        said = f"{_clock(done)} of {_clock(self._total)} ({done / self._total:.0%})" if self._total else _clock(done)
        left = f", {_clock((self._total - done) / rate)} left" if rate and self._total else ""
        return f"{said}, {rate:.3g}x real time{left}"

    def _tell_again(self) -> None:
        while not self._stopped.wait(TERMINAL_SECONDS if self._is_terminal else ELSEWHERE_SECONDS):
            said = self.line(self._done(), time.monotonic() - self._started)
            self._write(f"\r\x1b[K{said}" if self._is_terminal else f"{said}\n")

    def _write(self, text: str) -> None:
        with self._lock:
            sys.stderr.write(text)
            sys.stderr.flush()


def _clock(seconds: float) -> str:
    return clock(round(1000 * max(seconds, 0.0)), ".").partition(".")[0].removeprefix("0")
