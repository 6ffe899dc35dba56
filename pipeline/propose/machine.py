"""This machine's cost models, one per scheme: fitted to some untrained shapes that are timed once and remembered.

`python -m pipeline.propose.machine` times further shapes, which no model was fitted to, and prints what was foretold of them.
"""

import itertools
import logging
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from pipeline.benchmark import processes
from pipeline.common import graph, host, tables
from pipeline.common.command import stage_main
from pipeline.common.errors import BigfootError
from pipeline.lab.plan.probes import Remembered
from pipeline.models.folder import load_model
from pipeline.project import Project, load_params
from pipeline.propose import shapes, timing
from pipeline.propose.costs import Costs
from pipeline.propose.size import STORES, Sizes
from pipeline.propose.untrained import Untrained
from pipeline.quantize.schemes import make, require_packages
from pipeline.recognition.runtimes import OPENVINO_STEP
from pipeline.speech.corpus import Corpus, open_corpus

FITTED, HELD_OUT = 24, 8  # shapes
HEADS = ("Scheme", "Seconds", "Shapes", "Measured", "Error, median", "Error, largest", "Within 15%")
log = logging.getLogger(__name__)


@dataclass
class Teacher:
    """The teacher on disk, and the corpus beside it."""

    model: Any
    processor: Any
    corpus: Corpus
    project: Project

    @property
    def config(self):
        return self.model.config


def teacher_of(project: Project, corpus: str) -> Teacher:
    """The trained teacher of this project; raises BigfootError, with what to run, where there is none."""
    if not (project.teacher / "config.json").is_file():
        raise BigfootError(f"{project.teacher} is missing: run `dvc repro teacher` first, students are cut from the teacher")
    if project.graph.is_file() and "teacher" in graph.stale(project.root, graph.read(project.root)):
        raise BigfootError(f"{project.teacher} is of other params, data or code: run `dvc repro teacher` first")
    model, processor = load_model(project.teacher)
    return Teacher(model, processor, open_corpus(project.corpus(corpus)), project)


class Machine:
    """Foretells MB, ms and RAM of shapes of one teacher's students."""

    def __init__(self, teacher: Teacher, schemes: Mapping[str, dict], threads: int, seconds: float, room: Path):
        self.teacher, self.threads, self.room, self.schemes = teacher, threads, room, dict(schemes)
        self.seconds = sorted({*timing.SECONDS, seconds})
        self.remembered = Remembered(teacher.project.costs)
        self.untrained = Untrained(teacher.processor, teacher.corpus, self.schemes, room)
        self.sizes = Sizes(self.remembered, self.untrained.made, self.schemes)
        self.grid = shapes.grid(teacher.config, shapes.rates(teacher.config))
        self.design = shapes.design(teacher.config, self.grid, FITTED)
        timed = {scheme: rows for scheme in self.schemes if (rows := self.timed(scheme, self.design))}
        self.costs = {scheme: Costs(rows, _step(scheme, self.schemes[scheme])) for scheme, rows in timed.items()}
        if not self.costs:
            raise BigfootError(f"params.yaml: schemes: {', '.join(self.schemes)} take no shape that is timed: add int8-onnx")

    def timed(self, scheme: str, chosen: Sequence[shapes.Shape]) -> list:
        """Shapes as measured, without those that the scheme doesn't take; first comes the first of the design that it takes."""
        (*reference,) = itertools.islice(self._taken(scheme, self.design), 1)
        if not reference:
            log.info("propose: %s takes no student of this teacher's widths", scheme)
            return []
        configs = [*reference, *(config for config in self._taken(scheme, chosen) if config not in reference)]
        return timing.timed(configs, scheme, self.threads, self.seconds, self.remembered, self.untrained, self.room)

    def _taken(self, scheme: str, chosen: Sequence[shapes.Shape]) -> Iterator[dict]:
        """The configs of those shapes that the scheme takes."""
        configs = (shapes.config_of(self.teacher.config, shape) for shape in chosen)
        return (config for config in configs if self.takes(scheme, config))

    def takes(self, scheme: str, config: dict) -> bool:
        """Whether the scheme takes a model with this config.json: int4 only some widths."""
        return make(scheme, self.schemes[scheme]).obstacle(config, None) is None


@contextmanager
def machine(teacher: Teacher, schemes: Mapping[str, dict], threads: int, seconds: float) -> Iterator[Machine]:
    """Times what was not timed before; raises Busy where a benchmark is running on this host."""
    with processes.alone(), tempfile.TemporaryDirectory(prefix="bigfoot-") as room:
        yield Machine(teacher, schemes, threads, seconds, Path(room))


def offered(schemes: Mapping[str, dict], runtime: str) -> dict[str, dict]:
    """The schemes of params.yaml that a student is proposed in: those for this runtime whose size can be foretold, without a
    language model.

    Raises BigfootError where there is none.
    """
    wanted = {"onnx": ("onnxruntime",), "openvino": ("openvino",), "any": ("onnxruntime", "openvino")}[runtime]
    chosen = {}
    for name, settings in schemes.items():
        scheme = make(name, settings)
        if type(scheme).__name__ in STORES and scheme.runtime in wanted and "lm" not in settings:
            require_packages(name, settings)
            chosen[name] = settings
    if not chosen:
        raise BigfootError(f"params.yaml: schemes: none is for the runtime {runtime}: add int8-onnx or int8-openvino")
    return chosen


def check() -> None:
    """Print measured against foretold milliseconds and memory, for shapes that the models were not fitted to."""
    project = Project()
    params = load_params(project.params)
    teacher = teacher_of(project, params.corpus.name)
    print(f"{host.kind(host.describe())}, load {host.load()}")
    rows = []
    with machine(teacher, offered(params.schemes, "any"), 1, timing.SECONDS[1]) as here:
        every = [shape for shape in here.grid if shape not in here.design]
        held = shapes.design(teacher.config, every, HELD_OUT, seed=1)
        for scheme, costs in here.costs.items():
            timed = here.timed(scheme, held)[1:]
            for seconds in here.seconds:
                pairs = [(each.ms[seconds], costs.ms(each.config, seconds)) for each in timed]
                rows.append(_row(scheme, f"{seconds:g}", pairs))
            rows.append(_row(scheme, "RAM, MB", [(each.ram_mb, costs.ram_mb(each.config, each.disk_mb)) for each in timed]))
            rows.append(_row(scheme, "MB", [(each.disk_mb, here.sizes.mb(each.config, scheme)) for each in timed]))
    print(tables.plain(HEADS, rows, ["left", *["right"] * 6]))


def _step(scheme: str, settings: dict) -> int:
    """Samples, to multiples of which this scheme's runtime fills audio up."""
    return OPENVINO_STEP if make(scheme, settings).runtime == "openvino" else 1


def _row(scheme: str, what: str, pairs: Sequence[tuple[float, float]]) -> list[str]:
    errors = [abs(foretold / measured - 1) for measured, foretold in pairs]
    measured = [of for of, _ in pairs]
    within = sum(error <= 0.15 for error in errors)
    return [
        scheme, what, str(len(pairs)), f"{min(measured):.3g} to {max(measured):.3g}", f"{median(errors):.1%}",
        f"{max(errors):.1%}", f"{within} of {len(pairs)}",
    ]  # fmt: skip


if __name__ == "__main__":
    stage_main(check)
