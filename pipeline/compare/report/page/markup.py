"""HTML in small pieces. Every text from outside goes through `say`; what is built of such pieces never does."""

from collections.abc import Iterable
from html import escape as say

__all__ = ["cell", "code", "details", "facts", "figure", "say", "section", "table"]


def cell(shown: str, value: float | str | None = None, bar: float | None = None) -> str:
    """A <td>: what is shown, the value that the page's script sorts by, and a bar of that share of the cell, if any."""
    sorted_by = "" if value is None else f' data-v="{say(str(value))}"'
    drawn = "" if bar is None else f'<i class="bar" style="width:{100 * min(bar, 1):.1f}%"></i>'
    return f"<td{sorted_by}>{say(shown)}{drawn}</td>"


def table(caption: str, heads: Iterable[str], rows: Iterable[tuple[str, Iterable[str]]], kind: str = "") -> str:
    """A table that scrolls sideways, by keyboard too: rows are (its name, its cells, from `cell`); heads are plain text."""
    head = "".join(f'<th scope="col">{say(name)}</th>' for name in heads)
    body = "\n".join(f'<tr><th scope="row">{say(name)}</th>{"".join(cells)}</tr>' for name, cells in rows)
    return framed(caption, head, body, kind)


def framed(caption: str, head: str, body: str, kind: str = "") -> str:
    """The frame of a table, around heads and rows that are HTML already."""
    return (
        f'<div class="scroll" role="region" aria-label="{say(caption)}" tabindex="0"><table class="{kind}">'
        f"<caption>{say(caption)}</caption>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n</tbody></table></div>"
    )


def section(name: str, title: str, *parts: str) -> tuple[str, str, str] | None:
    """(id, title, HTML); None where there is nothing to show."""
    body = "\n".join(part for part in parts if part)
    shown = f'<section aria-labelledby="{name}">\n<h2 id="{name}">{say(title)}</h2>\n{body}\n</section>'
    return (name, title, shown) if body else None


def figure(svg: str, caption: str) -> str:
    return f"<figure>{svg}<figcaption>{say(caption)}</figcaption></figure>"


def facts(pairs: Iterable[tuple[str, str]]) -> str:
    return f"<dl>{''.join(f'<dt>{say(what)}</dt><dd>{say(fact)}</dd>' for what, fact in pairs)}</dl>"


def details(summary: str, body: str) -> str:
    return f"<details><summary>{say(summary)}</summary>{body}</details>"


def code(lines: Iterable[str]) -> str:
    return f'<pre tabindex="0"><code>{say(chr(10).join(lines))}</code></pre>'
