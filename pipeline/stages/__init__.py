"""Thin command lines, one module per DVC stage and named like it: read the declared params, call one pure function.

`stage_main` is what they share: a mistake of the user's becomes one line on stderr and exit status 1, never a traceback.
"""

import logging
import os
import sys
from collections.abc import Callable

from pipeline.errors import BigfootError


def stage_main(stage: Callable[..., None], arguments: list[str] | None = None) -> None:
    """Run `stage` with the command line's positional arguments; exit 1 with one line where the user can mend it."""
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stdout)
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")  # stages tell their own progress
    try:
        stage(*(sys.argv[1:] if arguments is None else arguments))
    except BigfootError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)
