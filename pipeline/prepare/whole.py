"""The checks of a corpus as a whole: the same audio, recording, sentence or speaker in two splits, and letters beyond train.

Decision: of an utterance 52 bytes are held, hashes of what is compared; 10 million take 520 MB. Ids and texts are read again
from the parts, for the utterances that a message names and while the corpus is written. Where two splits share something, the
finding goes to the utterance in train rather than dev, in dev rather than gate, and in gate rather than test, so that dropping
leaves the test sets as they are; and to one without text before all others.

Audio counts as the same when its samples are the same at 16 kHz and 16 bits: another encoding of a recording is not recognized.
"""

from collections.abc import Iterator
from functools import cached_property, lru_cache
from hashlib import blake2b
from itertools import combinations
from pathlib import Path

import numpy as np

from pipeline.common.errors import BigfootError
from pipeline.params import Checks
from pipeline.prepare import parts
from pipeline.prepare.checks import SEVERITIES, Examined, Finding, severity
from pipeline.speech.corpus import GATE, UNLABELLED, test_sets
from pipeline.speech.text import alphabet

ROW = np.dtype(
    [("split", "u1"), ("fate", "u1"), ("id", "u8"), ("audio", "u8"), ("text", "u8"), ("speaker", "u8"), ("recording", "u8"),
     ("seconds", "f4"), ("rate", "u4"), ("words", "u2")]
)  # fmt: skip
NAMES = {"audio": "shared_audio", "recording": "shared_recording", "text": "shared_sentence", "speaker": "shared_speaker"}
STOP, DROP = SEVERITIES.index("stop"), SEVERITIES.index("drop")


