"""The parts of a section of the page. The macro in templates/parts.html with the name of a part's `kind` draws it.

All texts are plain: the template escapes them. Only a plot is already HTML (see `drawing.inline`).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from markupsafe import Markup


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
    """Facts that are folded at first, under `summary`."""

    kind: ClassVar = "meanings"
    summary: str
    pairs: Sequence[tuple[str, str]]


@dataclass(frozen=True)
class Choice:
    """A variant, what it is best for, its figures, and how it differs from others."""

    variant: str
    best_for: str
    figures: str
    lines: Sequence[tuple[str, str]]


@dataclass(frozen=True)
class Choices:
    kind: ClassVar = "choices"
    choices: Sequence[Choice]


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
    """A table; the first heading is that of the lines' names. At first it shows the columns in `main`; () means all."""

    kind: ClassVar = "table"
    caption: str
    heads: Sequence[str]
    lines: Sequence[Line]
    style: str = ""
    main: Sequence[str] = ()


@dataclass(frozen=True)
class Pair:
    """A word of the reference and what was recognized, either may be ""; `look`: "" (equal), "slip" or "wrong"."""

    word: str
    other: str
    look: str


@dataclass(frozen=True)
class Aligned:
    """An utterance word by word; `audio` is a data: URL, None where it is left out."""

    title: str
    words: Sequence[Pair]
    below: str
    audio: str | None


@dataclass(frozen=True)
class Alignments:
    """Utterances of one set; folded under `summary` where there is one."""

    kind: ClassVar = "alignments"
    summary: str
    utterances: Sequence[Aligned]
