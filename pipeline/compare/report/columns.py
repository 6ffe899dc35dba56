"""The columns that a comparison is shown in, and how its figures are worded: once, for Markdown, terminal and page.

A figure that was not measured is "-", and a column for which no variant has a figure is left out.
"""

from collections.abc import Callable
from dataclasses import dataclass

KINDS = ("substitutions", "deletions", "insertions")
NOT_RESOLVED = "not resolved"  # energy below what the method can tell


@dataclass(frozen=True)
class Column:
    """A heading, what a row shows beneath it, what it is sorted by (None: no figure), and what it means."""

    name: str
    show: Callable[[dict], str]
    value: Callable[[dict], float | str | None]
    about: str
    page_only: bool = False


def percent(fraction: float | None) -> str:
    return or_dash(None if fraction is None else 100 * fraction, ".2f")


def points(fraction: float | None) -> str:
    """A difference of two fractions, in percentage points."""
    return or_dash(None if fraction is None else 100 * fraction, "+.2f")


def times(ratio: float | None) -> str:
    return or_dash(ratio, ".1f", "x")


def or_dash(value: float | None, form: str, unit: str = "") -> str:
    return "-" if value is None else f"{value:{form}}{unit}"


def with_range(row: dict, key: str, low: str, high: str, show: Callable[[float], str]) -> str:
    """A figure and, where both ends are known, its interval: 3.47 [1.91, 5.27]."""
    ends = "" if row.get(low) is None or row.get(high) is None else f" [{show(row[low])}, {show(row[high])}]"
    return show(row.get(key)) + ends


def untrained(rows: list[dict]) -> bool:
    """Whether the comparison is of models that have learned nothing, of which no word errors are shown."""
    return not rows[0].get("trained", True)


def standing(row: dict) -> str:
    if row["gate"]["passed"] is None:
        return "untrained"
    if row.get("kind") == "peer":
        return "peer"
    return ("champion" if row["champion"] else "passes") if row["gate"]["passed"] else "fails"


def energy(row: dict) -> float | None:
    """Wh per audio hour, where it was measured and is more than the method's own noise."""
    return None if row.get("energy_resolved") is False else row.get("energy_wh_per_audio_hour")


def of(rows: list[dict]) -> list[Column]:
    """The columns that these rows have figures for, those of further test sets among them."""
    more_tests = [key.removeprefix("wer/") for key in rows[0] if key.startswith("wer/")]
    return [column for column in known(more_tests) if any(column.value(row) is not None for row in rows)]


