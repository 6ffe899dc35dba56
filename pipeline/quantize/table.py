"""The table that `bigfoot schemes` prints: one row per scheme, with its settings and whether this machine runs it."""

import json
import shutil
import textwrap
from collections.abc import Collection
from importlib.util import find_spec

from pipeline.common import host
from pipeline.quantize.base import Scheme
from pipeline.quantize.schemes import SCHEMES
from pipeline.recognition import gpu

COLUMNS = ("Scheme", "Kind", "Runtime", "Lowers", "Granularity", "Hardware", "Limits", "Settings", "This machine")
LEAST_WIDTH = 140  # of a terminal in which nine columns can be read


def rows() -> list[tuple[str, ...]]:
    """One tuple of COLUMNS per scheme."""
    features = host.features()
    return [
        (name, scheme.kind, scheme.runtime, *scheme.facts().values(), settings(scheme), here(scheme, features))
        for name, scheme in SCHEMES.items()
    ]


def settings(scheme: type[Scheme]) -> str:
    """Each setting with its default and what it means."""
    fields = scheme.model_fields.items()
    return "; ".join(f"{name}: {field.default} ({field.description})" for name, field in fields) or "none"


def here(scheme: type[Scheme], features: Collection[str]) -> str:
    """Whether, and how, a machine with these CPU features and the packages installed here runs it."""
    for needed in (scheme.runtime, *scheme.runs_on):
        if not find_spec(needed):
            return f"no: {needed} is not installed" + (f", `make {scheme.extra}` installs it" if scheme.extra else "")
    if scheme.device == gpu.CUDA and (reason := gpu.missing(scheme.runtime)):
        return f"makes it, can't run it: {reason}"
    lacking = [package for package in scheme.packages if not find_spec(package)]
    verdict = f"runs it, can't make it without {', '.join(lacking)}" if lacking else "yes"
    if not lacking and (reason := scheme().lacking()):
        verdict = f"runs it, can't make it: {reason}"
    if scheme.features and not set(scheme.features) & set(features):
        verdict += f"; {scheme.otherwise}, as the CPU has none of {', '.join(scheme.features)}"
    return verdict


def as_json() -> str:
    """A list with one object per scheme."""
    return json.dumps([dict(zip(COLUMNS, row, strict=True)) for row in rows()], indent=1, ensure_ascii=False)


def text() -> str:
    """The table, as wide as the terminal, or 80 columns where there is none; in a narrow terminal one paragraph per scheme."""
    width = shutil.get_terminal_size((80, 0)).columns
    return _paragraphs(width) if width < LEAST_WIDTH else _table(width)


def _paragraphs(width: int) -> str:
    lines = []
    for name, *cells in rows():
        lines.append(name)
        for column, cell in zip(COLUMNS[1:], cells, strict=True):
            lines += textwrap.wrap(f"{column}: {cell}", width, initial_indent="  ", subsequent_indent="    ")
    return "\n".join(lines) + "\n"


def _table(width: int) -> str:
    from rich.box import HORIZONTALS
    from rich.console import Console
    from rich.table import Table

    table = Table(*COLUMNS, box=HORIZONTALS, show_lines=True, pad_edge=False)
    table.columns[0].no_wrap = True
    for row in rows():
        table.add_row(*row)
    console = Console(width=width, color_system=None)
    with console.capture() as written:
        console.print(table, markup=False)
    return written.get()
