"""The champion in MLflow's registry and the former ones, with their evidence: `bigfoot champion`."""

import json
import textwrap
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.params import Params
from pipeline.tracking.candidate import summary
from pipeline.tracking.registry import CHAMPION, PREVIOUS, TAG, evidence_of, named, opened, promoted_as

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion

WIDTH = 80


@dataclass(frozen=True)
class History:
    """`uri` is what MLflow loads the champion by; `versions`, the newest promotion first, come with their states: champion,
    previous, rolled back or former.
    """

    uri: str
    versions: list[tuple[str, "ModelVersion"]]

    def text(self) -> str:
        return "\n".join([self.uri, *(_line(*each) for each in self.versions)])

    def as_json(self) -> str:
        versions = [
            {"state": state, "version": int(version.version), "source": version.source, **(evidence_of(version) or {})}
            for state, version in self.versions
        ]
        return json.dumps({"uri": self.uri, "versions": versions}, indent=1, ensure_ascii=False)


def history(root: Path, params: Params) -> History:
    """Raises BigfootError where there is no champion."""
    with opened(root, params) as (_, registry):
        now = registry.current()
        before = registry.before(now)
        others = [version for version in registry.versions() if promoted_as(version) and version.version != now.version]
        versions: list[tuple[str, ModelVersion]] = [(CHAMPION, now)]
        for version in sorted(others, key=promoted_as, reverse=True):
            is_previous = before is not None and version.version == before.version
            versions.append(
                (PREVIOUS if is_previous else "rolled back" if TAG + "rejected" in version.tags else "former", version)
            )
        return History(registry.at(CHAMPION), versions)


def _line(state: str, version: "ModelVersion") -> str:
    evidence = evidence_of(version) or {}
    when = evidence.get("promoted_at", "?")[:16].replace("T", " ")
    indent = " " * 13
    about = textwrap.wrap(summary(evidence), WIDTH, initial_indent=indent, subsequent_indent=indent)
    return "\n".join([f"{state:<11}  {named(version)}, promoted {when} UTC", *about])
