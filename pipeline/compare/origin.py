"""The origin of a comparison: the git commit, the files edited since, and a hash of DVC's records of its stages.

Decision: the hash covers dvc.lock's entries of the stages before compare; a hash of the whole file would change with the report
that shows it. Only files that decide an outcome count as edited: DVC itself edits dvc.lock, and prose decides nothing.
"""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

from pipeline.common import graph
from pipeline.common.git import git
from pipeline.params import Params
from pipeline.project import Project

DECIDING = ("pipeline", "data", Project().graph.name, Project().params.name, "requirements.lock")


@dataclass(frozen=True)
class Origin:
    """None means unknown: there is no git repository, or dvc.lock lacks a stage."""

    commit: str | None = None
    edited: tuple[str, ...] | None = None
    lock: str | None = None


def read(root: Path, params: Params) -> Origin:
    """The origin of the files under `root` as they are now."""
    edited = git(root, "diff", "--name-only", "--relative", "HEAD", "--", *DECIDING)
    added = git(root, "ls-files", "--others", "--exclude-standard", "--", *DECIDING)
    return Origin(
        commit=git(root, "rev-parse", "HEAD"),
        edited=None if edited is None or added is None else tuple(sorted({*edited.splitlines(), *added.splitlines()})),
        lock=lock_hash(Project(root).lock, params),
    )


def lock_hash(lock: Path, params: Params) -> str | None:
    """The first 16 digits of the SHA-256 of dvc.lock's entries of all stages before compare; None if one is missing."""
    stages = graph.recorded(lock)
    names = ["prepare", "teacher", "teacher_logits", *(f"student@{name}" for name in params.students)]
    names += [f"{stage}@{variant}" for variant in params.variants for stage in ("quantize", "evaluate")] + ["benchmark"]
    if not all(name in stages for name in names):
        return None
    entries = json.dumps([[name, stages[name]] for name in names], sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(entries.encode()).hexdigest()[:16]
