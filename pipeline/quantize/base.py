"""The base class of schemes: a frozen, self-validating object whose fields are the scheme's settings in params.yaml.

The docstring of each class states what it lowers, how finely, on what hardware and within what limits, in lines that begin with
one of FACTS. `bigfoot schemes` prints these lines, so they are written once.
"""

import inspect
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from pipeline.common.host import BF16 as BF16
from pipeline.common.host import VNNI as VNNI
from pipeline.common.settings import Settings

if TYPE_CHECKING:
    from pipeline.params import Student
    from pipeline.recognition.seal import Kind
    from pipeline.speech.corpus import Corpus

FACTS = ("Lowers", "Granularity", "Hardware", "Limits")


class Scheme(Settings):
    """A way to lower precision for a runtime. Subclasses add settings as fields and define how the weights are written."""

    # peer: another project's method; gpu: for device "cuda" alone. Both are measured beside the others and never promoted.
    kind: "ClassVar[Kind]" = "own"
    runtime: ClassVar[str]  # the runtime, one of pipeline.recognition.runtimes
    file: ClassVar[str]  # the file in the variant folder that the runtime opens
    padding: ClassVar[str] = "mask"  # "mask": padding is ignored; "exact": batches hold equal lengths only
    precision: ClassVar[str] = "f32"  # the precision of operations outside int8: "f32", "bf16" or "f16"
    device: ClassVar[str] = "cpu"  # "cpu", or "cuda": an NVIDIA GPU
    packages: ClassVar[tuple[str, ...]]  # the packages that write the weights; variant.json stores their versions
    runs_on: ClassVar[tuple[str, ...]] = ()  # packages besides the runtime that running needs
    extra: ClassVar[str] = ""  # the extra that installs those packages that the main lock lacks
    features: ClassVar[tuple[str, ...]] = ()  # it runs at full speed on CPUs with one of these; empty: on any CPU
    otherwise: ClassVar[str] = ""  # how it runs on other CPUs

    def write(self, model_folder: Path, corpus: "Corpus | None", out: Path) -> dict | None:
        """Write the weights, and no other files, into the empty folder `out`; returns additional keys for variant.json."""
        raise NotImplementedError

    def obstacle(self, config: Mapping, student: "Student | None") -> str | None:
        """Why a model can't be lowered, and what to do, as far as its config.json and its params tell.

        `config`: {} where it is not known yet; `student`: None for the teacher.
        """
        return None

    def lacking(self) -> str | None:
        """What else is not installed that writes the weights, and how to install it."""
        return None

    @classmethod
    def facts(cls) -> dict[str, str]:
        """The class docstring's text for each of FACTS."""
        labels = "|".join(FACTS)
        matches = re.findall(rf"^({labels}): (.+?)(?=^(?:{labels}): |^$|\Z)", inspect.cleandoc(cls.__doc__ or ""), re.M | re.S)
        return {label: " ".join(text.split()) for label, text in matches}
