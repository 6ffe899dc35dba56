"""The progress of long work: a bar on a terminal, elsewhere one line in the log every ten seconds.

    prepare: 12,000 of 30,000 utterances (40%), 850 per second, 0:21 left

Work that takes less than ten seconds writes no line.
"""

import logging
import sys
import time

from pipeline.common.numbers import clock

SECONDS = 10.0

log = logging.getLogger(__name__)


class Progress:
    """A context manager; `total` is the amount of work in `unit`, 0 where it is not known."""

    def __init__(self, what: str, total: float, unit: str):
        self.what, self.total, self.unit, self.done = what, total, unit, 0.0
        self._bar = None

    def __enter__(self) -> "Progress":
        self._started = self._shown = time.monotonic()
        if sys.stderr.isatty():
            from tqdm import tqdm

            self._bar = tqdm(desc=self.what, total=self.total or None, unit=f" {self.unit}", unit_scale=True, leave=False)
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.close()

    def advance(self, amount: float) -> None:
        """Add an amount of finished work."""
        self.done += amount
        if self._bar is not None:
            self._bar.update(amount)
        elif time.monotonic() - self._shown >= SECONDS:
            self._shown = time.monotonic()
            log.info(self.line(self._shown - self._started))

    def line(self, elapsed: float) -> str:
        """The line for the log after `elapsed` seconds."""
        rate = self.done / max(elapsed, 1e-6)
        if not self.total or self.done > self.total:  # headers only estimate some recordings
            return f"{self.what}: {self.done:,.0f} {self.unit}, {_per_second(rate)}"
        left = clock((self.total - self.done) / rate) if rate else "unknown"
        part = f"{self.done:,.0f} of {self.total:,.0f} {self.unit} ({self.done / self.total:.0%})"
        return f"{self.what}: {part}, {_per_second(rate)}, {left} left"


def _per_second(rate: float) -> str:
    """A rate; slow work has its seconds per unit instead, which would be 0 per second."""
    if rate >= 1 or not rate:
        return f"{rate:,.0f} per second"
    return f"{1 / rate:.2g} s each" if rate > 0.1 else f"{1 / rate:,.0f} s each"
