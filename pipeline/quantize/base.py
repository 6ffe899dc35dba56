"""What a scheme is: a frozen, self-validating object whose fields are its settings in params.yaml.

What it lowers, how finely, on what hardware and within what limits stands in the docstring of its class, in lines that
begin with FACTS: `bigfoot schemes` prints these, so there is one place to say it.
"""

import inspect
import re
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import BaseModel, ConfigDict

if TYPE_CHECKING:
    from pipeline.speech.corpus import Corpus

FACTS = ("Lowers", "Granularity", "Hardware", "Limits")
VNNI = ("avx512_vnni", "avx_vnni", "amx_int8", "asimddp")  # as Linux names CPU features that multiply int8 in 32 bits
BF16 = ("avx512_bf16", "amx_bf16", "bf16")


class Scheme(BaseModel):
    """A way to lower precision for a runtime. Subclasses add settings as fields and say how the weights are written."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: ClassVar[Literal["own", "peer"]] = "own"  # peer: other people's way, measured beside ours and never promoted
    runtime: ClassVar[str]  # which of pipeline.recognition.runtimes runs it
    file: ClassVar[str]  # the file in the variant folder that the runtime opens
    padding: ClassVar[str] = "mask"  # "mask": padding is not heard; "exact": batches hold equal lengths only
    precision: ClassVar[str] = "f32"  # what is computed in where it is not int8: "f32" or "bf16"
    packages: ClassVar[tuple[str, ...]]  # whose versions made the weights
    runs_on: ClassVar[tuple[str, ...]] = ()  # packages beside the runtime that it takes to run them
    extra: ClassVar[str] = ""  # the extra that installs what the main lock doesn't have of these packages
    features: ClassVar[tuple[str, ...]] = ()  # it runs as it should on CPUs with one of them, or on any
    otherwise: ClassVar[str] = ""  # how it runs on the others

    def write(self, model_folder: Path, corpus: "Corpus | None", out: Path) -> dict | None:
        """Write the weights, and nothing needless, into the empty folder `out`; returns what variant.json is to say too."""
        raise NotImplementedError

    @classmethod
    def facts(cls) -> dict[str, str]:
        """What the class's docstring says under each of FACTS."""
        labels = "|".join(FACTS)
        found = re.findall(rf"^({labels}): (.+?)(?=^(?:{labels}): |^$|\Z)", inspect.cleandoc(cls.__doc__ or ""), re.M | re.S)
        return {label: " ".join(text.split()) for label, text in found}
