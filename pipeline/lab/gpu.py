"""Errors and speed of variants on a GPU, with 1, 8 and 64 recordings at a time.

    python -m pipeline.lab.gpu CORPUS VARIANT...

Decision: this measures what `benchmark` doesn't: three sizes of batches, and `fp32` on the GPU, which says what half precision
brings there. Each row names its device, and none is a ratio to a CPU's. Times are from float arrays in memory to text, so they
end after the GPU does. Without a GPU a line says that nothing was measured. CORPUS is a folder of corpora/, a variant one in
`fp32` or in a scheme of kind gpu.
"""

import json
import random
import time
from collections.abc import Sequence
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

STREAMS, ROUNDS, SEED = (1, 8, 64), 10, 7


def main(corpus: str = "", *variants: str) -> None:
    """Print a row for each variant as JSON; raises BigfootError where the corpus or a variant is missing."""
    if reason := gpu.missing("torch"):
        print(f"skipped: {reason}, so nothing was measured")
        return
    rows = measure([Path(variant) for variant in variants], open_corpus(corpus))
    print(json.dumps({"host": host.describe(), "versions": host.versions(), "rounds": ROUNDS, "rows": rows}, indent=1))


def measure(variants: Sequence[Path], corpus: Corpus, rounds: int = ROUNDS) -> list[dict]:
    """A row for each variant: WER of the first test set, how many texts differ from the first variant's, RTFx by streams."""
    for variant in variants:
        if not gpu.scores(info := seal.read(variant)):
            raise BigfootError(f"{variant} is {info.get('scheme')}: give variants in fp32, or in schemes for a GPU")
    utterances, scored_as = corpus.utterances(corpus.test_sets[0]), scoring(corpus.info)
    audios = [corpus.audio(utterance) for utterance in utterances]
    recognizers = {str(variant): Recognizer.load(variant, device=gpu.CUDA) for variant in variants}
    texts = {name: recognizer.transcribe_batch(audios) for name, recognizer in recognizers.items()}
    speeds = _speeds(recognizers, audios, rounds)
    first = next(iter(texts.values()), [])
    return [
        {
            "variant": name, "device": gpu.name() or gpu.DEVICE,
            "wer": score(utterances, [scored_as.written(text) for text in own]).wer,
            "texts": len(utterances), "other_texts": sum(a != b for a, b in zip(own, first, strict=True)),
            "rtfx": {str(streams): round(speeds[name, streams], 1) for streams in STREAMS},
        }
        for name, own in texts.items()
    ]  # fmt: skip


def _speeds(recognizers: dict[str, Recognizer], audios: list[np.ndarray], rounds: int) -> dict[tuple[str, int], float]:
    """{(variant, streams): seconds of audio per second}, for recordings of the median length, medians of shuffled rounds."""
    length = int(np.median([audio.size for audio in audios]))
    batches = {streams: [np.resize(audios[n % len(audios)], length) for n in range(streams)] for streams in STREAMS}
    ways = [(name, streams) for name in recognizers for streams in STREAMS]
    seconds: dict[tuple[str, int], list[float]] = {way: [] for way in ways}
    rng = random.Random(SEED)
    for number in range(-1, rounds):  # the first round warms up
        rng.shuffle(ways)
        for name, streams in ways:
            began = time.perf_counter()
            recognizers[name].transcribe_batch(batches[streams])
            if number >= 0:
                seconds[name, streams].append(time.perf_counter() - began)
    return {
        (name, streams): streams * length / recognizers[name].info["sample_rate"] / median(seconds[name, streams])
        for name, streams in ways
    }


if __name__ == "__main__":
    stage_main(main)
