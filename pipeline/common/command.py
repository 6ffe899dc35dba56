"""What every command line of Bigfoot shares: a mistake of the user's becomes one line on stderr and exit status 1, never a
traceback; what a later try may mend (a hub that is away) exits with 75.
"""

import logging
import os
import sys
from collections.abc import Callable

from pipeline.common.errors import BigfootError

ONLY = "BIGFOOT_ONLY_STAGE"  # where it is set, no other stage's command runs: flows/stage.py says when


def stage_main(stage: Callable[..., None], arguments: list[str] | None = None) -> None:
    """Run `stage` with the command line's positional arguments; one line and an exit status where the user can mend it."""
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stdout)
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")  # stages tell their own progress
    try:
        _refuse_others()
        stage(*(sys.argv[1:] if arguments is None else arguments))
    except BigfootError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(error.status)


def _refuse_others() -> None:
    """Raise BigfootError where this process is DVC's for another stage than the one that may run."""
    this, only = os.environ.get("DVC_STAGE"), os.environ.get(ONLY)
    if only is not None and this and this != only:
        raise BigfootError(
            f"{this} has to run before {only or 'this'}, and the DVC remote lacks its outcome: run and push it first"
        )
