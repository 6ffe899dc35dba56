"""Noise, in which small models fail first: an estimate of how much an utterance has, and more of it (evaluate.noise_snr_db)."""

from dataclasses import dataclass

import numpy as np

from pipeline.speech.audio import SAMPLE_RATE

FRAME, HOP = SAMPLE_RATE * 25 // 1000, SAMPLE_RATE * 10 // 1000
LEAST_FRAMES = 20
QUIETEST = 1 / (12 * 32768**2)  # the power of 16-bit rounding: the audio of a corpus is never quieter


@dataclass(frozen=True)
class Noise:
    """White noise that lies `snr_db` below an utterance's mean power, drawn from the seed and the utterance's row."""

    snr_db: float
    seed: int

    def added(self, samples: np.ndarray, row: int) -> np.ndarray:
        """float32 [T] -> float32 [T]; silence stays silence."""
        drawn = np.random.default_rng((self.seed, row)).standard_normal(len(samples))
        power = np.square(samples, dtype=np.float64).mean()
        return (samples + drawn * np.sqrt(power / 10 ** (self.snr_db / 10))).astype(np.float32)


def snr_db(samples: np.ndarray) -> float | None:
    """An estimate of the signal-to-noise ratio of float [T] in dB: the power of its loud frames over that of its quiet ones.

    The frames last 25 ms, one every 10 ms; loud is the 95th percentile of their power (speech), quiet the 10th (pauses).
    Without pauses the quiet frames are speech too, and the estimate is too low; digital silence counts as 16-bit rounding.
    None for fewer than 20 frames (about 0.2 s) and for silence.
    """
    if len(samples) < FRAME + (LEAST_FRAMES - 1) * HOP:
        return None
    samples = samples.astype(np.float64) - samples.mean(dtype=np.float64)
    summed = np.concatenate([[0.0], np.cumsum(samples**2)])
    starts = np.arange(0, len(samples) - FRAME + 1, HOP)
    power = np.maximum((summed[starts + FRAME] - summed[starts]) / FRAME, QUIETEST)
    quiet, loud = np.quantile(power, [0.1, 0.95])
    return None if loud <= QUIETEST else round(float(10 * np.log10(loud / quiet)), 2)
