"""What a scheme is: a frozen, self-validating object whose fields are its settings in params.yaml."""

from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from pydantic import BaseModel, ConfigDict

if TYPE_CHECKING:
    from pipeline.corpus.manifest import Corpus


class Scheme(BaseModel):
    """A way to lower precision for a runtime. Subclasses add settings as fields and say how the weights are written."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    runtime: ClassVar[str]  # which of pipeline.runtimes runs it
    file: ClassVar[str]  # the file in the variant folder that the runtime opens
    padding: ClassVar[str] = "mask"  # "mask": padding is not heard; "exact": batches hold equal lengths only
    precision: ClassVar[str] = "f32"  # what is computed in where it is not int8: "f32" or "bf16"
    packages: ClassVar[tuple[str, ...]]  # whose versions made the weights

    def write(self, model_folder: Path, corpus: "Corpus | None", out: Path) -> dict | None:
        """Write the weights, and nothing needless, into the empty folder `out`; returns what variant.json is to say too."""
        raise NotImplementedError
