"""The data report of a corpus: what is in it, what was dropped and why, what its splits share (report/data.md)."""

from collections import Counter
from pathlib import Path
from statistics import median

from pipeline.common import tables
from pipeline.params import Checks, Corpus
from pipeline.prepare.checks import Examined
from pipeline.speech import audio
from pipeline.speech.corpus import UNLABELLED, Utterance, read_info
from pipeline.speech.normalization import described

NARROW_SHARES = 0.1  # splits whose shares of narrowband utterances differ by more are not alike
LISTED = 200  # dropped utterances listed in data.md; dropped.jsonl has them all


def write(
    folder: Path,
    info: dict,
    splits: dict[str, list[Utterance]],
    kept: list[Examined],
    dropped: list[Examined],
    checks: Checks,
) -> None:
    """Write data.md and the histograms seconds.svg and words.svg; the same corpus gives the same bytes."""
    folder.mkdir(parents=True)
    _histogram(folder / "seconds.svg", "seconds per utterance", {s: [u.duration for u in us] for s, us in splits.items()})
    words: dict[str, list[float]] = {s: [len(u.text.split()) for u in us] for s, us in splits.items() if s != UNLABELLED}
    _histogram(folder / "words.svg", "words per utterance", words)
    parts = [
        _heading(info),
        _sizes(splits),
        _rates(info["rates"]),
        _plots(),
        _checks(kept, dropped, checks),
        _leaks(info),
        _dropped(dropped),
    ]
    (folder / "data.md").write_text("\n\n".join(parts) + "\n", encoding="utf-8")


def gaps_note(corpus: Corpus, folder: Path) -> str:
    """One line where the WER decides about texts without gaps between words; "" where not, or before `prepare` has run."""
    if corpus.objective == "cer" or not (folder / "corpus.json").is_file() or read_info(folder).get("word_gaps", True):
        return ""
    return (
        f"the training text of {corpus.name} has hardly any gaps between words, so a WER counts whole sentences: "
        "set corpus.objective to cer"
    )


def rates_note(rates: dict[str, dict[str, int]]) -> str:
    """One line where splits differ in their share of narrowband speech (below 16 kHz); "" where they are alike."""
    shares = {split: _narrow_share(counts) for split, counts in rates.items()}
    low, high = min(shares, key=lambda split: shares[split]), max(shares, key=lambda split: shares[split])
    if shares[high] - shares[low] <= NARROW_SHARES:
        return ""
    return (
        f"recordings below {audio.SAMPLE_RATE // 1000} kHz, as of telephones, are {shares[low]:.0%} of {low} and "
        f"{shares[high]:.0%} of {high}: a model trained on the one sound does worse on the other, see report/data.md"
    )


def _narrow_share(counts: dict[str, int]) -> float:
    return sum(count for rate, count in counts.items() if int(rate) < audio.SAMPLE_RATE) / sum(counts.values())


def _rates(rates: dict[str, dict[str, int]]) -> str:
    """How many utterances came at which rate."""
    found = sorted({int(rate) for counts in rates.values() for rate in counts})
    rows = [[split, *(f"{counts.get(str(rate), 0):,}" for rate in found)] for split, counts in rates.items()]
    note = rates_note(rates)
    return (
        "## Rates of the recordings\n\nUtterances by the rate that they came at, before resampling to 16 kHz.\n\n"
        + tables.markdown(["split", *(f"{rate:,} Hz" for rate in found)], rows)
        + (f"\n\n**{note[0].upper()}{note[1:]}.**" if note else "")
    )


def _heading(info: dict) -> str:
    kind = "synthetic speech" if info["synthetic"] else f"source: {info['source']}"
    about = " ".join([info["about"], *info["notes"]])
    return (
        f"# Corpus {info['name']} ({kind})\n\n{tables.escaped(about)}\n\n"
        f"License: {tables.escaped(info['license'])}. Language: {info['language']}. Decided by: {info['objective'].upper()}. "
        f"Text rules: {described(info['text'])}. "
        f"Alphabet ({len(info['alphabet'])}): `{tables.escaped(''.join(info['alphabet']))}` (the first is the word gap)."
    )


def _sizes(splits: dict[str, list[Utterance]]) -> str:
    rows = []
    for split, utterances in splits.items():
        seconds = [u.duration for u in utterances]
        words = [word for u in utterances for word in u.text.split()]
        speakers = len({u.speaker for u in utterances} - {""}) or "unknown"
        rows.append(
            [split, f"{len(utterances):,}", f"{sum(seconds) / 3600:.2f}", speakers, f"{len(words):,}"]
            + [f"{len(set(words)):,}", f"{len({u.text for u in utterances}):,}"]
            + [f"{min(seconds):.1f} / {median(seconds):.1f} / {max(seconds):.1f}"]
        )
    head = ["split", "utterances", "hours", "speakers", "words", "distinct words", "distinct texts"]
    return tables.markdown([*head, "seconds: shortest / median / longest"], rows)


def _plots() -> str:
    return "![Seconds per utterance](seconds.svg)\n\n![Words per utterance](words.svg)"


def _checks(kept: list[Examined], dropped: list[Examined], checks: Checks) -> str:
    examples: dict[str, str] = {}
    counts: Counter[str] = Counter()
    for utterance in [*kept, *dropped]:
        for finding in utterance.findings:
            counts[finding.check] += 1
            examples.setdefault(finding.check, f"{utterance.split}/{utterance.id}: {finding.why}")
    rows = [[check, severity, f"{counts[check]:,}", examples.get(check, "")] for check, severity in checks.model_dump().items()]
    return "## Checks\n\n" + tables.markdown(["check", "severity", "utterances", "the first"], rows)


def _leaks(info: dict) -> str:
    pairs = list(next(iter(info["leaks"].values())))
    rows = [[check.removeprefix("shared_"), *(f"{count[pair]:,}" for pair in pairs)] for check, count in info["leaks"].items()]
    return (
        "## What splits share\n\nUtterances of the second split whose audio, sentence or speaker the first has too.\n\n"
        + tables.markdown(["the same", *pairs], rows)
    )


def _dropped(dropped: list[Examined]) -> str:
    if not dropped:
        return "## Dropped\n\nNothing was dropped."
    rows = [[row.split, row.id, row.because.check, row.because.why] for row in dropped[:LISTED]]
    rest = f"\n\n{len(dropped) - LISTED:,} more are in dropped.jsonl." if len(dropped) > LISTED else ""
    return f"## Dropped: {len(dropped):,}\n\n" + tables.markdown(["split", "utterance", "check", "why"], rows) + rest


def _histogram(path: Path, label: str, values: dict[str, list[float]]) -> None:
    import matplotlib
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    with matplotlib.rc_context({"svg.hashsalt": "bigfoot", "svg.fonttype": "none"}):
        figure = Figure(figsize=(7, 3))
        FigureCanvasSVG(figure)
        axes = figure.add_axes((0.1, 0.17, 0.88, 0.8))
        axes.hist(list(values.values()), bins=30, label=list(values), density=True, histtype="step")
        axes.set_xlabel(label)
        axes.set_ylabel("share (density)")
        axes.legend(frameon=False)
        figure.savefig(path, format="svg", metadata={"Date": None})
