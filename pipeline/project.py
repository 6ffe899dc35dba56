"""The paths of a project's files and folders, and `load_params`, which reads its params.yaml.

dvc.yaml has the same paths, since DVC owns them; no other module does. This module is light (no pydantic), because the command
line has to be; `load_params` imports what it needs.
"""

import itertools
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.common.errors import BigfootError

if TYPE_CHECKING:
    from pipeline.params import Params

SQLITE = "sqlite:///"  # begins the URI of a store that is a file
NO_DATA = "data/none"  # what a section says that needs no data: a folder of the project, since DVC watches one


@dataclass(frozen=True)
class Project:
    """A project's folder: by default the current one, because stages and commands run in it."""

    root: Path = Path()

    @property
    def params(self) -> Path:
        return self.root / "params.yaml"

    def purpose(self) -> str:
        """What the params.yaml in use is for and how long it takes: the comment above its key `profile`."""
        above = f"\n{self.params.read_text(encoding='utf-8')}".partition("\nprofile:")[0].splitlines()
        comment = list(itertools.takewhile(lambda line: line.startswith("#"), reversed(above)))
        return "\n".join(line.removeprefix("#").strip() for line in reversed(comment))

    @property
    def graph(self) -> Path:
        """DVC's stage graph."""
        return self.root / "dvc.yaml"

    @property
    def lock(self) -> Path:
        """What DVC recorded of the stages that have run."""
        return self.root / "dvc.lock"

    @property
    def profiles(self) -> Path:
        return self.root / "profiles"

    def profile(self, name: str) -> Path:
        """A profile's file; raises BigfootError, with the known names, where no profile has that name."""
        known = sorted(path.stem for path in self.profiles.glob("*.yaml"))
        if name not in known:
            raise BigfootError(f"there is no profile '{name}', known are: {', '.join(known) or 'none, is this the project?'}")
        return self.profiles / f"{name}.yaml"

    def corpus(self, name: str) -> Path:
        return self.root / "corpora" / name

    @property
    def models(self) -> Path:
        return self.root / "models"

    def model(self, name: str) -> Path:
        return self.models / name

    @property
    def teacher(self) -> Path:
        return self.model("teacher")

    @property
    def logits(self) -> Path:
        """The teacher's stored logits."""
        return self.root / "logits" / "teacher"

    @property
    def variants(self) -> Path:
        return self.root / "variants"

    def variant(self, name: str) -> Path:
        """A variant's folder, by its name MODEL.SCHEME."""
        return self.variants / name

    def variant_name(self, given: str) -> str:
        """A variant's or model's name, given as that (half.int8-onnx), as its folder (variants/half.int8-onnx) or slug
        (half-int8-onnx); anything else comes back as it is."""
        path = Path(given)
        if path.name != given and (self.root / path).resolve().parent in (self.variants.resolve(), self.models.resolve()):
            return path.name
        model, hyphen, scheme = given.partition("-")
        if not (hyphen and model.isidentifier() and "/" not in given):
            return given
        dotted = f"{model}.{scheme}"
        return next((path.name for path in self.variants.glob(f"{model}.*") if path.name.replace("+", "-") == dotted), dotted)

    @property
    def scores(self) -> Path:
        return self.root / "scores"

    def score(self, variant: str) -> Path:
        return self.scores / f"{variant}.json"

    @property
    def durations(self) -> Path:
        return self.root / "durations"

    def duration(self, variant: str) -> Path:
        """How long scoring a variant took: beside the score, which depends on files alone."""
        return self.durations / f"{variant}.json"

    @property
    def timings(self) -> Path:
        return self.root / "timings.json"

    @property
    def reports(self) -> Path:
        return self.root / "reports"

    @property
    def comparison(self) -> Path:
        """All figures of the last comparison."""
        return self.reports / "comparison.json"

    def card(self, name: str) -> Path:
        """The card of a model or variant of the last comparison."""
        return self.reports / "cards" / f"{name}.md"

    def export(self, variant: str) -> Path:
        """A variant's layouts for other runtimes, one folder each."""
        return self.root / "exports" / variant

    @property
    def compared_params(self) -> Path:
        """The params that the last comparison used."""
        return self.reports / "params.json"

    @property
    def report(self) -> Path:
        """The last comparison in Markdown."""
        return self.reports / "comparison.md"

    @property
    def table(self) -> Path:
        """The last comparison as text for a terminal."""
        return self.reports / "table.txt"

    @property
    def table_rows(self) -> Path:
        """The same table as a list with one {heading: text} per variant, for Prefect."""
        return self.reports / "table.json"

    @property
    def page(self) -> Path:
        """The page that recognizes in a browser."""
        return self.root / "web"

    @property
    def results(self) -> Path:
        """Published results, under git."""
        return self.root / "results"

    @property
    def database(self) -> Path:
        """MLflow's store, used where no server is set."""
        return self.root / "mlflow.db"

    @property
    def store(self) -> str:
        """The URI of that store."""
        return f"{SQLITE}{self.database.resolve()}"

    @property
    def artifacts(self) -> Path:
        """The files of that store's runs and models."""
        return self.root / "mlartifacts"

    @property
    def scratch(self) -> Path:
        """Files that may be deleted at any time, at the cost of repeated work: checkpoints, worktrees, locks."""
        return self.root / ".bigfoot"

    @property
    def costs(self) -> Path:
        """What was timed on this machine for `bigfoot propose`."""
        return self.scratch / "costs.json"

    @property
    def checkpoints(self) -> Path:
        return self.scratch / "checkpoints"

    @property
    def aside(self) -> Path:
        """What stages once made and params.yaml no longer names."""
        return self.scratch / "aside"

    @property
    def worktrees(self) -> Path:
        return self.scratch / "worktrees"


def require_data(project: Project, params: "Params") -> None:
    """Raise BigfootError where a folder that params.yaml names as data is missing; DVC's own error would not name it."""
    for key, name in (("corpus.data", params.corpus.data), ("teacher.data", params.teacher.data)):
        path = project.root / name
        if name == NO_DATA or path.exists():
            continue
        remedy = "run `dvc pull` or `dvc checkout`" if path.with_name(f"{path.name}.dvc").is_file() else "put it there"
        raise BigfootError(f"params.yaml: {key}: {name} is missing: {remedy}, or correct the path")


def load_params(path: str | Path = Project().params) -> "Params":
    """Read and check params.yaml; raises BigfootError as `read` does, and where a scheme, its settings or a layout is wrong."""
    from pipeline.exports import layouts
    from pipeline.params import Params, read
    from pipeline.quantize import schemes

    if not Path(path).is_file():
        raise BigfootError(f"{path} is missing: run this in the project's folder, or `bigfoot use PROFILE` to make one")
    params = read(path, Params)
    made = {name: schemes.make(name, settings) for name, settings in params.schemes.items()}
    for name, wanted in params.exports.items():
        scheme = made[name.partition(".")[2]]
        for layout in wanted:
            layouts.require(layout, f"exports.{name}", scheme.runtime, scheme.kind, "+" in name)
    return params
