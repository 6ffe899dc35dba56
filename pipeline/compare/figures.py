"""The only list of figures: name, unit, meaning, source and format of each.

From it are made the keys of comparison.json and of MLflow (which gets every figure that was measured), the columns of the
tables and of the page, the labels of plots, the lines of model cards and the glossary in docs/numbers.md. To add a figure,
add it here, and compute it in `evaluate`, `benchmark` or `pipeline.compare.rows`. The order is that of the columns.

A figure of recognized text belongs to one set: `wer` to the first test set, `dev_wer` to dev, `gate_wer` to gate, `wer/NAME` to
a further test set. There are two bounds of the rise: `wer_rise_upper`, on gate, is held against the budget, and other programs
rely on its name; `test_wer_rise_upper` (and `test_wer_rise_upper/NAME`) is reported, and no decision reads it. Where the
corpus's objective is cer, the bounds are `cer_rise_upper` and `test_cer_rise_upper` instead.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from pipeline.common import numbers

# The source of a figure: a set's score, bounds on test sets, timings.json, a model's metrics.json, or other figures.
TEXT, BOUND, TIMING, TRAINING, DERIVED = "text", "bound", "timing", "training", "derived"
DECIDING = ("dev", "gate")  # splits that decide; they stand before a figure of text: dev_wer
ENERGY = "energy_wh_per_audio_hour"
ASKED = "latency_asked_ms"
OPENING = ("wer", "cer", "disk_mb", "latency_p50_ms", "speedup")  # the charts that MLflow begins with


@dataclass(frozen=True)
class Style:
    """How values are shown: multiplied by `factor`, in the format `form`, followed by `suffix`.

    `unit` is that of the shown value; "" where it is the figure's own.
    """

    form: str = ".1f"
    factor: float = 1
    suffix: str = ""
    unit: str = ""


@dataclass(frozen=True)
class Figure:
    """`unit` is that of the value in files; `style` says how it is shown.

    `heading` is that of its column ("": it has no column), `label` its name in plots and cards. Markdown leaves `page_only`
    columns out; metrics.json holds the `headline` figures, for the objective cer those of characters. The column of a figure
    with an `objective` is shown where that decides. A `power` figure is modeled where no meter reads the power; its ends are
    then those of a range, and None where it was measured.
    """

    name: str
    source: str
    unit: str
    about: str
    heading: str = ""
    label: str = ""
    style: Style = Style()
    page_only: bool = False
    headline: bool = False
    objective: str = ""
    power: bool = False

    def show(self, value: float | None, absent: str = numbers.ABSENT) -> str:
        style = self.style
        return numbers.shown(None if value is None else style.factor * value, style.form, style.suffix, absent)

    @property
    def is_speed(self) -> bool:
        return _group(self) == "speed"

    @property
    def shown_unit(self) -> str:
        """The unit of values as they are shown."""
        return self.style.unit or self.unit

    @property
    def axis(self) -> str:
        """The label of a plot's axis: "size on disk (MB)"."""
        return f"{self.label} ({self.shown_unit})"


PERCENT = Style(".2f", 100, unit="%")
POINTS = Style("+.2f", 100, unit="points")
RATIO = Style(suffix="x")
FACTOR = Style(".2f", suffix="x")
WHOLE = Style(".0f")
HUNDREDTHS = Style(".2f")
SHORT = Style(".3g")
END = "{} end of the 95% interval of `{}`"


def _rises(objective: str, of: str) -> list[Figure]:
    """How far an error rate lies above the teacher's, and the bound on test."""
    name = objective.upper()
    return [
        Figure(
            f"{objective}_rise", TEXT, "fraction", f"the rise: {name} minus that of teacher.fp32, same utterances",
            heading="Rise, points", label="rise", style=POINTS, objective=objective,
        ),
        Figure(
            f"test_{objective}_rise_upper", BOUND, "fraction",
            f"upper bound (95%) of the rise{of}, for all variants together; no decision reads it",
            heading="Rise at most", style=POINTS, objective=objective,
        ),
    ]  # fmt: skip


