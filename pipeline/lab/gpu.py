"""Errors and speed of models on a GPU: float32, bfloat16 and float16, with 1, 8 and 64 recordings at a time.

    python -m pipeline.lab.gpu CORPUS VARIANT...

Decision: the figures stay apart from those of `benchmark` and `compare`, which time on a CPU; each row names its device, and
none is a ratio to a CPU's. Times are from float arrays in memory to text, so they end after the GPU does. Without a GPU a line
says that nothing was measured. torch.compile isn't used. CORPUS is a folder of corpora/, a variant one of PyTorch's in float32.
"""

import json
import random
import time
from pathlib import Path
from statistics import median

import numpy as np

from pipeline.common import host
from pipeline.common.command import stage_main
from pipeline.common.errors import BigfootError
from pipeline.evaluate.wer import score
from pipeline.recognition import gpu, seal
from pipeline.recognition.recognizer import Recognizer
from pipeline.speech.corpus import Corpus, open_corpus
from pipeline.speech.scoring import scoring

PRECISIONS: tuple[gpu.Precision, ...] = ("fp32", "bf16", "fp16")
STREAMS, ROUNDS, SEED = (1, 8, 64), 10, 7


def main(corpus: str = "", *variants: str) -> None:
    """Print a row for each variant and precision as JSON; raises BigfootError where the corpus or a variant is missing."""
    if not gpu.is_there():
        print("skipped: this machine has no GPU that PyTorch can use, so nothing was measured")
        return
    opened = open_corpus(corpus)
    rows = [row for variant in variants for row in measure(Path(variant), opened)]
    print(json.dumps({"host": host.describe(), "versions": host.versions(), "rounds": ROUNDS, "rows": rows}, indent=1))


def measure(variant: Path, corpus: Corpus, rounds: int = ROUNDS) -> list[dict]:
    """A row for each precision: WER of the first test set, how many of its texts differ from float32's, RTFx by streams."""
    info = seal.read(variant)
    if not gpu.is_float32(info):
        raise BigfootError(f"{variant} is {info.get('scheme')}: give a variant in fp32, which is run in all precisions here")
    utterances, scored_as = corpus.utterances(corpus.test_sets[0]), scoring(corpus.info)
    audios = [corpus.audio(utterance) for utterance in utterances]
    recognizers = {precision: gpu.load(variant, precision) for precision in PRECISIONS}
    texts = {precision: recognizer.transcribe_batch(audios) for precision, recognizer in recognizers.items()}
    speeds = _speeds(recognizers, audios, rounds)
    return [
        {
            "variant": variant.name, "device": _device(), "precision": precision,
            "wer": score(utterances, [scored_as.written(text) for text in texts[precision]]).wer,
            "texts": len(utterances), "other_texts": sum(a != b for a, b in zip(texts[precision], texts["fp32"], strict=True)),
            "rtfx": {str(streams): round(speeds[precision, streams], 1) for streams in STREAMS},
        }
        for precision in PRECISIONS
    ]  # fmt: skip


def _speeds(recognizers: dict[gpu.Precision, Recognizer], audios: list[np.ndarray], rounds: int) -> dict[tuple, float]:
    """{(precision, streams): seconds of audio per second}, for recordings of the median length, medians of shuffled rounds."""
    length = int(np.median([audio.size for audio in audios]))
    batches = {streams: [np.resize(audios[n % len(audios)], length) for n in range(streams)] for streams in STREAMS}
    ways = [(precision, streams) for precision in recognizers for streams in STREAMS]
    seconds: dict[tuple, list[float]] = {way: [] for way in ways}
    rng = random.Random(SEED)
    for number in range(-1, rounds):  # the first round warms up
        rng.shuffle(ways)
        for precision, streams in ways:
            began = time.perf_counter()
            recognizers[precision].transcribe_batch(batches[streams])
            if number >= 0:
                seconds[precision, streams].append(time.perf_counter() - began)
    rate = next(iter(recognizers.values())).info["sample_rate"]
    return {(precision, streams): streams * length / rate / median(seconds[precision, streams]) for precision, streams in ways}


def _device() -> str:
    """The name of the device that the rows are of."""
    import torch

    return torch.cuda.get_device_name() if gpu.DEVICE == "cuda" else gpu.DEVICE


if __name__ == "__main__":
    stage_main(main)
