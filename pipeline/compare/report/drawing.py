"""How pictures are drawn: without a display, a date or a random id, so that the same figures give the same bytes.

Text and axes get the page's own color (in the place of INK), and no picture has a ground, so that one picture works on light
and on dark pages; for the same reason the other colors are as far from white as from black.
"""

import functools
import html
import io
import re
from collections.abc import Callable

from markupsafe import Markup

from pipeline.compare.report.looks import INK

LEGEND = {
    "frameon": False,
    "borderpad": 0.2,
    "handletextpad": 0.5,
    "columnspacing": 1.0,
    "labelspacing": 0.3,
    "fontsize": "small",
}


def styled(draw: Callable[..., str]) -> Callable[..., str]:
    """`draw` with the page's color and font from beginning to end, because matplotlib reads its settings at every step."""

    @functools.wraps(draw)
    def drawn(*arguments: object, **named: object) -> str:
        import matplotlib

        with matplotlib.rc_context(
            {
                "svg.hashsalt": "bigfoot",
                "svg.fonttype": "none",
                "font.size": 9.5,
                "axes.facecolor": "none",
                "text.color": INK,
                "axes.edgecolor": INK,
                "axes.labelcolor": INK,
                "xtick.color": INK,
                "ytick.color": INK,
            }
        ):
            return draw(*arguments, **named)

    return drawn


def figure(width: float, height: float):
    """A figure of this size in inches."""
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    drawn = Figure(figsize=(width, height), dpi=72, facecolor="none")  # SVG's: places of texts and of points are in one unit
    FigureCanvasSVG(drawn)
    return drawn


def svg(drawn) -> str:
    page = io.StringIO()
    drawn.savefig(page, format="svg", metadata={"Date": None})
    return page.getvalue()


def log_scale(axis) -> None:
    from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

    getattr(axis.axes, f"set_{axis.axis_name}scale")("log")
    axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axis.set_minor_formatter(NullFormatter())


def inline(svg: str, name: str, about: str) -> Markup:
    """An SVG file as HTML: with ids of its own, the page's text color, and a text for readers who do not see it."""
    svg = own_ids(svg, name).replace(INK, "currentColor")
    return Markup(svg.replace("<svg", f'<svg role="img" aria-label="{html.escape(about)}"', 1))


def own_ids(svg: str, name: str) -> str:
    """The <svg> element of a file without width and height, its ids prefixed so that no other picture has them."""
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg[svg.index("<svg") :], flags=re.DOTALL)
    svg = re.sub(r' (?:width|height)="[\d.]+pt"', "", svg, count=2)
    return re.sub(r'(\bid="|href="#|url\(#)', rf"\g<1>{name}-", svg)
