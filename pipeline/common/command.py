"""What every command line of Bigfoot shares: how errors end it.

A user's mistake becomes one line on stderr and exit status 1, never a traceback, and so does a disk that is full or can't be
written. An error that may disappear by itself (the hub can't be reached) exits with 75.
"""

import inspect
import logging
import math
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import TextIO

from pipeline.common.errors import BigfootError, one_line


class Unwritten(BigfootError):
    """Stdout can't be written, whatever is printed next."""


DVC_STAGE = "DVC_STAGE"  # DVC sets it for the commands of stages
ONLY = "BIGFOOT_ONLY_STAGE"  # where it is set, other stages refuse to run; flows/stage.py sets it
_signals: list[int] = []  # that came


def stage_main(stage: Callable[..., None], arguments: list[str] | None = None) -> None:
    """Run `stage` with the command line's positional arguments, as numbers where it annotates int or float.

    A BigfootError becomes one line and an exit status.
    """
    log_to(sys.stdout)
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")  # stages log their own progress
    with errors_as_lines():
        _refuse_others()
        stage(*_with_numbers(stage, sys.argv[1:] if arguments is None else arguments))


def _with_numbers(stage: Callable[..., None], words: list[str]) -> Iterator[str | int | float]:
    """The words, each as its parameter of `stage` wants it; raises BigfootError where that is a number, and the word none."""
    parameters = list(inspect.signature(stage).parameters.values())
    for at, word in enumerate(words):
        parameter = parameters[min(at, len(parameters) - 1)] if parameters else None  # the last one may take several
        if parameter is None or parameter.annotation not in (int, float):
            yield word
            continue
        try:
            value = parameter.annotation(word)
        except ValueError:
            value = math.nan
        if not 0 < value < math.inf:
            kind = "whole number" if parameter.annotation is int else "number"
            raise BigfootError(f"{parameter.name.upper()}: '{word}' is not a {kind} above 0")
        yield value


def log_to(stream: TextIO) -> None:
    """Write log messages to a stream, one line each, whatever names they hold."""
    handler = logging.StreamHandler(stream)
    handler.setFormatter(_OneLine("%(message)s"))
    logging.basicConfig(level=logging.INFO, handlers=[handler])


def quiet_interrupts(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """For `sys.excepthook`: Ctrl-C is one line, at any time, imports included; all else is shown as Python does."""
    if issubclass(kind, KeyboardInterrupt):
        print("stopped: `dvc repro` goes on with what is left", file=sys.stderr)
    else:
        sys.__excepthook__(kind, error, trace)


def exit_on_sigterm() -> None:
    """Have SIGTERM raise SystemExit, so that workers end and temporary files go."""

    def end(number: int, _: object) -> None:
        _signals.append(number)
        end_if_told()

    def report_swallowed(what: "sys.UnraisableHookArgs") -> None:
        if not isinstance(what.exc_value, SystemExit):
            sys.__unraisablehook__(what)

    def report(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        if not _signals:
            sys.__excepthook__(kind, error, trace)

    signal.signal(signal.SIGTERM, end)
    sys.unraisablehook = report_swallowed  # of the import system's callbacks, which print what they swallow
    sys.excepthook = report  # of C code too, which prints the error that an interrupted import of NumPy became


def end_if_told() -> None:
    """Raise SystemExit where SIGTERM came: an import of C code that it interrupts may swallow the first one, or rename it."""
    if _signals:
        sys.exit(128 + _signals[0])


def open_stderr() -> None:
    """Where stderr is closed, what belongs there is lost, and not printed to stdout, which is what Python would do."""
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w")  # noqa: SIM115


def write_out(text: str) -> None:
    """Write text to stdout at once. Raises Unwritten where it can't be written, and nothing where stdout is closed."""
    try:
        print(text, end="", flush=True)
    except BrokenPipeError:
        raise
    except OSError as error:
        raise _unwritten(error) from None


def _unwritten(error: OSError) -> Unwritten:
    return Unwritten(f"standard output can't be written: {error.strerror}")


@contextmanager
def errors_as_lines() -> Iterator[None]:
    """End the process with one line on stderr where the block raises a BigfootError, or an error of the disk."""
    try:
        try:
            yield
        finally:
            _flush()
    except Exception as error:
        end_if_told()
        from pipeline.common import disk

        line = error if isinstance(error, BigfootError) else disk.as_line(error)
        if line is None:
            raise
        print(f"error: {line}", file=sys.stderr)
        sys.exit(line.status)


def _flush() -> None:
    """Write what is left of stdout. Raises Unwritten where it can't be written, and nothing where its reader has gone."""
    if sys.stdout is None or sys.stdout.closed:
        return
    try:
        sys.stdout.flush()
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # Python flushes once more at its end
        if not isinstance(error, BrokenPipeError):
            raise _unwritten(error) from None


class _OneLine(logging.Formatter):
    def formatMessage(self, record: logging.LogRecord) -> str:
        return one_line(super().formatMessage(record))


def _refuse_others() -> None:
    """Raise BigfootError where DVC started this process for a stage other than the one that may run."""
    this, only = os.environ.get(DVC_STAGE), os.environ.get(ONLY)
    if only is not None and this and this != only:
        raise BigfootError(
            f"{this} has to run before {only or 'this'}, and the DVC remote lacks its output: run and push it first"
        )
