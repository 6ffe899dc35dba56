"""The one list of figures: each one's name, unit, meaning, where it comes from and how it is shown.

From it are made the keys of comparison.json and of MLflow (which gets every figure that was measured), the columns of the
tables and of the page, the labels of plots, the lines of model cards and the glossary in docs/numbers.md. To add a figure,
add it here, and have `evaluate`, `benchmark` or `pipeline.compare.rows` find it out. The order is that of the columns.

A figure of the text is of one set: `wer` is the first test set's, `dev_wer` dev's, `wer/NAME` a further test set's. The two
bounds of the rise differ in what they are for: `wer_rise_upper` is the gate's, on dev, and others rely on its name;
`test_wer_rise_upper` (and `test_wer_rise_upper/NAME`) is reported and read by no decision.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from pipeline.common import numbers

# Where a figure comes from: a set's score, bounds on test sets, timings.json, a model's metrics.json, or the other figures.
TEXT, BOUND, TIMING, TRAINING, DERIVED = "text", "bound", "timing", "training", "derived"


@dataclass(frozen=True)
class Figure:
    """`unit` is that of the key; a value is shown as `factor` times it in the format `form`, `suffix` behind it.

    `heading` is its column's ("" for none of its own), `label` what plots and cards call it, `shown_in` the unit it is shown
    in, where that is another. `page_only` columns are left out of Markdown, `headline` figures are in metrics.json.
    """

    name: str
    source: str
    unit: str
    about: str
    form: str = ".1f"
    heading: str = ""
    label: str = ""
    factor: float = 1
    suffix: str = ""
    shown_in: str = ""
    page_only: bool = False
    headline: bool = False

    def show(self, value: float | None, absent: str = numbers.ABSENT) -> str:
        return numbers.shown(None if value is None else self.factor * value, self.form, self.suffix, absent)

    @property
    def axis(self) -> str:
        """What a plot's axis says: "size on disk (MB)"."""
        return f"{self.label} ({self.shown_in or self.unit})"


PERCENT = {"form": ".2f", "factor": 100, "shown_in": "%"}
POINTS = {"form": "+.2f", "factor": 100, "shown_in": "points"}
RATIO = {"suffix": "x"}
WHOLE = {"form": ".0f"}
SHORT = {"form": ".3g"}
END = "{} end of the 95% interval of `{}`"


def _ends(name: str, source: str, unit: str, headline: bool = False) -> list[Figure]:
    return [
        Figure(f"{name}_low", source, unit, END.format("lower", name), headline=headline),
        Figure(f"{name}_high", source, unit, END.format("upper", name), headline=headline),
    ]