def _decisive(objective: str, of: str) -> list[Figure]:
    """What decisions read: the error rates on dev and gate, and the bound of the rise on gate."""
    name = objective.upper()
    return [
        Figure(
            f"dev_{objective}", DERIVED, "fraction", f"{name} on dev, which chooses checkpoints{of}",
            heading=f"Dev {name} %", style=PERCENT, objective=objective, page_only=True,
        ),
        Figure(
            f"gate_{objective}", DERIVED, "fraction", f"{name} on gate, which judges variants and the champion{of}",
            heading=f"Gate {name} %", style=PERCENT, headline=objective == "wer", objective=objective,
        ),
        Figure(
            f"{objective}_rise_upper", DERIVED, "fraction",
            f"upper bound of the rise on gate{of}, which is compared with the budget",
            heading="Rise on gate at most", style=POINTS, headline=objective == "wer", objective=objective,
        ),
    ]  # fmt: skip


OF_CER = " (objective: cer)"


def _ends(name: str, source: str, unit: str, headline: bool = False) -> list[Figure]:
    return [
        Figure(f"{name}_low", source, unit, END.format("lower", name), headline=headline),
        Figure(f"{name}_high", source, unit, END.format("upper", name), headline=headline),
    ]


def _power(figure: Figure) -> list[Figure]:
    """A figure of power with the ends of its range."""
    about = "{} end of the range of `{}` where it is modeled; null where it was measured"
    ends = [Figure(f"{figure.name}_{end}", DERIVED, figure.unit, about.format(which, figure.name), style=figure.style)
            for end, which in (("low", "lower"), ("high", "upper"))]  # fmt: skip
    return [replace(figure, power=True), *ends]


def _over(precision: str, best: str) -> list[Figure]:
    """The gains over the teacher's best in another runtime or precision."""
    return [
        Figure(
            f"speedup_over_{precision}", DERIVED, "ratio", f"time of the teacher's {best} divided by this variant's",
            heading=f"Faster than {precision}", style=RATIO, headline=True,
        ),
        *_ends(f"speedup_over_{precision}", DERIVED, "ratio"),
        Figure(
            f"shrink_over_{precision}", DERIVED, "ratio", "disk_mb of that variant divided by this variant's",
            heading=f"Smaller than {precision}", style=RATIO, page_only=True,
        ),
    ]  # fmt: skip


