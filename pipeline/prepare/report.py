"""The data report of a corpus: what is in it, what was dropped and why, what its splits share (report/data.md)."""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from pipeline.common import tables
from pipeline.params import Checks, Corpus
from pipeline.prepare.checks import Examined
from pipeline.prepare.whole import Whole
from pipeline.speech import audio, number_words
from pipeline.speech.corpus import UNLABELLED, read_info
from pipeline.speech.normalization import described

NARROW_SHARES = 0.1  # splits whose shares of narrowband utterances differ by more are not alike
LISTED = 200  # dropped utterances listed in data.md; dropped.jsonl has them all


class Tally:
    """What the report counts while the corpus is written, utterance by utterance."""

    def __init__(self) -> None:
        self.words: dict[str, set[str]] = {}  # the distinct words of each split
        self.found: Counter[str] = Counter()  # utterances by check
        self.first: dict[str, str] = {}  # the first one, in words
        self.listed: list[list[str]] = []  # the first of those that were dropped
        self._kept: Counter[str] = Counter()
        self._dropped: Counter[str] = Counter()
        self._kept_with: Counter[str] = Counter()

    @property
    def dropped(self) -> int:
        return self._dropped.total()

    def add(self, utterance: Examined) -> None:
        for finding in utterance.findings:
            self.found[finding.check] += 1
            self.first.setdefault(finding.check, f"{utterance.split}/{utterance.id}: {finding.why}")
        if utterance.is_kept:
            self._kept[utterance.split] += 1
            self._kept_with.update(finding.check for finding in utterance.findings)
            self.words.setdefault(utterance.split, set()).update(utterance.text.split())
            return
        self._dropped[utterance.split] += 1
        if len(self.listed) < LISTED:
            self.listed.append([utterance.split, utterance.id, utterance.because.check, utterance.because.why])

    def line(self) -> str:
        """45 utterances kept, 2 dropped (train 40 and 2, dev 5 and 0); kept with a finding: 3 beyond_alphabet."""
        parts = (f"{split} {count:,} and {self._dropped[split]:,}" for split, count in self._kept.items())
        found = ", ".join(f"{count:,} {check}" for check, count in self._kept_with.most_common())
        kept = f"{self._kept.total():,} utterances kept, {self.dropped:,} dropped ({', '.join(parts)})"
        return f"{kept}; kept with a finding: {found}" if found else kept


def write(folder: Path, info: dict, whole: Whole, tally: Tally, checks: Checks) -> None:
    """Write data.md and the histograms seconds.svg and words.svg; the same corpus gives the same bytes."""
    splits = {split: whole.kept(split) for split in info["splits"]}
    _histogram(folder / "seconds.svg", "seconds per utterance", {split: rows["seconds"] for split, rows in splits.items()})
    with_text = {split: rows["words"] for split, rows in splits.items() if split != UNLABELLED}
    _histogram(folder / "words.svg", "words per utterance", with_text)
    parts = [
        _heading(info),
        _sizes(info["splits"], splits, tally),
        _rates(info["rates"]),
        _plots(),
        _checks(tally, checks),
        _leaks(info),
        _dropped(tally),
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


def numbers_note(corpus: Corpus) -> str:
    """One line where numbers are spelled in a language whose number words change with their case; "" elsewhere."""
    if corpus.text.digits == "keep" or not number_words.is_declined(corpus.language):
        return ""
    return (
        f"numbers in digits are spelled in their base form ({corpus.language} declines them): write those out that are spoken "
        "in another."
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


def _sizes(sizes: dict[str, dict], splits: dict[str, np.ndarray], tally: Tally) -> str:
    rows = []
    for split, utterances in splits.items():
        size, seconds = sizes[split], utterances["seconds"]
        rows.append(
            [
                split,
                f"{len(utterances):,}",
                f"{size['seconds'] / 3600:.2f}",
                size["speakers"] or "unknown",
                f"{size['words']:,}",
            ]
            + [f"{len(tally.words[split]):,}", f"{len(np.unique(utterances['text'])):,}"]
            + [f"{seconds.min():.1f} / {np.median(seconds):.1f} / {seconds.max():.1f}"]
        )
    head = ["split", "utterances", "hours", "speakers", "words", "distinct words", "distinct texts"]
    return tables.markdown([*head, "seconds: shortest / median / longest"], rows)


def _plots() -> str:
    return "![Seconds per utterance](seconds.svg)\n\n![Words per utterance](words.svg)"


def _checks(tally: Tally, checks: Checks) -> str:
    rows = [
        [check, severity, f"{tally.found[check]:,}", tally.first.get(check, "")]
        for check, severity in checks.model_dump().items()
    ]
    return "## Checks\n\n" + tables.markdown(["check", "severity", "utterances", "the first"], rows)


def _leaks(info: dict) -> str:
    pairs = list(next(iter(info["leaks"].values())))
    rows = [[check.removeprefix("shared_"), *(f"{count[pair]:,}" for pair in pairs)] for check, count in info["leaks"].items()]
    return "## What splits share\n\nUtterances of the second split of which the first has the same.\n\n" + tables.markdown(
        ["the same", *pairs], rows
    )


def _dropped(tally: Tally) -> str:
    if not tally.dropped:
        return "## Dropped\n\nNothing was dropped."
    rest = f"\n\n{tally.dropped - LISTED:,} more are in dropped.jsonl." if tally.dropped > LISTED else ""
    table = tables.markdown(["split", "utterance", "check", "why"], tally.listed)
    return f"## Dropped: {tally.dropped:,}\n\n" + table + rest


def _histogram(path: Path, label: str, values: Mapping[str, np.ndarray]) -> None:
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