def known(more_tests: list[str]) -> list[Column]:
    """All columns, in the order they are shown in."""
    return [
        Column("Variant", lambda r: r["variant"], lambda r: r["variant"], "MODEL.SCHEME, the name of its folder in variants/"),
        _wer("WER % [95%]", "", "word errors in 100 words, first test set, with 95% interval"),
        *(_wer(f"WER % {test}", f"/{test}", f"word errors in 100 words, test set {test}") for test in more_tests),
        _figure("Rise, points", "wer_delta", points, "WER less that of teacher.fp32"),
        _figure("Rise at most", "wer_delta_upper", points, "upper bound of that rise; reported, decides nothing"),
        Column(
            "CER %",
            lambda r: with_range(r, "cer", "cer_low", "cer_high", percent),
            lambda r: r.get("cer"),
            "character errors in 100 characters, first test set",
        ),
        Column(
            "Sub / del / ins",
            lambda r: " / ".join(str(r[one]) for one in KINDS) if _known(r, KINDS) else "-",
            lambda r: sum(r[one] for one in KINDS) if _known(r, KINDS) else None,
            "words substituted, deleted and inserted, first test set",
            page_only=True,
        ),
        _figure("Dev WER %", "dev_wer", percent, "word errors in 100 words, dev set: what decisions read"),
        _figure("Rise on dev at most", "wer_rise_upper", points, "upper bound of the rise on dev, which the gate asks for"),
        _figure("Params, M", "params", lambda v: or_dash(v and v / 1e6, ".2f"), "parameters, millions"),
        _figure("GMAC/s", "macs_per_second", lambda v: or_dash(v and v / 1e9, ".3g"), "10^9 multiply-adds a second of audio"),
        _figure("MB", "disk_mb", lambda v: or_dash(v, ".2f"), "the whole folder on disk, 10^6 bytes"),
        _figure("Smaller", "shrink", times, "teacher.fp32's MB by this one's"),
        _figure("p50 ms", "latency_p50_ms", _tenths, "median time from sound to text, one utterance"),
        _figure("p95 ms", "latency_p95_ms", _tenths, "19 of 20 utterances take no longer"),
        _figure("p99 ms", "latency_p99_ms", _tenths, "99 of 100 utterances take no longer"),
        Column(
            "Faster [95%]",
            lambda r: with_range(r, "speedup", "speedup_low", "speedup_high", times),
            lambda r: r.get("speedup"),
            "teacher.fp32's time by this one's, same utterances, same run, with 95% interval",
        ),
        _figure("p95 ms a second", "ms_per_audio_second_p95", _tenths, "p95 of latency by seconds of audio", True),
        _figure("Front end ms", "cnn_ms", _tenths, "convolutions, as profiled in a pass of its own", True),
        _figure("Encoder ms", "encoder_ms", _tenths, "transformer, as profiled in a pass of its own", True),
        Column(
            "RTFx",
            lambda r: with_range(r, "rtfx", "rtfx_low", "rtfx_high", _whole),
            lambda r: r.get("rtfx"),
            "seconds of audio transcribed in a second",
        ),
        _figure("RTFx, batches", "rtfx_batched", _whole, "the same in batches of equally long utterances", True),
        _figure("Cold start s", "cold_start_ms", lambda v: or_dash(v and v / 1000, ".2f"), "from a new process to its text"),
        _figure("RAM MB", "ram_mb", _whole, "peak resident memory of its own process"),
        _figure("Model's RAM MB", "ram_model_mb", _whole, "that less what its runtime takes without it", True),
        Column("Wh per audio hour", _energy, energy, "energy to transcribe an hour of audio"),
        _figure("g CO2 per audio hour", "co2_g_per_audio_hour", _short, "by the country's electricity mix", True),
        _figure("Training Wh", "train_energy_wh", _short, "energy of this model's own training", True),
        _figure("Training g CO2", "train_co2_g", _short, "of the same", True),
        _figure(
            "Paid back after h",
            "train_payback_hours",
            lambda v: or_dash(v, ",.0f"),
            "hours of audio after which the energy saved has paid for its training and its parents' (not the pass for logits)",
        ),
        Column("Gate", standing, lambda r: _rank(standing(r)), "does it keep the budget"),
    ]


def _rank(standing: str) -> int | None:
    return {"champion": 2, "passes": 1, "untrained": None}.get(standing, 0)


def _tenths(value: float | None) -> str:
    return or_dash(value, ".1f")


def _whole(value: float | None) -> str:
    return or_dash(value, ".0f")


def _short(value: float | None) -> str:
    return or_dash(value, ".3g")


def _figure(name: str, key: str, show: Callable[[float | None], str], about: str, page_only=False) -> Column:
    return Column(name, lambda r: show(r.get(key)), lambda r: r.get(key), about, page_only)


def _known(row: dict, keys: tuple[str, ...]) -> bool:
    return all(row.get(key) is not None for key in keys)


def _wer(name: str, test: str, about: str) -> Column:
    def show(row: dict) -> str:
        return with_range(row, f"wer{test}", f"wer_low{test}", f"wer_high{test}", percent)

    return Column(name, show, lambda r: r.get(f"wer{test}"), about)


def _energy(row: dict) -> str:
    return NOT_RESOLVED if row.get("energy_resolved") is False else or_dash(energy(row), ".3g")
