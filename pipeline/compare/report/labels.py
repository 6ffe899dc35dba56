"""Names beside points of a plot, each where it covers no other name and as few marks and intervals as possible."""

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

HEIGHTS = sorted(range(-180, 180, 5), key=abs)  # in points, from the mark
SIDES = (6, -6)  # in points: to the right of the mark, and to its left
FAR = 20  # points beyond which a line leads from a name to its mark
MARK = 6  # points


class Named(NamedTuple):
    """A point with the name to write beside it, "" for none, and the ends of its interval, all in the units of the axes."""

    name: str
    x: float
    y: float
    low: float
    high: float


def write(axes, points: Sequence[Named], steps: Sequence[tuple[float, float]]) -> None:
    """Write the names, inside the frame where they fit; a line goes down by `steps`, from the left.

    The figure has 72 dots per inch, so that a dot is a point.
    """
    from matplotlib.transforms import Bbox

    axes.get_xlim()  # makes matplotlib compute the limits, which decide the places
    frame = axes.get_window_extent().padded(-10)  # fonts of browsers differ

    def at(x: float, y: float) -> tuple[float, float]:
        return tuple(axes.transData.transform((x, y)))

    marks, bars = [], []
    for point in points:
        (x, y), (_, low), (_, high) = at(point.x, point.y), at(point.x, point.low), at(point.x, point.high)
        marks.append(Bbox.from_extents(x - MARK, y - MARK, x + MARK, y + MARK))
        bars.append(Bbox.from_extents(x - 2, low - 3, x + 2, high + 3))
    for (left, y), (right, low) in pairwise(at(*step) for step in steps):
        bars += [Bbox.from_extents(left, y - 1, right, y + 1), Bbox.from_extents(right - 1, low, right + 1, y)]
    names: list[Bbox] = []

    def cost(box: Bbox, height: float) -> tuple[float, ...]:
        """Less is better: names covered, then parts outside the frame, marks, intervals, the way to the mark."""
        outside = not (frame.x0 < box.x0 and box.x1 < frame.x1 and frame.y0 < box.y0 and box.y1 < frame.y1)
        return (box.count_overlaps(names), outside, 3 * box.count_overlaps(marks) + box.count_overlaps(bars), abs(height))

    for point in points:
        if not point.name:
            continue
        tried = []
        for side in SIDES:
            text = _annotate(axes, point, side, side, height=0)
            box = text.get_window_extent()
            text.remove()
            for shift in {0.0, max(0.0, 1 + frame.x0 - box.x0) + min(0.0, frame.x1 - box.x1 - 1)}:  # the second: into the frame
                moved = [(height, box.translated(shift, height)) for height in HEIGHTS]
                tried += [(cost(place, height), height, side, shift, place) for height, place in moved]
        _, height, side, shift, box = min(tried, key=lambda place: place[0])
        _annotate(axes, point, side, side + shift, height, is_led=abs(height) > FAR)
        names.append(box)


def _annotate(axes, point: Named, side: float, right: float, height: float, is_led: bool = False):
    """Write a name `right` and `height` points from its mark; it begins there, or ends there if `side` is to the left."""
    corner = (0 if side > 0 else 1, 0 if height > 0 else 1)  # of the name, the nearest to the mark
    line = {"arrowstyle": "-", "linewidth": 0.6, "color": "gray", "relpos": corner, "shrinkA": 0} if is_led else None
    return axes.annotate(
        point.name, (point.x, point.y), (right, height), textcoords="offset points",
        ha="left" if side > 0 else "right", arrowprops=line,
    )  # fmt: skip
