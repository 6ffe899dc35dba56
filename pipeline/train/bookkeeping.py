"""The records of a training run: the folder of its checkpoints, their fingerprint, and the MLflow run of its curve.

Decision: none of this changes the trained model. A checkpoint belongs to the fingerprint of everything that does: the settings,
the code that dvc.yaml declares for the stage, the corpus, and the files that the run starts from.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel

from pipeline.common import graph
from pipeline.params import Tracking
from pipeline.project import Project
from pipeline.speech.corpus import UNLABELLED, AudioCorpus, split_folder
from pipeline.tracking.live import LiveRun, training_run


@dataclass(frozen=True)
class Bookkeeping:
    """The records of one model's training; `model` is its name: `teacher`, or a student's."""

    model: str
    project: Project
    tracking: Tracking

    @property
    def stage(self) -> str:
        return "teacher" if self.model == "teacher" else "student"

    def fingerprint(self, settings: BaseModel, corpus: AudioCorpus, files: Iterable[Path]) -> str:
        """The fingerprint of a run, as 16 hexadecimal digits. `files`: the weights and configs that the run starts from."""
        read = ("train", "dev") if self.stage == "teacher" else ("train", "dev", UNLABELLED)
        splits = [split_folder(corpus.folder, split) / "split.json" for split in read]
        return graph.fingerprint(self.stage, settings.model_dump_json(), [*splits, *files])

    def checkpoints(self, fingerprint: str) -> Path:
        return self.project.checkpoints / self.model / fingerprint

    def start_run(self, fingerprint: str, settings: BaseModel) -> LiveRun:
        """The MLflow run for the curve; where the server can't be reached, a run that logs nothing."""
        params = settings.model_dump(mode="json", by_alias=True)
        return training_run(self.model, fingerprint, params, self.tracking.experiment, self.project.root)
