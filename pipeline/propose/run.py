"""`bigfoot propose`: from megabytes and milliseconds to students and variants in params.yaml.

Every shape of the grid has a foretold size and time (pipeline.propose.machine). Of those that fit the budget, the largest,
which no other fitting shape exceeds in every way, are cut from the teacher and distilled for a short time
(pipeline.propose.quality). What is best in size, speed or quality, the Pareto front, is shown, and the best of it written.
Nothing is trained to the end here: `dvc repro` does that.

Decision: each frame rate has a ranking of its own, and the best of each is written. With half the frames a student learns
faster at first and ends worse, so a short distillation favors it (results/commands).
"""

import itertools
import logging
from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.common import tables
from pipeline.common.errors import BigfootError
from pipeline.distill.surgery import student
from pipeline.models.operations import macs_per_second
from pipeline.models.tensors import tensors
from pipeline.params import Budget, Student
from pipeline.project import Project, load_params
from pipeline.propose import shapes, written
from pipeline.propose.machine import Machine, Teacher, machine, offered, teacher_of
from pipeline.propose.quality import Kept, Quality
from pipeline.propose.shapes import Shape
from pipeline.speech.corpus import durations, spread
from pipeline.train import fitting

FEWEST_TRIED, MOST_TRIED, MOST_WRITTEN = 16, 48, 3  # shapes, the first two per frame rate
IN_MEMORY = 250e6  # parameters of the shapes that are distilled at a time, half of those that are tried; each has 16 bytes
HEADS = ("Proposed", "Shape", "Scheme", "MB", "ms", "RAM, MB", "Loss cut", "Loss distilled")
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Candidate:
    """A shape in a scheme, as foretold."""

    shape: Shape
    scheme: str
    mb: float
    ms: float
    ram_mb: float

    def over(self, budget: Budget) -> float:
        """The larger of its shares of the budget; above 1: it doesn't fit."""
        return max(self.mb / budget.max_mb, self.ms / budget.max_ms)


Front = list[tuple[Candidate, Kept]]


def propose(project: Project, budget: Budget) -> str:
    """Write the best students and variants for this budget into params.yaml; returns what to print.

    Raises BigfootError where there is no teacher yet, no scheme for the runtime, or no shape that fits.
    """
    params = load_params(project.params)
    teacher = teacher_of(project, params.corpus.name)
    written.require_room(project.params, params, budget)
    with machine(teacher, offered(params.schemes, budget.runtime), budget.threads, budget.length) as here:
        every = candidates(here, budget)
    fitting = fit(every, budget)
    quality, fronts, kept = Quality(teacher), list[Front](), list[Kept]()
    for of_one_rate in by_frame_rate(fitting):
        best, learned = _ranked(quality, of_one_rate)
        fronts.append(best)
        kept += learned
    shown = [pair for each in fronts for pair in each]
    names = {id(shape): f"{written.PREFIX}{number}" for number, shape in enumerate(in_turn(fronts)[:MOST_WRITTEN], 1)}
    chosen = [(names[id(each.shape)], each.shape, each.scheme) for each, _ in shown if id(each.shape) in names]
    rows = [_row(names.get(id(each.shape), ""), each, of) for each, of in shown]
    table = tables.plain(HEADS, rows, ["left"] * 3 + ["right"] * 5)
    try:
        done = written.write(project.params, params, sorted(chosen, key=lambda proposed: proposed[0]), budget)
    except BigfootError:
        log.info("%s", table)  # which took minutes
        raise
    return "\n".join([table, "", *tables.wrapped(_note(every, fitting, kept)), done])


def candidates(here: Machine, budget: Budget) -> list[Candidate]:
    """Every shape of the grid in every scheme, at the frame rates in which the corpus's texts can be written."""
    found = []
    for shape in shapes.grid(here.teacher.config, rates_that_fit(here.teacher)):
        config = shapes.config_of(here.teacher.config, shape)
        for scheme, costs in here.costs.items():
            if here.takes(scheme, config):
                mb = here.sizes.mb(config, scheme)
                found.append(Candidate(shape, scheme, mb, costs.ms(config, budget.length), costs.ram_mb(config, mb)))
    return found


def rates_that_fit(teacher: Teacher) -> list[float | None]:
    """The frame rates at which no text of train and dev has more characters than its audio has frames."""
    kept: list[float | None] = []
    for rate in shapes.rates(teacher.config):
        settings = Student.model_validate({"from": "teacher", "training": None, "frame_rate": rate})
        config, over = student.config_of(teacher.config, settings), 0
        for split in ("train", "dev"):
            utterances = teacher.corpus.utterances(split)
            over += int((fitting.frames(config, durations(utterances)) < fitting.frames_needed_by(utterances)).sum())
        if over and rate is not None:
            log.info("propose: %g frames per second are not proposed: %d texts have more characters than frames", rate, over)
        else:
            kept.append(rate)
    return kept