class Whole:
    """All utterances of a source, in its order, as they are examined part by part."""

    def __init__(self, checks: Checks):
        self.checks = checks
        self.splits: list[str] = []  # in the source's order
        self._parts: list[Path] = []
        self._chunks: list[np.ndarray] = []
        self._found: dict[str, tuple[np.ndarray, np.ndarray]] = {}  # check: (rows, the row or the letters that each is about)

    def add(self, path: Path, examined: list[Examined]) -> None:
        """Add the utterances of a part."""
        self._parts.append(path)
        for utterance in examined:
            if utterance.split not in self.splits:
                self.splits.append(utterance.split)
        rows = [
            (self.splits.index(u.split), SEVERITIES.index(u.fate), _hash(u.id), int.from_bytes(u.digest[:8], "big"),
             _hash(u.text), _hash(u.speaker), _hash(u.recording), u.seconds, u.rate, min(len(u.text.split()), 65_535))
            for u in examined
        ]  # fmt: skip
        self._chunks.append(np.array(rows, dtype=ROW))

    def cut_dev(self) -> str:
        """Move about half of dev's audio to gate, before `check`; returns a sentence that says by what it was cut.

        Speakers stay whole, or else recordings, where dev has two or more. Raises BigfootError where it has a single utterance,
        or two of one id.
        """
        self._refuse_same_ids()  # one of the two could go to gate
        splits, code = self._rows["split"], self.splits.index("dev")
        dev = np.flatnonzero(splits == code)
        rows, kept = self._rows[dev], self._rows["fate"][dev] < DROP
        unit, units = _to_cut_by(rows["speaker"], rows["recording"], rows["id"], kept)
        names, places = np.unique(units[kept], return_inverse=True)
        seconds = np.bincount(places, rows["seconds"][kept])
        # The order is that of hashes: as good as chance, and more speech of a speaker seldom moves another over the middle.
        judging = names[np.cumsum(seconds) - seconds / 2 < seconds.sum() / 2]
        self.splits.insert(code + 1, GATE)
        splits[splits > code] += 1
        splits[dev[np.isin(units, judging)]] = code + 1
        return f"The source has no split gate: half of dev became gate, cut by {unit}."

    def check(self) -> None:
        """Make all checks, each among the utterances that are left by those before.

        Raises BigfootError where two utterances of a split have one id, or a finding's severity is stop.
        """
        self._refuse_same_ids()
        self._decide("duplicate_audio", *self._duplicates())
        for key in NAMES:
            self._decide(NAMES[key], *self._shared(key))
        self._decide("beyond_alphabet", *self._beyond_alphabet())

    def examined(self) -> Iterator[tuple[Examined, bytes]]:
        """Every utterance with all its findings, and its audio as a FLAC file (b"" where its own findings dropped it)."""
        first = 0
        for path, chunk in zip(self._parts, self._chunks, strict=True):
            utterances = parts.read(path)
            for utterance, code in zip(utterances, chunk["split"], strict=True):
                utterance.split = self.splits[code]
            for check, (rows, about) in self._found.items():
                for at in range(*np.searchsorted(rows, [first, first + len(chunk)])):
                    utterances[rows[at] - first].add(Finding(check, self._why(check, about[at])), self.checks)
            yield from zip(utterances, parts.audio(path), strict=True)
            first += len(chunk)

    def kept(self, split: str) -> np.ndarray:
        """The rows of the utterances of a split that are kept, as ROW."""
        rows = self._rows
        return rows[(rows["split"] == self.splits.index(split)) & (rows["fate"] < DROP)]

    def texts(self, split: str) -> Iterator[str]:
        """The texts of the utterances of a split that are kept."""
        code = self.splits.index(split)
        for path, chunk in zip(self._parts, self._chunks, strict=True):
            wanted = (chunk["split"] == code) & (chunk["fate"] < DROP)
            if wanted.any():
                yield from (text for text, is_wanted in zip(parts.column(path, "text"), wanted, strict=True) if is_wanted)

    def leaks(self) -> dict[str, dict[str, int]]:
        """{check: {"train-test": number of test utterances that share it with train}}, for all pairs of splits."""
        kept = [split for split in self.splits if len(self.kept(split))]
        order = [*({UNLABELLED} & set(kept)), "train", "dev", GATE, *sorted(test_sets(kept))]
        shared: dict[str, dict[str, int]] = {}
        for key in NAMES:
            known = {split: self.kept(split)[key] for split in order}
            known = {split: keys[keys != 0] for split, keys in known.items()}
            pairs = combinations(order, 2)
            shared[NAMES[key]] = {f"{left}-{right}": int(np.isin(known[right], known[left]).sum()) for left, right in pairs}
        return shared

    def rates(self) -> dict[str, dict[str, int]]:
        """{split: {rate of its recordings in Hz: number of utterances}}, lowest first."""
        found = {split: np.unique(self.kept(split)["rate"], return_counts=True) for split in self.splits}
        return {split: dict(zip(map(str, rates), counts.tolist(), strict=True)) for split, (rates, counts) in found.items()}

    # ---------------------------------------------------------------- the checks: (rows, what each is about)

    def _duplicates(self) -> tuple[np.ndarray, np.ndarray]:
        rows, first = [], []
        for code in range(len(self.splits)):
            members = self._members(code)
            _, earliest, group = np.unique(self._rows["audio"][members], return_index=True, return_inverse=True)
            again = earliest[group] != np.arange(len(members))
            rows.append(members[again])
            first.append(members[earliest[group[again]]])
        return np.concatenate(rows), np.concatenate(first)

    def _shared(self, key: str) -> tuple[np.ndarray, np.ndarray]:
        known, known_rows = np.zeros(0, "u8"), np.zeros(0, "i8")
        rows, first = [known_rows], [known_rows]
        for split in (*test_sets(self.splits), GATE, "dev", "train", UNLABELLED):
            if split not in self.splits:
                continue
            members = self._members(self.splits.index(split))
            members = members[self._rows[key][members] != 0]
            keys = self._rows[key][members]
            at = np.searchsorted(known, keys)
            is_known = np.isin(keys, known)
            rows.append(members[is_known])
            first.append(known_rows[at[is_known]])
            new, earliest = np.unique(keys[~is_known], return_index=True)
            known, known_rows = np.concatenate([known, new]), np.concatenate([known_rows, members[~is_known][earliest]])
            order = np.argsort(known)
            known, known_rows = known[order], known_rows[order]
        return np.concatenate(rows), np.concatenate(first)

    def _beyond_alphabet(self) -> tuple[np.ndarray, np.ndarray]:
        """Utterances with characters that no training text has: a model of this alphabet gets them wrong."""
        known = set(alphabet(self.texts("train")))
        rows: list[int] = []
        letters: list[str] = []
        first = 0
        for path, chunk in zip(self._parts, self._chunks, strict=True):
            for at, text in enumerate(parts.column(path, "text")):
                if chunk["fate"][at] < DROP and (odd := "".join(sorted(set(text) - known))):
                    rows.append(first + at)
                    letters.append(odd)
            first += len(chunk)
        return np.array(rows, "i8"), np.array(letters, object)

    # ---------------------------------------------------------------- pieces

    @cached_property
    def _rows(self) -> np.ndarray:
        """All rows as one array, of which the parts' rows are views."""
        rows = np.concatenate([np.zeros(0, ROW), *self._chunks])
        self._chunks = np.split(rows, self._ends[:-1])
        return rows

    def _members(self, code: int) -> np.ndarray:
        return np.flatnonzero((self._rows["split"] == code) & (self._rows["fate"] < DROP))

    def _decide(self, check: str, rows: np.ndarray, about: np.ndarray) -> None:
        order = np.argsort(rows, kind="stable")
        rows, about = rows[order], about[order]
        self._found[check] = rows, about
        fates = np.array([SEVERITIES.index(severity(check, split, self.checks)) for split in self.splits], "u1")
        self._rows["fate"][rows] = np.maximum(self._rows["fate"][rows], fates[self._rows["split"][rows]])
        stopping = np.flatnonzero(self._rows["fate"][rows] == STOP)
        if stopping.size:
            refuse(self._name(rows[stopping[0]]), Finding(check, self._why(check, about[stopping[0]])), stopping.size)

    def _why(self, check: str, about: int | str) -> str:
        if check == "beyond_alphabet":
            return f"{about!r} never occurs in the training text"
        name = self._name(int(about))
        if check == "duplicate_audio":
            return f"the same audio as {name.partition('/')[2]}"
        return f"the same {check.removeprefix('shared_')} as {name}"

    def _name(self, row: int) -> str:
        """split/id of a row."""
        part = int(np.searchsorted(self._ends, row, side="right"))
        at = row - (int(self._ends[part]) - len(self._chunks[part]))
        return f"{self.splits[self._rows['split'][row]]}/{_ids(self._parts[part])[at]}"

    @cached_property
    def _ends(self) -> np.ndarray:
        """The rows up to the end of each part."""
        return np.cumsum([len(chunk) for chunk in self._chunks])

    def _refuse_same_ids(self) -> None:
        for code in range(len(self.splits)):
            rows = np.flatnonzero(self._rows["split"] == code)
            _, earliest, counts = np.unique(self._rows["id"][rows], return_index=True, return_counts=True)
            if (counts > 1).any():
                split, _, name = self._name(rows[earliest[counts > 1].min()]).partition("/")
                raise BigfootError(f"two utterances of {split} are called {name}: give them ids of their own")


