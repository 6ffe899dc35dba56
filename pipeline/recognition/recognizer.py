"""`Recognizer.load(folder)` runs any variant: 16 kHz audio in, logits or text out, on the runtime that variant.json names.

Decisions, and what they cost:
- A batch gives the same logits as its utterances alone. ONNX and OpenVINO graphs ignore padding (variant.json: padding
  "mask"), so a batch holds similar lengths. In transformers' own forward pass padding changes the statistics of a group-norm
  feature encoder even with a mask (logits move by up to 1.0), so PyTorch variants (padding "exact") batch equal lengths only
  and run other lengths one by one, but on a GPU, where they ignore padding too. Dynamic int8 computes the range of activations
  over the batch, so there a batch moves logits within int8's own error.
- A waveform is normalized to zero mean and unit variance (where the model was trained so) here, over the whole file, never in
  the graph.
- Audio longer than 30 s runs in windows with 2 s of context on either side, so memory does not grow with the file. `stream`
  takes it in blocks, so that not even the samples have to fit in memory. `stream_live` doesn't wait for its end (live.py).
  Windows meet without a missing or a doubled frame. But attention is limited to its window, and a group-norm feature encoder
  computes its statistics there, so a frame's logits may differ from those of one pass: mostly near a seam, and with such an
  encoder everywhere. How much of the text changes is measured (pipeline.lab.seams, docs/transcribe.md).
- Text is decoded greedily, or as variant.json's `decoding` says: by beam search with a language model. Hot words make it a beam
  search in any variant (pipeline.recognition.decoding).
- Audio shorter than the receptive field (25 ms; at 25 frames per second 45 ms) is padded with zeros and gives one frame. Empty
  audio gives no frame and no text.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np

from pipeline.common.errors import BigfootError
from pipeline.recognition import decoding, gpu, runtimes, seal
from pipeline.recognition.live import DAMAGED, Stream
from pipeline.speech import text
from pipeline.speech.live import Live

WINDOW_SECONDS = 30.0
CONTEXT_SECONDS = 2.0
LONGER = 1.25  # the longest of a batch relative to the shortest; computation on padding is wasted
BATCH_SECONDS = 240.0  # audio and padding in one pass: attention's memory grows with it


class Recognizer:
    """An opened variant. `info` is its variant.json.

    Audio is float32 [samples], mono, at `info["sample_rate"]` (16 kHz), nominally within [-1, 1]. Other kinds of arrays, and
    NaN or infinite samples, raise BigfootError. Threads must not share a recognizer. `before_pass` is called before each pass
    of the runtime, and may raise to end a long recording.
    """

    def __init__(self, info: dict, run: runtimes.Run, folder: Path | None = None):
        self.info = info
        self._run = run
        self._beam_decoder = decoding.BeamDecoder(info, folder) if "decoding" in info else None
        self.before_pass: Callable[[], None] = lambda: None
        self._hop = math.prod(info["conv_strides"])
        self._window = int(WINDOW_SECONDS * info["sample_rate"])
        self._receptive_field = seal.receptive_field(info)

    @classmethod
    def load(cls, folder: str | Path, threads: int | None = None, device: str | None = None) -> "Recognizer":
        """Open a variant folder; `threads`: how many the runtime uses (None: its own choice).

        `device`: "cpu", or "cuda" for PyTorch's variants in float32 and those made for a GPU; None: what the variant was made
        for. Raises BigfootError where the folder is not a variant, a file is missing or has changed since the variant was made,
        where it doesn't run on the device, and where this machine lacks the GPU.
        """
        folder = Path(folder)
        if not (folder / "variant.json").is_file():
            raise BigfootError(f"{folder} has no variant.json: give a folder of variants/")
        info = _as_of_today(seal.read_info(folder))
        seal.require_runnable(folder, info)
        seal.check(folder, info, remembered=True)
        device = device or info.get("device", "cpu")
        if device not in ("cpu", gpu.CUDA):
            raise BigfootError(f"there is no device {device}: give cpu or {gpu.CUDA}")
        if device == gpu.CUDA and not gpu.takes(info):
            raise BigfootError(f"{folder} runs on the CPU alone: take a variant for a GPU, or fp32")
        if device == gpu.CUDA and (reason := gpu.missing(info["runtime"])):
            raise BigfootError(f"{folder} can't run here, {reason}: take a variant for the CPU, or a machine with a GPU")
        run = runtimes.start(folder, info["runtime"], info["file"], threads, info.get("precision", "f32"), device)
        return cls(info | ({"padding": "mask"} if device == gpu.CUDA else {}), run, folder)

    def frames(self, samples: int) -> int:
        """The number of frames for a number of samples: of most models one every 320 (20 ms), each of which needs 400."""
        return 0 if samples == 0 else max(1, 1 + (samples - self._receptive_field) // self._hop)

    def logits(self, audio: np.ndarray) -> np.ndarray:
        """The score of every token in every frame, before softmax: float32 [samples] -> float32 [frames, vocab]."""
        return self.batch_logits([audio])[0]

    def batch_logits(self, audios: list[np.ndarray]) -> list[np.ndarray]:
        """The logits of several recordings, in few passes (see the decisions above); one beyond a window runs alone."""
        logits = [np.zeros((0, len(self.info["vocab"])), dtype=np.float32)] * len(audios)  # of empty audio it stays that
        rest: list[int] = []
        waveforms = [self.waveform(audio) for audio in audios]
        for index, waveform in enumerate(waveforms):
            if waveform.size > self._window:
                logits[index] = self._in_windows(waveform)
            elif waveform.size:
                rest.append(index)
        for indices in self._batches(rest, waveforms):
            batch = self._run_batch([waveforms[index] for index in indices])
            for index, utterance_logits in zip(indices, batch, strict=True):
                logits[index] = utterance_logits
        return logits

    def stream(self, blocks: Iterable[np.ndarray], samples: int, mean: float, variance: float) -> Iterator[np.ndarray]:
        """The logits of one recording of any length, in consecutive parts [frames, vocab], from consecutive blocks of audio.

        `samples`, `mean` and `variance` are of the whole recording, so a caller that has a file reads it twice. The frames
        equal those of `logits` up to the rounding of mean and variance. Memory holds one window and one block at most.
        """
        if samples <= self._window:
            yield self.logits(np.concatenate([*blocks, np.zeros(0, dtype=np.float32)]))
            return
        if not np.isfinite(variance):
            raise BigfootError(DAMAGED)
        shift, scale = (np.float32(mean), np.float32((variance + 1e-7) ** -0.5)) if self.info["normalize"] else (0, 1)
        buffer, buffer_begin, remaining = np.zeros(0, dtype=np.float32), 0, iter(blocks)
        for begin, end, skipped, kept in self._windows(samples):
            buffer, buffer_begin = buffer[begin - buffer_begin :], begin
            while buffer_begin + buffer.size < end:
                buffer = np.concatenate([buffer, (next(remaining) - shift) * scale])
            yield self._run_batch([buffer[: end - begin]])[0][skipped : skipped + kept]

    def stream_live(self, live: Live = Live()) -> Stream:  # noqa: B008  (it is frozen)
        """A recording that is still being spoken: `feed` takes the next samples, `end` gives what is left (see live.py).

        Raises BigfootError for a variant with a language model, which needs to see whole pieces.
        """
        if "decoding" in self.info:
            plain = self.info["variant"].partition("+")[0]
            raise BigfootError(f"{self.info['variant']} decodes with a language model, live speech is greedy: take {plain}")
        return Stream(live, self.info, self._hop, self._receptive_field, lambda window: self._run_batch([window])[0])

    def transcribe(self, audio: np.ndarray, hot_words: Sequence[str] = ()) -> str:
        """The text of one recording; `hot_words`, such as names, are made likelier. Raises BigfootError as `decoder`."""
        return self.transcribe_batch([audio], hot_words)[0]

    def transcribe_batch(self, audios: list[np.ndarray], hot_words: Sequence[str] = ()) -> list[str]:
        """The texts of several recordings; see `batch_logits`."""
        self.decoder(hot_words)  # what is wrong with hot words is said before the work
        return [self.text(logits, hot_words) for logits in self.batch_logits(audios)]

    def text(self, logits: np.ndarray, hot_words: Sequence[str] = ()) -> str:
        """The text of logits [frames, vocab]."""
        if (decoder := self.decoder(hot_words)) is None:
            return text.greedy(logits.argmax(-1), self.info["vocab"], self.info["blank"])
        return decoder.text(logits, decoder.checked(hot_words))

    def decoder(self, hot_words: Sequence[str] = ()) -> decoding.BeamDecoder | None:
        """The beam search of this variant or, with hot words, of any variant; None where the decoding is greedy.

        Raises BigfootError where ctc-beam-decoder is not installed, and where hot words are not accepted.
        """
        if hot_words and self.info["runtime"] == "sherpa_onnx":
            raise BigfootError("sherpa-onnx gives no scores, and hot words need them: take a variant for another runtime")
        if hot_words and self._beam_decoder is None and "decoding" not in self.info:
            self._beam_decoder = decoding.BeamDecoder(self.info)
        if hot_words and self._beam_decoder is not None:
            self._beam_decoder.checked(hot_words)
        return self._beam_decoder if hot_words or "decoding" in self.info else None

    def waveform(self, audio: np.ndarray) -> np.ndarray:
        """A recording as the runtime's input, float32 [samples]: checked, normalized, long enough for one frame."""
        audio = np.asarray(audio)
        if audio.ndim != 1 or audio.dtype.kind != "f":
            raise BigfootError(
                f"audio has to be one channel of floats within [-1, 1], not {audio.dtype} of shape {audio.shape}: "
                "read it with pipeline.speech.audio.read"
            )
        audio = audio.astype(np.float32, copy=False)
        if audio.size == 0:
            return audio
        with np.errstate(invalid="ignore", over="ignore"):  # one NaN or infinite sample makes the variance NaN
            centered = audio - np.add.reduce(audio) / np.float32(audio.size)
            variance = float(centered @ centered) / audio.size
        if not math.isfinite(variance):
            raise BigfootError(DAMAGED)
        if self.info["normalize"]:
            audio = np.multiply(centered, np.float32((variance + 1e-7) ** -0.5), out=centered)
        lacking = self._receptive_field - audio.size
        return np.pad(audio, (0, lacking)) if lacking > 0 else audio

    def _run_batch(self, waveforms: list[np.ndarray]) -> list[np.ndarray]:
        """The logits [frames, vocab] of each waveform, none of them empty, in one pass; shorter ones are padded with zeros."""
        self.before_pass()
        lengths = np.array([waveform.size for waveform in waveforms], dtype=np.int64)
        if len(waveforms) == 1:
            padded = waveforms[0][None]
        else:
            padded = np.zeros((len(waveforms), lengths.max()), dtype=np.float32)
            for row, waveform in zip(padded, waveforms, strict=True):
                row[: waveform.size] = waveform
        logits = self._run(padded, lengths)
        if logits.shape[-1] != len(self.info["vocab"]):  # of a variant without a seal
            tokens = f"{len(self.info['vocab'])} tokens, its model {logits.shape[-1]} outputs"
            raise BigfootError(f"variant.json has {tokens}: {seal.REMEDY}")
        return [rows[: self.frames(length)] for rows, length in zip(logits, lengths, strict=True)]

    def _batches(self, indices: list[int], waveforms: list[np.ndarray]) -> Iterator[list[int]]:
        """Groups that run in one pass: similar lengths, at most BATCH_SECONDS with padding, so that they fit in memory."""
        longer = 1.0 if self.info["padding"] == "exact" else LONGER
        most = int(BATCH_SECONDS * self.info["sample_rate"])
        batch: list[int] = []
        for index in sorted(indices, key=lambda index: waveforms[index].size):
            size = waveforms[index].size
            if batch and (size > longer * waveforms[batch[0]].size or size * (len(batch) + 1) > most):
                yield batch
                batch = []
            batch.append(index)
        if batch:
            yield batch

    def _in_windows(self, waveform: np.ndarray) -> np.ndarray:
        """Logits [frames, vocab] of a long recording."""
        windows = self._windows(waveform.size)
        return np.concatenate(
            [self._run_batch([waveform[a:b]])[0][skipped : skipped + kept] for a, b, skipped, kept in windows]
        )

    def _windows(self, samples: int) -> Iterator[tuple[int, int, int, int]]:
        """A long recording's windows: (first sample, end, frames to skip, frames to keep).

        Each keeps equally many frames, the last at most as many. The skipped frames are context, and so are those after the
        frames to keep.
        """
        frames, context = self.frames(samples), int(CONTEXT_SECONDS * self.info["sample_rate"]) // self._hop
        windows = math.ceil(frames / (self.frames(self._window) - 2 * context))
        kept = math.ceil(frames / windows)
        for start in range(0, frames, kept):
            stop = min(start + kept, frames)
            first, last = max(0, start - context), min(stop + context, frames)
            yield first * self._hop, (last - 1) * self._hop + self._receptive_field, start - first, stop - start


def _as_of_today(info: dict) -> dict:
    """A variant.json of any version: `vocab` once had the tokenizer's tokens, with special ones such as <s>."""
    if "word_delimiter" not in info or "vocab" not in info:
        return info
    special = [token.startswith("<") and token.endswith(">") for token in info["vocab"]]
    texts = ["" if skip else token for token, skip in zip(info["vocab"], special, strict=True)]
    return info | {"vocab": [" " if text == info["word_delimiter"] else text for text in texts]}
