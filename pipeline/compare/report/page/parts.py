"""What a section of the page is made of. Each part is drawn by the macro of its `kind` in templates/parts.html.

Texts are texts: the template escapes all of them. Only a plot is HTML already (see `plots.inline`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from markupsafe import Markup


@dataclass(frozen=True)
class Section:
    """`name` is its id; a section without parts is left out."""

    name: str
    title: str
    parts: Sequence[object]


@dataclass(frozen=True)
class Text:
    kind: ClassVar = "text"
    text: str


@dataclass(frozen=True)
class Subheading:
    kind: ClassVar = "subheading"
    text: str


@dataclass(frozen=True)
class Steps:
    kind: ClassVar = "steps"
    steps: Sequence[str]


@dataclass(frozen=True)
class Code:
    kind: ClassVar = "code"
    lines: Sequence[str]


@dataclass(frozen=True)
class Facts:
    kind: ClassVar = "facts"
    pairs: Sequence[tuple[str, str]]


@dataclass(frozen=True)
class Meanings:
    """Facts that unfold."""

    kind: ClassVar = "meanings"
    pairs: Sequence[tuple[str, str]]


@dataclass(frozen=True)
class Plot:
    svg: Markup
    caption: str


@dataclass(frozen=True)
class Plots:
    kind: ClassVar = "plots"
    plots: Sequence[Plot]


@dataclass(frozen=True)
class Cell:
    """What is shown, the value that the page's script sorts by, and a bar of that share of the cell, if any."""

    shown: str
    value: float | str | None = None
    bar: float | None = None

    @property
    def width(self) -> str:
        return f"{100 * min(self.bar, 1):.1f}%"


@dataclass(frozen=True)
class Line:
    name: str
    cells: Sequence[Cell]
    is_champion: bool = False


@dataclass(frozen=True)
class Table:
    """`heads` begin with that of the lines' names; a phone shows the columns named in `main` at first."""

    kind: ClassVar = "table"
    caption: str
    heads: Sequence[str]
    lines: Sequence[Line]
    style: str = ""
    main: Sequence[str] = ()


@dataclass(frozen=True)
class KeyToAlignments:
    kind: ClassVar = "key_to_alignments"


@dataclass(frozen=True)
class Alignments:
    """The utterances of reports/worst.json that are of one set."""

    kind: ClassVar = "alignments"
    utterances: Sequence[Mapping]