def refuse(name: str, finding: Finding, count: int) -> None:
    """Raise BigfootError for `count` utterances, of which `name` is the first, with a finding whose severity is stop."""
    more = f" (and {count - 1} more)" if count > 1 else ""
    raise BigfootError(f"{name}: {finding.why}{more}: correct the data, or set corpus.checks.{finding.check} to drop")


@lru_cache(maxsize=256)
def _ids(part: Path) -> list[str]:
    return parts.column(part, "id")


def _to_cut_by(speakers: np.ndarray, recordings: np.ndarray, ids: np.ndarray, kept: np.ndarray) -> tuple[str, np.ndarray]:
    """The first of speaker, recording and utterance of which the kept rows have two or more, and each row's; [N] each.

    A row without a speaker has its recording's hash, or else its own. Raises BigfootError where there is a single utterance.
    """
    units = ids
    choices = {"utterance": ids}
    for unit, known in (("recording", recordings), ("speaker", speakers)):
        units = np.where(known, known, units)
        if known[kept].any():
            choices[unit] = units
    for unit, units in reversed(choices.items()):
        if len(np.unique(units[kept])) > 1:
            return unit, units
    raise BigfootError("dev has a single utterance, and half of dev becomes gate: add speech to dev, or name a split gate")


def _hash(text: str) -> int:
    """64 bits of a text, 0 of none."""
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "big") if text else 0
