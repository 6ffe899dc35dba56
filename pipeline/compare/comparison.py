"""A comparison as typed objects, and the only reader and writer of reports/comparison.json and reports/params.json.

comparison.json is a list with one flat object per variant, teacher.fp32 first: the fields of `Row`, and each figure under its
key (`pipeline.compare.figures`). params.json holds the params that the comparison used.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Any, TypedDict

from pipeline.common import shapes
from pipeline.common.errors import BigfootError
from pipeline.common.files import SUMS, forced, read_json, sha256, write_json
from pipeline.common.objects import checked
from pipeline.compare import figures
from pipeline.params import Gate, Params
from pipeline.project import Project
from pipeline.recognition import seal
from pipeline.speech.scoring import Objective

COMMAND = "dvc repro compare"


@dataclass(frozen=True)
class Verdict:
    """Whether a variant keeps the budget, and the reason in one line.

    `passed` is None for UNTRAINED models. A variant that doesn't pass is `undecided` where it keeps all other limits and made
    no more errors than the budget allows, but gate has too few words to be sure of it. `times_over`: its MB or ms over what is
    allowed, where it is too large or too slow.
    """

    passed: bool | None
    reason: str
    undecided: bool = False
    times_over: float | None = None

    @property
    def word(self) -> str:
        """The verdict in one word, also in MLflow's tags."""
        if self.undecided:
            return "undecided"
        return {True: "passes", False: "fails", None: "untrained"}[self.passed]


UNJUDGED = Verdict(None, "not judged")


@dataclass(frozen=True)
class Row:
    """One variant: its names, its `figures` by key (None: not measured), what is not a number, and the gate's verdict.

    `row["wer"]` is a figure. `kind` is that of the scheme, own, peer or gpu; `trained`: whether the model was trained at all;
    `objective`: the error rate that the gate and the champion go by; `files`: the mark of its seal; `model_files`: that of the
    model's SHA256SUMS. `device`: what it was timed on, "cpu" or the name of a GPU; `not_timed`: the reason why it wasn't.
    """

    variant: str
    model: str
    scheme: str
    runtime: str
    figures: Mapping[str, float | None]
    kind: seal.Kind = "own"
    trained: bool = True
    objective: Objective = "wer"
    files: str | None = None
    model_files: str | None = None
    narrow: bool | None = None
    latency_by_length: Mapping[str, float | None] | None = None
    latency_by_length_one_thread: Mapping[str, float | None] | None = None
    energy_resolved: bool | None = None
    energy_note: str | None = None
    device: str = "cpu"
    not_timed: str | None = None
    gate: Verdict = UNJUDGED
    champion: bool = False

    def __getitem__(self, key: str) -> float | None:
        return self.figures[key]

    @property
    def timed_as(self) -> str:
        """Its name where its times stand beside those of a CPU."""
        return self.variant if self.device == "cpu" else f"{self.variant} on {self.device}"

    def known(self, key: str) -> float:
        """A figure that a trained and timed variant always has; raises ValueError where this row lacks it."""
        value = self.figures[key]
        if value is None:
            raise ValueError(f"{self.variant} has no {key}")
        return value

    @property
    def is_modeled(self) -> bool:
        """Whether the energy of transcribing is a model's and no meter's; older files have the British spelling."""
        return (self.energy_note or "").startswith("model")

    @property
    def energy(self) -> float | None:
        """Wh per hour of audio as a meter read them; None where none did, or where they are below the noise of the method."""
        return None if self.energy_resolved is False or self.is_modeled else self["energy_wh_per_audio_hour"]

    @property
    def more_tests(self) -> list[str]:
        """The test sets after the first, which have their own figures."""
        return [key.removeprefix("wer/") for key in self.figures if key.startswith("wer/")]


class Source(TypedDict):
    kind: str


class Corpus(TypedDict):
    name: str
    source: Source


class Tracking(TypedDict):
    experiment: str


class ComparedParams(TypedDict):
    """What is read of reports/params.json; `Comparison.budget` checks the gate's own keys."""

    profile: str
    corpus: Corpus
    gate: dict
    tracking: Tracking


