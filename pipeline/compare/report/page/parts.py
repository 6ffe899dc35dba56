"""The parts of a section of the page. The macro in templates/parts.html with the name of a part's `kind` draws it.

All texts are plain: the template escapes them. Only a plot is already HTML (see `plots.inline`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from markupsafe import Markup

from pipeline.compare.breakdown import Mistake


@dataclass(frozen=True)
class Section:
    """A section with `name` as its id; a section without parts is left out."""

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
    """Facts that are folded at first."""

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
    """A text, the value that the page's script sorts by, and the length of a bar as a share of the cell's width, if any."""

    text: str
    value: float | str | None = None
    bar: float | None = None

    @property
    def width(self) -> str:
        """The bar's width in CSS."""
        return f"{100 * min(self.bar or 0.0, 1):.1f}%"


@dataclass(frozen=True)
class Line:
    name: str
    cells: Sequence[Cell]
    is_champion: bool = False


@dataclass(frozen=True)
class Table:
    """A table; the first heading is that of the lines' names. A phone at first shows only the columns named in `main`."""

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
    """The utterances of one set in reports/worst.json."""

    kind: ClassVar = "alignments"
    utterances: Sequence[Mistake]
    audio: Mapping[str, str]  # data: URLs by id