FIGURES: tuple[Figure, ...] = (
    Figure(
        "wer",
        TEXT,
        "fraction",
        "wrong words divided by the words of the reference",
        heading="WER %",
        label="WER",
        headline=True,
        style=PERCENT,
    ),
    *_ends("wer", TEXT, "fraction", headline=True),
    *_rises("wer", ""),
    Figure(
        "cer",
        TEXT,
        "fraction",
        "wrong characters divided by the characters of the reference",
        heading="CER %",
        label="CER",
        style=PERCENT,
    ),
    *_ends("cer", TEXT, "fraction"),
    *_rises("cer", OF_CER),
    Figure("substitutions", TEXT, "words", "words recognized as other words", style=WHOLE),
    Figure("deletions", TEXT, "words", "words of the reference without a counterpart", style=WHOLE),
    Figure("insertions", TEXT, "words", "words without a counterpart in the reference", style=WHOLE),
    *_decisive("wer", ""),
    *_decisive("cer", OF_CER),
    Figure(
        "params",
        TIMING,
        "parameters",
        "parameters (weights) of the model",
        heading="Params, M",
        label="parameters",
        style=Style(".2f", 1e-6, unit="M"),
    ),
    Figure(
        "macs_per_second",
        TIMING,
        "1/s",
        "multiply-accumulates per second of audio, counted from the shape",
        heading="GMAC/s",
        style=Style(".3g", 1e-9, unit="10^9/s"),
    ),
    Figure(
        "disk_mb",
        TIMING,
        "MB",
        "size of the whole folder; one MB is 10^6 bytes",
        heading="MB",
        label="size on disk",
        style=HUNDREDTHS,
        headline=True,
    ),
    Figure(
        "shrink",
        DERIVED,
        "ratio",
        "disk_mb of teacher.fp32 divided by this variant's",
        heading="Smaller",
        headline=True,
        style=RATIO,
    ),
    Figure(
        "weights_mb",
        TIMING,
        "MB",
        "the weights in that folder as they are stored, with scales and zero points",
        style=HUNDREDTHS,
    ),
    Figure(
        "precision_saves_mb",
        DERIVED,
        "MB",
        "4 bytes for each of `params`, minus weights_mb: what a lower precision saves",
        style=HUNDREDTHS,
    ),
    Figure(
        "rest_mb",
        DERIVED,
        "MB",
        "disk_mb minus weights_mb: the graph, vocabulary, JSON, and a language model",
        style=HUNDREDTHS,
    ),
    Figure("shrink_by_params", DERIVED, "ratio", "the part of shrink that fewer parameters give", style=FACTOR),
    Figure("shrink_by_precision", DERIVED, "ratio", "the part that fewer bytes per parameter give", style=FACTOR),
    Figure(
        "shrink_by_rest",
        DERIVED,
        "ratio",
        "the part that the rest of the folder gives, mostly below 1; the product of the three is shrink",
        style=FACTOR,
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
        "time of teacher.fp32 divided by this variant's, summed over the same utterances and rounds",
        heading="Faster",
        headline=True,
        style=RATIO,
    ),
    *_ends("speedup", TIMING, "ratio"),
    Figure(
        "speedup_to_choose",
        TIMING,
        "ratio",
        "speedup in starts of their own, by which the champion and the other answers are chosen",
    ),
    *_over("float", "fastest variant in floating point"),
    *_over("int8", "fastest int8 variant"),
    Figure(
        "latency_p50_ms_one_thread",
        TIMING,
        "ms",
        "the same as latency_p50_ms, with one thread",
        heading="p50 ms, 1 thread",
        page_only=True,
    ),
    Figure(
        ASKED,
        DERIVED,
        "ms",
        "median latency for audio of gate.budget.length seconds with its threads; null where nothing was asked for",
        heading="ms asked for",
        page_only=True,
    ),
    Figure(
        "speedup_one_thread",
        TIMING,
        "ratio",
        "the same as speedup, where both have one thread",
        heading="Faster, 1 thread",
        style=RATIO,
        page_only=True,
    ),
    *_ends("speedup_one_thread", TIMING, "ratio"),
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
        "int8_share",
        TIMING,
        "fraction",
        "part of the multiply-accumulates that the runtime really does in int8, on 5 s of audio",
        heading="Int8 %",
        label="multiplications in int8",
        style=Style(".0f", 100, unit="%"),
    ),
    Figure(
        "rtfx",
        TIMING,
        "s/s",
        "seconds of audio transcribed per second, batch 1",
        heading="RTFx",
        label="throughput, batch 1",
        headline=True,
        style=WHOLE,
    ),
    *_ends("rtfx", TIMING, "s/s"),
    Figure(
        "rtfx_batched",
        TIMING,
        "s/s",
        "the same in batches of benchmark.batch utterances of equal length",
        heading="RTFx, batches",
        page_only=True,
        style=WHOLE,
    ),
    Figure(
        "cold_start_ms",
        TIMING,
        "ms",
        "from before the start of a new process to its first text, files in the cache",
        heading="Cold start s",
        style=Style(".2f", 1e-3, unit="s"),
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
        style=WHOLE,
        page_only=True,
    ),
    Figure(
        "ram_model_mb",
        TIMING,
        "MB",
        "ram_mb minus that of an empty process with the same runtime",
        heading="Model's RAM MB",
        label="peak memory of the model alone",
        style=WHOLE,
    ),
    *_power(
        Figure(
            ENERGY,
            TIMING,
            "Wh/h",
            "energy of the whole machine to transcribe one hour of audio",
            heading="Wh per audio hour",
            label="energy",
            style=Style(".3g", unit="Wh per audio hour"),
            headline=True,
        )
    ),
    *_power(
        Figure(
            "co2_g_per_audio_hour",
            DERIVED,
            "g/h",
            "CO2 of that energy, by the electricity mix of `country`",
            heading="g CO2 per audio hour",
            page_only=True,
            style=SHORT,
        )
    ),
    *_power(
        Figure(
            "train_energy_wh",
            TRAINING,
            "Wh",
            "energy of the model's own training, all resumptions together",
            heading="Training Wh",
            page_only=True,
            style=SHORT,
        )
    ),
    *_power(Figure("train_co2_g", DERIVED, "g", "CO2 of that energy", heading="Training g CO2", page_only=True, style=SHORT)),
    Figure("train_hours", TRAINING, "h", "duration of the model's own training, all resumptions together", style=HUNDREDTHS),
    *_power(
        Figure(
            "train_payback_hours",
            DERIVED,
            "h",
            "hours of audio after which the saved energy equals that of its training and its parents' (logits pass aside)",
            heading="Paid back after h",
            style=Style(",.1f"),
        )
    ),
    Figure("evaluate_seconds", DERIVED, "s", "duration of the variant's evaluation; null where a killed one was continued"),
    Figure("benchmark_seconds", DERIVED, "s", "duration of the benchmark, of all variants together"),
)
BY_NAME = {figure.name: figure for figure in FIGURES}
KINDS = ("substitutions", "deletions", "insertions")