class Headline(TypedDict):
    """What reports/metrics.json has in every comparison, beside the teacher's and the champion's figures."""

    champion: str | None
    timed_on: str
    timed_at: str


@dataclass(frozen=True)
class Comparison:
    """All compared variants, teacher.fp32 first, and the params that the comparison used."""

    rows: Sequence[Row]
    params: Mapping[str, Any]  # the JSON of reports/params.json

    @cached_property
    def champion(self) -> Row | None:
        return champion_of(self.rows)

    @cached_property
    def budget(self) -> Gate:
        try:
            return Gate(**self.params["gate"])
        except ValueError:
            raise BigfootError(f"the last comparison has a budget of an older Bigfoot: run `{forced(COMMAND)}`") from None

    @property
    def corpus(self) -> str:
        """The name of the corpus."""
        return self.params["corpus"]["name"]

    def row(self, variant: str) -> Row:
        """The row of a variant; raises BigfootError, which lists the compared variants, where it was not compared."""
        for row in self.rows:
            if row.variant == variant:
                return row
        raise BigfootError(f"no variant {variant} in the last comparison: it has {', '.join(row.variant for row in self.rows)}")


def model_mark(folder: Path) -> str | None:
    """A short hash of a model's files, which differs between models; None where the folder has no SHA256SUMS."""
    return sha256(folder / SUMS)[:16] if (folder / SUMS).is_file() else None


def untrained(rows: Sequence[Row]) -> bool:
    """Whether the compared models are untrained, so that no error figures are shown."""
    return not rows[0].trained


def champion_of(rows: Sequence[Row]) -> Row | None:
    return next((row for row in rows if row.champion), None)


def read(root: Path) -> Comparison:
    """The last comparison under `root`; raises BigfootError where it is missing or its files are broken."""
    project = Project(root)
    rows = read_rows(project.comparison)
    return Comparison(rows, shapes.read(project.compared_params, ComparedParams, COMMAND))


def read_headline(path: Path) -> dict:
    """reports/metrics.json, the headline figures; raises BigfootError where it is missing or broken."""
    return shapes.read(path, Headline, COMMAND)


def exists(root: Path) -> bool:
    return Project(root).comparison.is_file()


def read_rows(path: Path, command: str = COMMAND) -> list[Row]:
    """The rows of a comparison.json, of the last comparison or of results/; `command` makes the file again.

    A figure that an older Bigfoot did not have is None. Raises BigfootError where the file is missing or broken.
    """
    content = read_json(path, command, list)
    if not content:
        raise BigfootError(f"{path} has no variants: run `{forced(command)}`")
    return [_row(entry, f"{path}, variant {number}", command) for number, entry in enumerate(content, start=1)]


def write(out: Path, rows: Sequence[Row], params: Params) -> None:
    """comparison.json and params.json into the folder `out`."""
    write_json(out / Project().comparison.name, [flat(row) for row in rows])
    write_json(out / Project().compared_params.name, params.model_dump(mode="json", by_alias=True))


def flat(row: Row) -> dict:
    """A row as it is written to comparison.json."""
    names = {name: getattr(row, name) for name in NAMES}
    return {**names, **row.figures, "gate": asdict(row.gate), "champion": row.champion}


NAMES = tuple(field.name for field in fields(Row) if field.name not in ("figures", "gate", "champion"))


def _row(content: object, where: str, command: str) -> Row:
    """A checked row of comparison.json."""
    if not isinstance(content, dict):
        raise BigfootError(f"{where} is not an object: run `{forced(command)}`")
    tests = [key.removeprefix("wer/") for key in content if key.startswith("wer/")]
    if content.get("gate") is None:
        raise BigfootError(f"{where} has no verdict of the gate: run `{forced(command)}`")
    parts = {name: content[name] for name in (*NAMES, "gate", "champion") if name in content}
    parts["figures"] = {key: content.get(key) for key in figures.keys(tests)}
    return checked(json.dumps(parts), Row, where, command)
