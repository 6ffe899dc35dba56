"""Everything but live curves goes into MLflow here, from finished files: `bigfoot track`, and the end of compare."""

import logging
import time
from pathlib import Path

from filelock import FileLock

from pipeline.params import Params
from pipeline.tracking import registry
from pipeline.tracking.log import project
from pipeline.tracking.store import Store, safe, warn

log = logging.getLogger(__name__)


def sync(params: Params, root: Path | str = ".") -> bool:
    """Log what the files under `root` hold and MLflow lacks: training runs, the comparison, its variants, their models,
    and the champion in the registry.

    Returns whether all of it is there now; where the store can't be reached that is False, after one warning.
    """
    begun = time.monotonic()
    try:
        store = Store(params.tracking.experiment, root)
        with FileLock(store.project.scratch / "mlflow-sync.lock", timeout=3600):
            made = project(store, params)
            decided = registry.keep_up(store, params)
    except Exception as error:  # nothing is lost: it's all in files
        log.debug("MLflow", exc_info=True)
        warn(error)
        return False
    done = f"{made} new runs in {time.monotonic() - begun:.0f} s" if made else "up to date"
    log.info("MLflow: %s (%s, experiment %s)", done, safe(store.uri), store.experiment)
    if decided:
        log.info("Registry: %s", decided)
    return True
