"""Logs everything except live curves to MLflow, from finished files: `bigfoot track`, and the end of compare."""

import logging
import time
from pathlib import Path

from pipeline.common.addresses import safe
from pipeline.common.errors import BigfootError
from pipeline.params import Params
from pipeline.tracking import database, registry
from pipeline.tracking.log import project
from pipeline.tracking.store import Store, uri, warn

OF_EXPERIMENTS = "/.dvc/tmp/exps/"  # where `dvc exp run --temp` and `--queue` work

log = logging.getLogger(__name__)


def sync(params: Params, root: Path) -> bool:
    """Log what the files under `root` hold and MLflow lacks: training runs, the comparison, its variants, their models,
    and the champion in the registry.

    Returns whether everything is logged; where the store can't be reached that is False, after one warning.
    """
    started = time.monotonic()
    try:
        store = Store(params.tracking.experiment, root)
        with store.turn():
            try:
                made = project(store, params)
                decision = registry.keep_up(store, params)
            except Exception as error:
                raise database.explained(error, store.uri) from None
    except Exception as error:  # nothing is lost: the files hold everything
        log.debug("MLflow", exc_info=True)
        warn(error)
        return False
    result = f"{made} new runs in {time.monotonic() - started:.0f} s" if made else "up to date"
    log.info("MLflow: %s (%s, experiment %s)", result, safe(store.uri), store.experiment)
    if made and store.database and OF_EXPERIMENTS in store.database.as_posix():
        log.info(
            "MLflow: these runs are in a temporary folder of DVC's, which it removes: MLFLOW_TRACKING_URI keeps them elsewhere"
        )
    else:
        how = f"`mlflow ui --backend-store-uri {store.uri}`, then " if store.database else ""
        log.info("MLflow: the variants are at %s%s", how, store.page)
    if decision:
        log.info("Registry: %s", decision)
    return True


def rebuild(params: Params, root: Path) -> bool:
    """Set the project's own database aside and log all that the files under `root` hold into a new one.

    What files don't hold is in the former one alone: earlier comparisons, and who was champion. Raises BigfootError where the
    store is a server.
    """
    path = database.path_of(uri(root))
    if path is None:
        raise BigfootError(f"--rebuild is for a project's own database, not for the server {safe(uri(root))}")
    if kept := database.set_aside(path):
        log.info("MLflow: the former database, with its earlier comparisons and champions, is %s", kept)
    return sync(params, root)