def of(source: str) -> tuple[str, ...]:
    """The names of the figures from one source."""
    return tuple(figure.name for figure in FIGURES if figure.source == source)


def of_objective(name: str, objective: str) -> str:
    """The figure (or heading) of words as that of characters where the objective is cer: dev_wer -> dev_cer."""
    return name if objective == "wer" else name.replace("wer", "cer").replace("WER", "CER")


def keys(more_tests: Iterable[str] = ()) -> dict[str, Figure]:
    """The keys of a row's figures, which are MLflow's too, each with its figure; `more_tests` are those beyond the first."""
    by_key = dict(BY_NAME)
    for figure in FIGURES:
        if figure.source == TEXT:
            for split in DECIDING:
                by_key.setdefault(f"{split}_{figure.name}", figure)
        if figure.source in (TEXT, BOUND):
            by_key |= {f"{figure.name}/{test}": figure for test in more_tests}
    return by_key


def logged_as(key: str) -> str:
    """The name of a figure in MLflow, which groups charts by what stands before a slash, in the order of those names.

    wer -> headline/wer, wer_low -> text/wer_low, wer/noisy -> text/wer/noisy, shrink -> size/shrink.
    """
    return f"{'headline' if key in OPENING else _group(_figure(key))}/{key}"


def _group(figure: Figure) -> str:
    if figure.source in (TEXT, BOUND) or figure.name.endswith("er_rise_upper") or figure.name.startswith(DECIDING):
        return "text"
    if figure.name.startswith("train_"):
        return "training"
    if figure.name.endswith("_seconds"):
        return "stages"
    if "_per_audio_hour" in figure.name:
        return "power"
    return "size" if figure.unit in ("MB", "parameters", "1/s") or figure.name.startswith("shrink") else "speed"


def _figure(key: str) -> Figure:
    """The figure of a key as `keys` has it."""
    name, _, test = key.partition("/")
    return keys([test] if test else [])[name]


def places(first_test: str, more_tests: Iterable[str]) -> list[tuple[str, str, str]]:
    """[(split, prefix, suffix of its figures' keys)]: dev, gate, and all test sets; the first has neither prefix nor suffix."""
    own = [(split, f"{split}_", "") for split in DECIDING]
    return [*own, (first_test, "", ""), *((test, "", f"/{test}") for test in more_tests)]


def split_of(key: str, first_test: str) -> str | None:
    """The split that the figure with this key belongs to; None for a figure that belongs to no split.

    dev_cer belongs to dev, gate_cer to gate, cer/noisy to noisy, cer to the first test set, disk_mb to none.
    """
    name, _, test = key.partition("/")
    if name in ("wer_rise_upper", "cer_rise_upper"):
        return "gate"
    if (split := name.partition("_")[0]) in DECIDING and name.removeprefix(f"{split}_") in of(TEXT):
        return split
    return (test or first_test) if name in (*of(TEXT), *of(BOUND)) else None


def glossary() -> list[tuple[str, str, str, str]]:
    """[(key, unit, meaning, heading of its column)]: the glossary in docs/numbers.md."""
    return [(f"`{figure.name}`", figure.unit, figure.about, figure.heading) for figure in FIGURES]
