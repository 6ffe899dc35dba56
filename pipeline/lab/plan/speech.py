"""How much audio a corpus has: what corpus.json says, else what a sample of the source says, else nothing."""

import random
import time
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pipeline.common.errors import BigfootError
from pipeline.params import Corpus
from pipeline.prepare import raw
from pipeline.prepare.checks import examine
from pipeline.speech.corpus import GATE, read_info

SAMPLE = 16  # utterances of a split that are checked
LETTERS, SPECIAL = 30, 3  # an alphabet's size while it isn't known; blank, unknown and word gap
SECONDS = 5.0  # of an utterance, while nothing is known


@dataclass(frozen=True)
class Speech:
    """`hours` and `utterances` by split; {} where they are unknown, and then `source` says why, else where they are from.

    `checking`: seconds of one core that `prepare` took for a second of the sample; None without a sample.
    """

    hours: Mapping[str, float]
    utterances: Mapping[str, int]
    letters: int
    source: str
    checking: float | None = None

    @property
    def seconds(self) -> float:
        """Of an utterance of train, on average."""
        return 3600 * self.hours["train"] / self.utterances["train"] if self.utterances.get("train") else SECONDS


def of(corpus: Corpus, folder: Path, data: Path, is_current: bool = True) -> Speech:
    """The audio of the prepared corpus in `folder`, or of the source in `data`.

    `is_current`: whether `prepare` would make that corpus again as it is. If not, it counts if the source tells nothing.
    """
    is_prepared = (folder / "corpus.json").is_file()
    if is_prepared and is_current:
        return _prepared(folder, "corpus.json")
    try:
        return _sampled(corpus, data)
    except BigfootError as error:
        if is_prepared:
            return _prepared(folder, f"corpus.json, which prepare is about to replace: {error}")
        return Speech({}, {}, LETTERS + SPECIAL, str(error))


def _prepared(folder: Path, source: str) -> Speech:
    info = read_info(folder)
    splits, letters = info["splits"], len(info.get("alphabet") or "x" * LETTERS)
    hours = {split: size["seconds"] / 3600 for split, size in splits.items()}
    counts = {split: size["utterances"] for split, size in splits.items()}
    return Speech(hours, counts, letters + SPECIAL, source)


def _sampled(corpus: Corpus, data: Path) -> Speech:
    if corpus.source.kind == "huggingface":
        raise BigfootError("a data set has to be read to the end for them")
    splits: dict[str, list[raw.Raw]] = defaultdict(list)
    for utterance in raw.read(corpus.source, data):
        splits[utterance.split].append(utterance)
    if GATE not in splits and len(dev := splits.get("dev", [])) > 1:
        splits["dev"], splits[GATE] = dev[::2], dev[1::2]  # as prepare will cut it, but for the speakers
    hours, spent, heard = {}, 0.0, 0.0
    for split, utterances in splits.items():
        chosen = random.Random(0).sample(utterances, min(SAMPLE, len(utterances)))
        examine(chosen[0], corpus)  # what is loaded at the first one is not counted
        began = time.process_time()
        examined = [examine(utterance, corpus)[0] for utterance in chosen]
        lengths = [each.seconds for each in examined]
        spent, heard = spent + time.process_time() - began, heard + sum(lengths)
        stated = [utterance.duration for utterance in utterances if utterance.duration is not None]
        if len(stated) < len(utterances) and not any(lengths):
            why = "; ".join(finding.why for finding in examined[0].findings)
            raise BigfootError(f"{split}/{examined[0].id}: {why}; nor can the others be read that were tried")
        whole = sum(stated) if len(stated) == len(utterances) else sum(lengths) / len(lengths) * len(utterances)
        hours[split] = whole / 3600
    source = f"{SAMPLE} utterances of each split of the source, or their stated durations"
    counts = {split: len(utterances) for split, utterances in splits.items()}
    return Speech(hours, counts, LETTERS + SPECIAL, source, spent / heard if heard else None)