def fit(every: Sequence[Candidate], budget: Budget) -> list[Candidate]:
    """Those within the budget; raises BigfootError, with the nearest and the limit that binds, where there is none."""
    fitting = [each for each in every if each.over(budget) <= 1]
    if fitting:
        return fitting
    nearest = min(every, key=lambda each: each.over(budget))
    smallest, fastest = min(each.mb for each in every), min(each.ms for each in every)
    binding = [f"max-mb binds, the smallest has {smallest:.2f} MB"] if smallest > budget.max_mb else []
    binding += [f"max-ms binds, the fastest takes {fastest:.1f} ms"] if fastest > budget.max_ms else []
    raise BigfootError(
        f"no student fits {budget}: the nearest has {nearest.mb:.2f} MB and takes {nearest.ms:.1f} ms "
        f"({described(nearest.shape)}, {nearest.scheme}); {' and '.join(binding) or 'each limit can be met, but not both'}"
    )


def by_frame_rate(fitting: Sequence[Candidate]) -> list[list[Candidate]]:
    """The candidates of each frame rate, those of the teacher's own first."""
    return [found for half in (False, True) if (found := [each for each in fitting if ("frame_rate" in each.shape) == half])]


def in_turn(fronts: Sequence[Front]) -> list[Shape]:
    """The shapes of all fronts: the first of each, then the second of each, and so on."""
    by_front = [_shapes([each for each, _ in front]) for front in fronts]
    return [shape for rank in itertools.zip_longest(*by_front) for shape in rank if shape is not None]


def front(pairs: Sequence[tuple[Candidate, Kept]]) -> Front:
    """Those than which no other is at least as good in size, time and quality, and better in one."""
    costs = [(each.mb, each.ms, of.trained) for each, of in pairs]
    return [
        pair for pair, own in zip(pairs, costs, strict=True)
        if not any(other != own and all(a <= b for a, b in zip(other, own, strict=True)) for other in costs)
    ]  # fmt: skip


def described(shape: Shape) -> str:
    """A shape in words: 4 layers x 192, 6 heads, 384 units, 64 channels, merged 2 2 2 1."""
    rest = f", merged {' '.join(map(str, shape['conv_merge']))}" if "conv_merge" in shape else ""
    rest += f", {shape['frame_rate']:g} frames/s" if "frame_rate" in shape else ""
    return (
        f"{shape['layers']} layers x {shape['hidden']}, {shape['heads']} heads, {shape['feed_forward']} units, "
        f"{shape['conv_channels']} channels{rest}"
    )


def _shapes(found: Sequence[Candidate]) -> list[Shape]:
    """The shapes of candidates, each once, in their order."""
    return list({id(each.shape): each.shape for each in found}.values())


def _ranked(quality: Quality, fitting: Sequence[Candidate]) -> tuple[Front, list[Kept]]:
    """The front of the candidates of one frame rate, the lowest loss first, and how well each shape that was tried learned."""
    tried = _tried(quality.teacher.config, fitting)
    learned = quality.of(tried)
    finished = {id(shape): of for shape, of in zip(tried, learned, strict=True) if of.finished}
    pairs = [(each, finished[id(each.shape)]) for each in fitting if id(each.shape) in finished]
    if not pairs:
        raise BigfootError("propose: no shape's short distillation ended with a finite loss: look at the teacher's dev WER")
    return sorted(front(pairs), key=lambda pair: (pair[1].trained, pair[0].ms)), learned


def _tried(teacher, fitting: Sequence[Candidate]) -> list[Shape]:
    """The largest shapes of one frame rate, or of many some of every amount of computation; says how many there are."""
    found = _shapes(fitting)
    largest = shapes.largest(found)
    configs = [shapes.config_of(teacher, shape) for shape in largest]
    ordered = [largest[place] for place in sorted(range(len(largest)), key=lambda place: macs_per_second(configs[place]))]
    most = int(2 * IN_MEMORY / max(tensors(config).numbers for config in configs))
    tried = spread(ordered, max(FEWEST_TRIED, min(MOST_TRIED, most)))
    log.info("propose: %d shapes with %g frames/s fit, %d of them are the largest, %d of these are distilled for a short time",
             len(found), shapes.rate_of(teacher, found[0]), len(largest), len(tried))  # fmt: skip
    return tried


def _row(name: str, each: Candidate, of: Kept) -> list[str]:
    figures = (f"{each.mb:.2f}", f"{each.ms:.1f}", f"{each.ram_mb:.0f}", f"{of.initial:.3f}", f"{of.trained:.3f}")
    return [name, described(each.shape), each.scheme, *figures]


def _note(every: Sequence[Candidate], fitting: Sequence[Candidate], kept: Sequence[Kept]) -> str:
    """What was tried, and what the table's figures are."""
    finished = sum(of.finished for of in kept)
    return (
        f"{len(fitting):,} of {len(every):,} pairs of shape and scheme fit. {len(kept)} shapes were tried, {finished} to the "
        "end of the short distillation. Shown is the front of size, time and CTC loss (nats per character of dev, in float32) "
        "of each frame rate: losses of two rates don't compare, since with fewer frames a student learns faster at first. "
        "All figures are foretold: `dvc repro` trains and measures."
    )
