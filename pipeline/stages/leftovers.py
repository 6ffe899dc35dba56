"""What stages once made and params.yaml no longer names, such as a student that was removed, is moved out of the way.

Decision: `benchmark` and `compare` depend on whole folders, because a DVC stage can't depend on a list. DVC leaves the outputs
of stages that are gone where they are. So dvc.lock would have a hash of them too, and a clone that pulls, which lacks them,
would find both stages stale. They are moved, not deleted: what DVC's cache doesn't have is not lost. What dvc.lock doesn't name
as an output is somebody's own, and stays.
"""

import logging
import shutil
from collections.abc import Collection, Mapping
from pathlib import Path

from pipeline.common import graph
from pipeline.project import Project

log = logging.getLogger(__name__)


def set_aside(project: Project, named: Mapping[Path, Collection[str]]) -> None:
    """Move outputs in the folders {folder: names} that are not named to `project.aside`, in the place of what is there."""
    outputs = {out["path"] for stage in graph.recorded(project.lock).values() for out in stage.get("outs", [])}
    for path in sorted(path for folder in named for path in folder.glob("*")):
        if path.name in named[path.parent] or path.relative_to(project.root).as_posix() not in outputs:
            continue
        place = project.aside / path.parent.name / path.name
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(place, ignore_errors=True)
        shutil.move(path, place)
        log.info("%s is not of this params.yaml: moved to %s", path, place)
