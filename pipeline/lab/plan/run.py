"""`bigfoot check --plan`: a table of what `dvc repro` would take, by kind of stage, and what it assumes."""

from collections.abc import Iterable
from math import fsum

from pipeline.common import graph, tables
from pipeline.common.errors import BigfootError
from pipeline.common.numbers import shown
from pipeline.lab.plan import speech
from pipeline.lab.plan.stages import Need, Plan
from pipeline.params import Params
from pipeline.project import Project

HEADS = ("Stage", "Stages", "Hours each", "Hours", "GB", "GB while it runs")
ASSUMED = (
    "Assumed: nothing else runs on this machine, stages run one after the other, and rates are as measured here "
    "(.bigfoot/rates.json; delete it to measure anew). The benchmark takes all its rounds, training all its steps. DVC's cache "
    "holds each output once more unless it links (docs/scaling.md)."
)


def text(params: Params, project: Project) -> str:
    """The table and its assumptions; measures the machine where that wasn't done before.

    Raises BigfootError where a model's shape is impossible or not known yet.
    """
    from pipeline.distill import memory
    from pipeline.lab.plan import probes

    stages = graph.read(project.root)
    waiting = graph.stale(project.root, stages)
    if not waiting:
        return "The plan: nothing to do"
    folder, data = project.corpus(params.corpus.name), project.root / params.corpus.data
    audio = speech.of(params.corpus, folder, data, is_current="prepare" not in waiting)
    configs = memory.configs(params, project.root, audio.letters)
    if not configs:
        raise BigfootError(f"no plan: the shape of {params.teacher.name} is known once the stage teacher has fetched it")
    machine = probes.machine(params, configs, audio, project.scratch / "rates.json")
    return written((name for name in stages if name in waiting), Plan(params, audio, machine))


def written(stages: Iterable[str], plan: Plan) -> str:
    """The plan of these stages as text."""
    kinds: dict[str, list[Need]] = {}
    for stage in stages:
        kinds.setdefault(stage.partition("@")[0], []).append(plan.of(stage))
    every = [need for needs in kinds.values() for need in needs]
    rows = [_row(kind, needs) for kind, needs in kinds.items()] + [_row("all", every)]
    lines = [tables.plain(HEADS, rows, ["left", *["right"] * 5]), "", *_notes(plan, every), ASSUMED]
    return "\n".join(lines)


def _row(kind: str, needs: list[Need]) -> list[str]:
    known = [need.seconds / 3600 for need in needs if need.seconds is not None]
    disk = [need.gigabytes for need in needs if need.gigabytes is not None]
    hours = fsum(known) if known else None
    each = None if kind == "all" or hours is None else hours / len(known)
    scratch = max(need.scratch for need in needs)
    return [
        kind, str(len(needs)), shown(each, ".3f"), shown(hours, ".2f"), shown(fsum(disk) if disk else None, ".2f"),
        shown(scratch or None, ".2f"),
    ]  # fmt: skip


def _notes(plan: Plan, needs: list[Need]) -> list[str]:
    audio = plan.speech
    if not audio.hours:
        unknown = sum(need.seconds is None for need in needs)
        return [
            f"The corpus's hours are unknown until `dvc repro prepare` ran ({audio.source}): {unknown} stages are not counted "
            "(-), nor are the measurements on dev while training."
        ]
    hours = ", ".join(f"{split} {count:.2f}" for split, count in audio.hours.items())
    return [f"Hours of audio: {hours} (from {audio.source})."]
