"""Logs everything except live curves to MLflow, from finished files: `bigfoot track`, and the end of compare."""

import logging
import time
from pathlib import Path

from filelock import FileLock

from pipeline.common.addresses import safe
from pipeline.params import Params
from pipeline.tracking import registry
from pipeline.tracking.log import project
from pipeline.tracking.store import Store, warn

log = logging.getLogger(__name__)


def sync(params: Params, root: Path) -> bool:
    """Log what the files under `root` hold and MLflow lacks: training runs, the comparison, its variants, their models,
    and the champion in the registry.

    Returns whether everything is logged; where the store can't be reached that is False, after one warning.
    """
    started = time.monotonic()
    try:
        store = Store(params.tracking.experiment, root)
        with FileLock(store.project.scratch / "mlflow-sync.lock", timeout=3600):
            made = project(store, params)
            decision = registry.keep_up(store, params)
    except Exception as error:  # nothing is lost: the files hold everything
        log.debug("MLflow", exc_info=True)
        warn(error)
        return False
    result = f"{made} new runs in {time.monotonic() - started:.0f} s" if made else "up to date"
    log.info("MLflow: %s (%s, experiment %s)", result, safe(store.uri), store.experiment)
    if decision:
        log.info("Registry: %s", decision)
    return True
