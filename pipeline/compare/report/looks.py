"""What models and schemes look like: one color per model and one marker per scheme, the same in every plot of a report.

Decision: colors follow the order of the models in params.yaml, so another variant, or another student at the end, changes none.
Where there are more models than colors, those that decide have theirs: the teacher, the champion and the fronts. The rest is
gray, and the legend counts it.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pipeline.compare.comparison import Row

MARKERS = (
    *"osD^vP*X<>dhp8H",
    *((points, 1, 0) for points in (3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 16, 18)),
)  # at least one per scheme; the last are stars
COLORS = ("#0072b2", "#d55e00", "#009e73", "#c45a96", "#7a5fd0", "#8a7a1f", "#5a7f8c", "#b0434b")
OTHERS = "#808080"  # of all models that have no color of their own
INK = "#010203"  # text and axes; on the page it becomes the page's text color


@dataclass(frozen=True)
class Looks:
    """`colors` by model, without those that are gray; `markers` by scheme."""

    colors: Mapping[str, str]
    markers: Mapping[str, Any]  # matplotlib's

    def color(self, model: str) -> str:
        return self.colors.get(model, OTHERS)


def of(rows: Sequence[Row], models: Iterable[str], deciding: Iterable[str]) -> Looks:
    """The looks of a comparison; `models` are those of params.yaml in order, `deciding` those that need a color most."""
    models = list(models)
    wanted = dict.fromkeys([*deciding, *(row.model for row in rows), *models])
    colored = set(list(wanted)[: len(COLORS)])
    schemes = dict.fromkeys(row.scheme for row in rows)
    colors = dict(zip((model for model in models if model in colored), COLORS, strict=False))
    return Looks(colors, {scheme: MARKERS[at % len(MARKERS)] for at, scheme in enumerate(schemes)})