FIGURES: tuple[Figure, ...] = (
    Figure(
        "wer",
        TEXT,
        "fraction",
        "wrong words divided by the words of the reference",
        heading="WER %",
        label="WER",
        headline=True,
        **PERCENT,
    ),
    *_ends("wer", TEXT, "fraction", headline=True),
    Figure(
        "wer_rise",
        TEXT,
        "fraction",
        "the rise: WER minus that of teacher.fp32, same utterances",
        heading="Rise, points",
        label="rise",
        **POINTS,
    ),
    Figure(
        "test_wer_rise_upper",
        BOUND,
        "fraction",
        "upper bound (95%) of the rise, for all variants together; no decision reads it",
        heading="Rise at most",
        **POINTS,
    ),
    Figure(
        "cer",
        TEXT,
        "fraction",
        "wrong characters divided by the characters of the reference",
        heading="CER %",
        label="CER",
        **PERCENT,
    ),
    *_ends("cer", TEXT, "fraction"),
    Figure("substitutions", TEXT, "words", "words recognized as other words", **WHOLE),
    Figure("deletions", TEXT, "words", "words of the reference without a counterpart", **WHOLE),
    Figure("insertions", TEXT, "words", "words without a counterpart in the reference", **WHOLE),
    Figure(
        "dev_wer",
        DERIVED,
        "fraction",
        "WER on dev, which chooses checkpoints and the champion",
        heading="Dev WER %",
        headline=True,
        **PERCENT,
    ),
    Figure(
        "wer_rise_upper",
        DERIVED,
        "fraction",
        "upper bound of the rise on dev, which the gate compares with its budget",
        heading="Rise on dev at most",
        headline=True,
        **POINTS,
    ),
    Figure(
        "params",
        TIMING,
        "parameters",
        "parameters (weights) of the model",
        heading="Params, M",
        label="parameters",
        form=".2f",
        factor=1e-6,
        shown_in="M",
    ),
    Figure(
        "macs_per_second",
        TIMING,
        "1/s",
        "multiply-accumulates per second of audio, counted from the shape",
        heading="GMAC/s",
        factor=1e-9,
        shown_in="10^9/s",
        **SHORT,
    ),
    Figure(
        "disk_mb",
        TIMING,
        "MB",
        "size of the whole folder; one MB is 10^6 bytes",
        heading="MB",
        label="size on disk",
        form=".2f",
        headline=True,
    ),
    Figure(
        "shrink",
        DERIVED,
        "ratio",
        "disk_mb of teacher.fp32 divided by this variant's",
        heading="Smaller",
        headline=True,
        **RATIO,
    ),
    Figure(
        "latency_p50_ms",
        TIMING,
        "ms",
        "median time from 16 kHz audio in memory to text, batch 1",
        heading="p50 ms",
        label="latency, median",
        headline=True,
    ),
    Figure("latency_p95_ms", TIMING, "ms", "95% of utterances take at most this time", heading="p95 ms", label="latency, 95%"),
    Figure("latency_p99_ms", TIMING, "ms", "99% of utterances take at most this time", heading="p99 ms"),
    Figure(
        "speedup",
        TIMING,
        "ratio",
        "time of teacher.fp32 divided by this variant's, same utterances, same rounds",
        heading="Faster",
        headline=True,
        **RATIO,
    ),
    *_ends("speedup", TIMING, "ratio"),
    Figure("ms_per_audio_second_p50", TIMING, "ms/s", "median latency per second of audio"),
    Figure(
        "ms_per_audio_second_p95",
        TIMING,
        "ms/s",
        "95th percentile of latency per second of audio",
        heading="p95 ms per second",
        page_only=True,
    ),
    Figure("ms_per_audio_second_p99", TIMING, "ms/s", "99th percentile of latency per second of audio"),
    Figure(
        "cnn_ms",
        TIMING,
        "ms",
        "time in the feature encoder, from a separate profiled pass",
        heading="Feature encoder ms",
        page_only=True,
    ),
    Figure(
        "encoder_ms",
        TIMING,
        "ms",
        "time in the transformer, from a separate profiled pass",
        heading="Encoder ms",
        page_only=True,
    ),
    Figure(
        "rtfx",
        TIMING,
        "s/s",
        "seconds of audio transcribed per second, batch 1",
        heading="RTFx",
        label="throughput, batch 1",
        headline=True,
        **WHOLE,
    ),
    *_ends("rtfx", TIMING, "s/s"),
    Figure(
        "rtfx_batched",
        TIMING,
        "s/s",
        "the same in batches of benchmark.batch utterances of equal length",
        heading="RTFx, batches",
        page_only=True,
        **WHOLE,
    ),
    Figure(
        "cold_start_ms",
        TIMING,
        "ms",
        "from before the start of a new process to its first text, files in the cache",
        heading="Cold start s",
        form=".2f",
        factor=1e-3,
        shown_in="s",
    ),
    Figure("load_ms", TIMING, "ms", "the part of the cold start that opens the variant, imports included"),
    Figure(
        "ram_mb",
        TIMING,
        "MB",
        "peak memory of the variant's process",
        heading="RAM MB",
        label="peak memory",
        headline=True,
        **WHOLE,
    ),
    Figure(
        "ram_model_mb",
        TIMING,
        "MB",
        "ram_mb minus that of an empty process with the same runtime",
        heading="Model's RAM MB",
        page_only=True,
        **WHOLE,
    ),
    Figure(
        "energy_wh_per_audio_hour",
        TIMING,
        "Wh/h",
        "energy of the whole machine to transcribe one hour of audio",
        heading="Wh per audio hour",
        label="energy",
        shown_in="Wh per audio hour",
        headline=True,
        **SHORT,
    ),
    Figure(
        "co2_g_per_audio_hour",
        DERIVED,
        "g/h",
        "the CO2 of that energy, by the electricity mix of `country`",
        heading="g CO2 per audio hour",
        page_only=True,
        **SHORT,
    ),
    Figure(
        "train_energy_wh",
        TRAINING,
        "Wh",
        "energy of the model's own training, all resumptions together",
        heading="Training Wh",
        page_only=True,
        **SHORT,
    ),
    Figure("train_co2_g", DERIVED, "g", "the CO2 of that energy", heading="Training g CO2", page_only=True, **SHORT),
    Figure("train_hours", TRAINING, "h", "duration of the model's own training, all resumptions together", form=".2f"),
    Figure(
        "train_payback_hours",
        DERIVED,
        "h",
        "hours of audio after which the energy saved has paid for its training and its parents' (not the pass for logits)",
        heading="Paid back after h",
        form=",.0f",
    ),
)
BY_NAME = {figure.name: figure for figure in FIGURES}
KINDS = ("substitutions", "deletions", "insertions")


def of(source: str) -> tuple[str, ...]:
    """The names of the figures from one source."""
    return tuple(figure.name for figure in FIGURES if figure.source == source)


def keys(more_tests: Iterable[str] = ()) -> dict[str, Figure]:
    """The keys of a row's figures, which are MLflow's too, beside the figure that each is; `more_tests` beyond the first."""
    found = dict(BY_NAME)
    for figure in FIGURES:
        if figure.source == TEXT:
            found.setdefault(f"dev_{figure.name}", figure)
        if figure.source in (TEXT, BOUND):
            found |= {f"{figure.name}/{test}": figure for test in more_tests}
    return found


def split_of(key: str, first_test: str) -> str | None:
    """The split that a figure is of, by its key: dev_cer is dev's, cer/noisy noisy's, cer the first test set's, MB none's."""
    name, _, test = key.partition("/")
    if name == "wer_rise_upper" or (name.startswith("dev_") and name.removeprefix("dev_") in of(TEXT)):
        return "dev"
    return (test or first_test) if name in (*of(TEXT), *of(BOUND)) else None


def glossary() -> list[tuple[str, str, str, str]]:
    """[(key, unit, what it means, its column's heading)]: the glossary in docs/numbers.md."""
    return [(f"`{one.name}`", one.unit, one.about, one.heading or "") for one in FIGURES]
