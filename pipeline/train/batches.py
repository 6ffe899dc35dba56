"""The order of training: a stream of batches that depends on (seed, epoch) alone, so that a resumed run gets the same ones.

A batch is a list of keys (epoch, rows): the rows of the corpus that are one example, one utterance or several of one speaker
that are joined (training.augment.join).
"""

from array import array
from collections.abc import Iterator, Sequence
from itertools import islice

import numpy as np

from pipeline.models.inference import STEP
from pipeline.speech import audio

STEP_SECONDS = STEP / audio.SAMPLE_RATE
PAUSE_SECONDS = (0.1, 0.5)  # shortest and longest between two joined utterances

Key = tuple[int, tuple[int, ...]]


class Batches:
    """The stream of batches: lists of keys, each at most `seconds` of audio, padding included.

    Within an epoch, examples of similar length share a batch (lengths are jittered by 10%, so that batches differ between
    epochs), and batches come in random order. `len` is the number of all batches, not of one epoch's. `durations` [utterances]
    is in seconds, `slowest` the lowest speed factor that augmentation plays them at. `join`: the most utterances per example,
    all of one speaker, by the numbers in `speakers` [utterances].
    """

    batch_size, drop_last = None, False

    def __init__(
        self,
        durations: Sequence[float] | np.ndarray,
        seconds: float,
        count: int,
        seed: int,
        slowest: float = 1.0,
        join: int = 1,
        speakers: np.ndarray | None = None,
    ):
        self.durations, self.seconds, self.count, self.seed = np.asarray(durations) / slowest, seconds, count, seed
        self.join, self.speakers, self.pause = join, speakers, PAUSE_SECONDS[1] / slowest

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[list[Key]]:
        remaining, epoch = self.count, 0
        while remaining > 0:
            for batch in islice(self._epoch(epoch), remaining):
                remaining -= 1
                yield batch
            epoch += 1

    def _epoch(self, epoch: int) -> Iterator[list[Key]]:
        rng = np.random.default_rng((self.seed, epoch))
        rows, starts, lengths = self._examples(rng)
        order = np.argsort(lengths * rng.uniform(0.9, 1.1, len(lengths)), kind="stable")
        firsts = array("q")  # of the batches, in `order`: arrays, since lists take ten times the memory
        longest = 0.0
        for at, seconds in enumerate(np.ceil(lengths[order] / STEP_SECONDS) * STEP_SECONDS):
            longest = max(longest, seconds)
            if not firsts or longest * (at - firsts[-1] + 1) > self.seconds:
                firsts.append(at)
                longest = seconds
        ends = [*firsts[1:], len(order)]
        for batch in rng.permutation(len(firsts)):
            examples = order[firsts[batch] : ends[batch]].tolist()
            yield [(epoch, tuple(rows[starts[example] : starts[example + 1]].tolist())) for example in examples]

    def _examples(self, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The examples of an epoch: (rows [utterances], where each example starts in them [examples + 1], its seconds)."""
        count = len(self.durations)
        if self.join == 1 or self.speakers is None:
            return np.arange(count), np.arange(count + 1), self.durations
        rows = rng.permutation(count)
        rows = rows[np.argsort(self.speakers[rows], kind="stable")]
        wanted = rng.integers(1, self.join + 1, count)
        starts, lengths = array("q"), array("d")
        for at, row in enumerate(rows):
            more = self.pause + self.durations[row]
            if (
                starts
                and at - starts[-1] < wanted[len(starts) - 1]
                and self.speakers[row] == self.speakers[rows[at - 1]] != -1
                and lengths[-1] + more <= self.seconds
            ):
                lengths[-1] += more
            else:
                starts.append(at)
                lengths.append(self.durations[row])
        return rows, np.array([*starts, count]), np.array(lengths)


class Mixed:
    """The stream of batches of two streams of equal length: a share of them, drawn from the seed, of the second one.

    `offset` is added to the second stream's rows.
    """

    batch_size, drop_last = None, False

    def __init__(self, first: Batches, second: Batches, share: float, offset: int):
        self.first, self.second, self.share, self.offset = first, second, share, offset

    def __len__(self) -> int:
        return len(self.first)

    def __iter__(self) -> Iterator[list[Key]]:
        first, second = iter(self.first), iter(self.second)
        for is_second in np.random.default_rng((self.first.seed, 1)).random(len(self)) < self.share:
            batch = next(second if is_second else first)
            yield [(epoch, tuple(row + self.offset for row in rows)) for epoch, rows in batch] if is_second else batch
