"""`Recognizer.load(folder)` runs any variant: 16 kHz audio in, logits or text out, on the runtime variant.json names.

Decisions, and what they cost:
- Batches hold equal lengths only; other lengths run one by one. Padding is never put in, because group-norm front
  ends (wav2vec 2.0 base) hear it whatever the mask (logits move by up to 1.0). So a batch gives exactly what single
  utterances give, on every runtime.
- A waveform is brought to zero mean and unit variance (where the model was trained so) here, over the whole file,
  never in the graph.
- Audio longer than 30 s runs in windows with 2 s of context on either side, so memory does not grow with the file.
  Frames meet exactly; but attention reaches no further than its window, and a group-norm front end takes its
  statistics there, so logits differ a little from those of one pass, most within a second of a seam.
- Audio shorter than the receptive field (25 ms) is filled up with zeros and gives one frame. Empty audio gives no
  frame and no text.
"""

import json
import math
from pathlib import Path

import numpy as np

from pipeline import runtimes, text
from pipeline.errors import BigfootError

WINDOW_SECONDS = 30.0
CONTEXT_SECONDS = 2.0


class Recognizer:
    """A variant, opened. `info` is its variant.json.

    Audio is float32 [samples], mono, at `info["sample_rate"]` (16 kHz), nominally within [-1, 1]. Other kinds of
    arrays and NaN or infinite samples raise BigfootError. Not safe to share between threads.
    """

    def __init__(self, info: dict, run: runtimes.Run):
        self.info = info
        self._run = run
        self._hop = math.prod(info["conv_strides"])
        self._receptive_field = 1 + sum(
            (kernel - 1) * math.prod(info["conv_strides"][:layer]) for layer, kernel in enumerate(info["conv_kernels"])
        )

    @classmethod
    def load(cls, folder: str | Path, threads: int | None = None) -> "Recognizer":
        """Open a variant folder with so many threads (None: the runtime's own choice).

        Raises BigfootError where the folder is no variant, or misses a file.
        """
        folder = Path(folder)
        try:
            info = json.loads((folder / "variant.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            raise BigfootError(f"{folder} has no readable variant.json: give a folder of variants/") from None
        return cls(info, runtimes.start(folder, info["runtime"], info["file"], threads))

    def frames(self, samples: int) -> int:
        """How many frames so many samples give: one every 320 samples (20 ms), as far as its 400 samples are there."""
        return 0 if samples == 0 else max(1, 1 + (samples - self._receptive_field) // self._hop)

    def logits(self, audio: np.ndarray) -> np.ndarray:
        """Unnormalised scores of every token and frame: float32 [samples] -> float32 [frames, vocab]."""
        return self.batch_logits([audio])[0]

    def batch_logits(self, audios: list[np.ndarray]) -> list[np.ndarray]:
        """`logits` of each: those of equal length in one pass of the runtime, the others one after the other."""
        waveforms = [self.waveform(audio) for audio in audios]
        same_length: dict[int, list[int]] = {}
        for index, waveform in enumerate(waveforms):
            same_length.setdefault(waveform.size, []).append(index)
        logits: list = [None] * len(audios)
        for size, indices in same_length.items():
            batch = self._batch(np.stack([waveforms[index] for index in indices])) if size else self._nothing(indices)
            for index, one in zip(indices, batch, strict=True):
                logits[index] = one
        return logits

    def transcribe(self, audio: np.ndarray) -> str:
        """The text of one recording, by greedy CTC decoding."""
        return self.transcribe_batch([audio])[0]

    def transcribe_batch(self, audios: list[np.ndarray]) -> list[str]:
        """The texts of several recordings; see `batch_logits`."""
        vocab, blank, delimiter = self.info["vocab"], self.info["blank"], self.info["word_delimiter"]
        return [text.greedy(one.argmax(-1), vocab, blank, delimiter) for one in self.batch_logits(audios)]

    def waveform(self, audio: np.ndarray) -> np.ndarray:
        """A recording as the runtime gets it, float32 [samples]: checked, normalised, long enough for one frame."""
        audio = np.asarray(audio)
        if audio.ndim != 1 or audio.dtype.kind != "f":
            raise BigfootError(
                f"audio has to be one channel of floats within [-1, 1], not {audio.dtype} of shape {audio.shape}: "
                "read it with pipeline.audio.read"
            )
        audio = audio.astype(np.float32, copy=False)
        if not np.isfinite(audio).all():
            raise BigfootError("audio has NaN or infinite samples: its file is damaged, record or convert it anew")
        if audio.size == 0:
            return audio
        if self.info["normalize"]:
            audio = (audio - audio.mean()) / np.sqrt(audio.var() + 1e-7)
        return np.pad(audio, (0, max(0, self._receptive_field - audio.size)))

    def _batch(self, waveforms: np.ndarray) -> np.ndarray:
        """[batch, samples] -> [batch, frames, vocab], in windows where one is not enough."""
        window = int(WINDOW_SECONDS * self.info["sample_rate"])
        if waveforms.shape[1] <= window:
            return self._run(waveforms)
        context = int(CONTEXT_SECONDS * self.info["sample_rate"]) // self._hop
        frames = self.frames(waveforms.shape[1])
        pieces = math.ceil(frames / (window // self._hop - 2 * context))
        kept = math.ceil(frames / pieces)
        starts = range(0, frames, kept)
        return np.concatenate([self._piece(waveforms, at, min(at + kept, frames), context) for at in starts], axis=1)

    def _piece(self, waveforms: np.ndarray, start: int, stop: int, context: int) -> np.ndarray:
        """Logits of frames [start, stop), computed with up to `context` more frames on either side."""
        first, last = max(0, start - context), min(stop + context, self.frames(waveforms.shape[1]))
        samples = waveforms[:, first * self._hop : (last - 1) * self._hop + self._receptive_field]
        return self._run(np.ascontiguousarray(samples))[:, start - first : stop - first]

    def _nothing(self, indices: list[int]) -> np.ndarray:
        return np.zeros((len(indices), 0, len(self.info["vocab"])), dtype=np.float32)
