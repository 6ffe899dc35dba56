"""Connected digits from FSDD, the Free Spoken Digit Dataset: real people, closed vocabulary, known speakers.

Recordings of single digits are joined to strings of 3 to 7 digits by one speaker, with pauses of 0.03-0.25 s of faint noise,
so that a recognizer has word order and word gaps to learn. Split by recording index, as the data set's authors advise: 0-9
test, 10-14 dev and 15-19 gate, each recording used once (with six speakers 600, 300 and 300 words), 20-44 train, each used
`uses` times, later ones unused; `train` narrows this, and the last of train may go without text (`unlabelled`). No string
occurs in two splits. Speakers do occur in all of them: this measures new recordings of known people.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from pipeline.common.errors import BigfootError
from pipeline.params import DigitsSource
from pipeline.prepare.raw import Raw, seeded, shuffled
from pipeline.speech import audio
from pipeline.speech.corpus import GATE, UNLABELLED

ABOUT = "Isolated digits of FSDD cut together into strings: real people, closed vocabulary, speakers known from training."
WORDS = "zero one two three four five six seven eight nine".split()
INDICES = {"test": range(0, 10), "dev": range(10, 15), GATE: range(15, 20), "train": range(20, 45)}
SHORTEST, LONGEST = 3, 7
PAUSE_SECONDS = (0.03, 0.25)
PAUSE_LEVEL = 0.001  # standard deviation of the noise, full scale = 1: about -60 dBFS

Recording = tuple[int, Path]  # the digit and its file


@dataclass(frozen=True)
class Joined:
    """Recordings with pauses before, between and after them."""

    rate = 8_000  # of FSDD
    files: tuple[Path, ...]
    seed: int
    id: str

    def make(self) -> np.ndarray:
        """float32 [T], 16 kHz; raises AudioError where a recording can't be read."""
        return np.concatenate(self._parts())

    def spans(self) -> list[tuple[int, int]]:
        """The first sample of each recording, and the one after its last."""
        ends = np.cumsum([len(part) for part in self._parts()])
        return [(int(ends[at]), int(ends[at + 1])) for at in range(0, len(ends) - 1, 2)]

    def _parts(self) -> list[np.ndarray]:
        """Pauses and recordings in turn; a pause is first and last."""
        rng = seeded(self.seed, "pauses", self.id)
        parts = [_pause(rng)]
        for file in self.files:
            parts += [audio.read(file), _pause(rng)]
        return parts


def read(source: DigitsSource, data: Path) -> list[Raw]:
    """The strings of all splits, from a folder of DIGIT_SPEAKER_INDEX.wav or one with such a folder `recordings`.

    Raises BigfootError where the folder is absent, or lacks recordings that the splits are made of.
    """
    recordings = _recordings(data)
    taken: set[tuple[int, ...]] = set()
    raws: dict[str, list[Raw]] = {}
    indices = _indices(source)
    for split in ("test", "dev", GATE, "train", UNLABELLED):
        uses = source.uses if split in ("train", UNLABELLED) else 1
        raws[split] = [
            raw
            for speaker, files in recordings.items()
            for use in range(uses)
            for raw in _strings(source.seed, split, speaker, use, indices[split], files, taken)
        ]
        if split in ("test", "dev", GATE):
            taken |= {tuple(WORDS.index(word) for word in raw.text.split()) for raw in raws[split]}
    silent = [replace(raw, text="") for raw in raws[UNLABELLED]]
    return raws["train"] + raws["dev"] + raws[GATE] + raws["test"] + silent


def _indices(source: DigitsSource) -> dict[str, range]:
    """The recordings of each split; the last ones of train go without text."""
    first, stop = source.train
    cut = stop - source.without_text
    return INDICES | {"train": range(first, cut), UNLABELLED: range(cut, stop)}


def _strings(
    seed: int,
    split: str,
    speaker: str,
    use: int,
    indices: range,
    files: dict[tuple[int, int], Path],
    taken: set[tuple[int, ...]],
) -> Iterator[Raw]:
    """Every recording of a speaker and split once, in strings not in `taken` (a third of all attempts has one that is)."""
    pool = [(digit, files[digit, index]) for digit in range(10) for index in indices]
    for attempt in range(1000):
        strings = list(_cut(shuffled(pool, seed, split, speaker, use, attempt), seeded(seed, split, speaker, use, attempt)))
        if not any(tuple(digit for digit, _ in string) in taken for string in strings):
            break
    else:
        raise BigfootError(f"seed {seed} makes no {split} strings of {speaker} that are not in test, dev or gate: try another")
    for number, string in enumerate(strings):
        name = f"{split}-{speaker}-{use}-{number:03d}"
        yield Raw(
            id=name,
            split=split,
            audio=Joined(tuple(file for _, file in string), seed, name),
            text=" ".join(WORDS[digit] for digit, _ in string),
            speaker=speaker,
        )


def _cut(pool: list[Recording], rng: np.random.Generator) -> Iterator[list[Recording]]:
    """The pool in pieces of SHORTEST to LONGEST recordings, with none left over."""
    while pool:
        allowed = [n for n in range(SHORTEST, LONGEST + 1) if len(pool) == n or len(pool) - n >= SHORTEST]
        length = int(rng.choice(allowed))
        yield pool[:length]
        pool = pool[length:]


def _pause(rng: np.random.Generator) -> np.ndarray:
    length = round(rng.uniform(*PAUSE_SECONDS) * audio.SAMPLE_RATE)
    return rng.normal(0, PAUSE_LEVEL, length).astype(np.float32)


def _recordings(data: Path) -> dict[str, dict[tuple[int, int], Path]]:
    """{speaker: {(digit, index): file}}, complete for the indices in use."""
    folder = data / "recordings" if (data / "recordings").is_dir() else data
    if not folder.is_dir():
        raise BigfootError(f"{data} is missing: fetch FSDD into it, see README, or set corpus.data to where it is")
    recordings: dict[str, dict[tuple[int, int], Path]] = {}
    for file in sorted(folder.glob("*.wav")):
        if match := re.fullmatch(r"(\d)_([A-Za-z]+)_(\d+)\.wav", file.name):
            recordings.setdefault(match[2], {})[int(match[1]), int(match[3])] = file
    if not recordings:
        raise BigfootError(f"{folder} holds no recordings named DIGIT_SPEAKER_INDEX.wav: is it FSDD?")
    wanted = [(digit, index) for indices in INDICES.values() for index in indices for digit in range(10)]
    lacking = [f"{d}_{who}_{i}.wav" for who, files in recordings.items() for d, i in wanted if (d, i) not in files]
    if lacking:
        raise BigfootError(f"{folder} lacks {len(lacking)} recordings, such as {lacking[0]}: fetch FSDD again")
    return recordings
