"""What stages once made and params.yaml no longer names, such as a student that was removed, is moved out of the way.

Decision: `benchmark` and `compare` depend on whole folders, because a DVC stage can't depend on a list. DVC leaves the outputs
of stages that are gone where they are. So dvc.lock would have a hash of them too, and a clone that pulls, which lacks them,
would find both stages stale. They are moved, not deleted: what DVC's cache doesn't have is not lost.
"""

import logging
import shutil
from collections.abc import Collection
from pathlib import Path

log = logging.getLogger(__name__)


def set_aside(folder: Path, named: Collection[str], aside: Path) -> None:
    """Move what is in `folder` and not `named`, hidden files excepted, to `aside`, in the place of what is there."""
    for path in sorted(folder.glob("[!.]*")):
        if path.name in named:
            continue
        place = aside / folder.name / path.name
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(place, ignore_errors=True)
        shutil.move(path, place)
        log.info("%s is not of this params.yaml: moved to %s", path, place)
