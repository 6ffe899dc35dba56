"""Tables as text: in Markdown for pages, in aligned columns for a terminal."""

import textwrap
from collections.abc import Iterable, Sequence

import tabulate

from pipeline.common.errors import one_line

tabulate.MIN_PADDING = 0  # the default makes each column two characters wider than its heading


def markdown(heads: Iterable[object], rows: Iterable[Iterable[object]]) -> str:
    """A Markdown table with these headings; characters that would end a cell are escaped."""
    cells = [[escaped(str(cell)) for cell in row] for row in rows]
    return tabulate.tabulate(cells, [escaped(str(head)) for head in heads], tablefmt="github", disable_numparse=True)


def plain(heads: Sequence[str], rows: Sequence[Sequence[str]], sides: Sequence[str]) -> str:
    """A table in aligned columns; `sides` has "left" or "right" for each column."""
    return tabulate.tabulate(rows, heads, tablefmt="simple", colalign=sides, disable_numparse=True)


def wrapped(line: str, indent: str = "") -> list[str]:
    """A line as lines of a terminal's 80 columns, of which all but the first begin with `indent`; no name is cut."""
    return textwrap.wrap(line, 80, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)


def escaped(text: str) -> str:
    """Text on one line, for a cell or a list in Markdown, where it stays text: no HTML, no link, no picture, no new cell."""
    plain = one_line(text.replace("\n", " ").replace("\t", " "))
    return plain.replace("|", "\\|").replace("<", "&lt;").replace("](", "]\\(").replace("![", "\\![")
