"""What 'Shrinking Bigfoot' published, of models that were trained: the only place where its figures stand."""

from dataclasses import asdict, dataclass

SOURCE = (
    "Peng et al., 'Shrinking Bigfoot: Reducing wav2vec 2.0 footprint', SustaiNLP 2021 (arXiv 2103.15760), and the code "
    "published with it"
)


@dataclass(frozen=True)
class Figure:
    """One of the paper's models, and which variant here has its shape and precision; None: the paper doesn't say.

    `disk_mb` is as printed: 1203 MiB are 1262 MB of 10^6 bytes, in which sizes are counted here. `wer_rise_points` is of a
    trained model.
    """

    variant: str
    what: str
    params_m: float | None
    disk_mb: float | None
    shrink: float | None
    speedup: float | None
    wer_rise_points: float | None


FIGURES = (
    Figure("teacher.fp32", "teacher, 24 layers", 317.0, 1203.0, 1.0, 1.0, 0.0),
    Figure("teacher.int8-torch", "teacher in dynamic int8", None, 338.0, 3.6, None, 0.1),
    Figure("quarter.fp32", "student of 4 layers", 65.5, None, 4.84, 2.0, 7.0),
)


def as_data() -> dict:
    """The figures for paper_scale.json."""
    return {"source": SOURCE, "figures": [asdict(figure) for figure in FIGURES]}
