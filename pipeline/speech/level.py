"""Whether a recording's samples can be taken as they are: their scale, and the phase of their channels.

Scale. Audio is float within [-1, 1]. Samples beyond that are scaled or refused, never clipped:
- whole numbers with a peak of 2 or more are integers stored as float: divided by the full scale of the narrowest of 16, 24 and
  32 bits that holds their peak (32,768, 8,388,608 or 2,147,483,648);
- others with a peak of at most 2 are overshoots, as of a lossy codec or a loud mix: divided by their peak;
- all else is refused, because nothing tells what its full scale is.
So 16-bit integers and 32-bit integers are told apart by their peak alone: 32-bit ones that never exceed 32,768 would be 96 dB
too loud, but such a recording has no speech in it.

Phase. The mix of channels is their mean. Of two channels of opposite phase, as from a balanced line taken for stereo, hardly
anything is left. A mix 17 dB below that of independent channels is refused: with two equally loud channels that is a
correlation of -0.98.
"""

from dataclasses import dataclass, field

import numpy as np

FULL_SCALES = (2.0**15, 2.0**23, 2.0**31)
MOST_OVERSHOOT = 2.0
LEAST_MIX = 0.02  # of the energy of independent channels' mix: -17 dB


@dataclass
class Level:
    """What the scale and the mix of a recording follow from, collected over its blocks."""

    peak: float = 0.0
    is_whole: bool = True  # all samples are whole numbers
    energies: np.ndarray = field(default_factory=lambda: np.zeros(1))  # of each channel
    mix_energy: float = 0.0

    @classmethod
    def of(cls, samples: np.ndarray) -> "Level":
        """Of a whole recording: float32 [samples, channels]."""
        level = cls()
        level.add(samples)
        return level

    def add(self, samples: np.ndarray) -> None:
        """Take the next block into account: float32 [samples, channels]."""
        if not samples.size:
            return
        with np.errstate(invalid="ignore", over="ignore"):  # NaN and infinity are for others to find
            self.peak = max(self.peak, float(np.abs(samples).max()))
            self.is_whole = self.is_whole and bool((samples == np.rint(samples)).all())
            if samples.shape[1] > 1:
                self.energies = self.energies + np.square(samples, dtype=np.float64).sum(axis=0)
                self.mix_energy += float(np.square(samples.mean(axis=1), dtype=np.float64).sum())

    @property
    def divisor(self) -> float | None:
        """What to divide the samples by: 1 where they are within [-1, 1] or not numbers, None where nothing tells."""
        if self.peak <= 1 or not np.isfinite(self.peak):
            return 1.0
        if self.is_whole:
            return next((scale for scale in FULL_SCALES if self.peak <= scale), None)
        return self.peak if self.peak <= MOST_OVERSHOOT else None

    @property
    def cancels_out(self) -> bool:
        """Whether hardly anything is left of the channels in their mix."""
        return self.mix_energy < LEAST_MIX * float(self.energies.sum()) / len(self.energies) ** 2
