"""What every command line of Bigfoot shares: how errors end it.

A user's mistake becomes one line on stderr and exit status 1, never a traceback. An error that may disappear by itself (the
hub can't be reached) exits with 75.
"""

import logging
import os
import sys
from collections.abc import Callable
from typing import NoReturn, TextIO

from pipeline.common.errors import BigfootError, one_line

ONLY = "BIGFOOT_ONLY_STAGE"  # where it is set, other stages refuse to run; flows/stage.py sets it


def stage_main(stage: Callable[..., None], arguments: list[str] | None = None) -> None:
    """Run `stage` with the command line's positional arguments; a BigfootError becomes one line and an exit status."""
    log_to(sys.stdout)
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")  # stages log their own progress
    try:
        _refuse_others()
        stage(*(sys.argv[1:] if arguments is None else arguments))
    except BigfootError as error:
        fail(error)


def log_to(stream: TextIO) -> None:
    """Write log messages to a stream, one line each, whatever names they hold."""
    handler = logging.StreamHandler(stream)
    handler.setFormatter(_OneLine("%(message)s"))
    logging.basicConfig(level=logging.INFO, handlers=[handler])


def fail(error: BigfootError) -> NoReturn:
    """End the process with an error's one line and its exit status."""
    print(f"error: {error}", file=sys.stderr)
    sys.exit(error.status)


class _OneLine(logging.Formatter):
    def formatMessage(self, record: logging.LogRecord) -> str:
        return one_line(super().formatMessage(record))


def _refuse_others() -> None:
    """Raise BigfootError where DVC started this process for a stage other than the one that may run."""
    this, only = os.environ.get("DVC_STAGE"), os.environ.get(ONLY)
    if only is not None and this and this != only:
        raise BigfootError(
            f"{this} has to run before {only or 'this'}, and the DVC remote lacks its output: run and push it first"
        )
