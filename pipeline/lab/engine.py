"""The overhead of `Recognizer`: the time from float array to text divided by the time of the graph alone on the same input.

    python -m pipeline.lab.engine CORPUS VARIANT...

Both use one warm session and the same utterances, in random order; the bare runtime gets a normalized waveform, and its logits
are not decoded. `Recognizer` rounds lengths up to half a second for OpenVINO, so OpenVINO is also timed with exact lengths,
each compiled before: the difference is the cost of rounding where lengths repeat.
"""

import json
import random
import time
from collections.abc import Callable
from functools import partial

import numpy as np

from pipeline.benchmark import ratio
from pipeline.common import host
from pipeline.common.command import stage_main
from pipeline.recognition.recognizer import Recognizer
from pipeline.recognition.runtimes import Opened, Run
from pipeline.speech.corpus import open_corpus, spread

THREADS, ROUNDS, UTTERANCES, SEED = 2, 10, 40, 7


def main(corpus: str = "", *variants: str) -> None:
    """Print the overhead of each variant as JSON; raises BigfootError where the corpus or a variant is missing."""
    opened = open_corpus(corpus)
    audios = [opened.audio(utterance) for utterance in spread(opened.utterances(opened.test_sets[0]), UTTERANCES)]
    overheads = {variant: overhead(Recognizer.load(variant, THREADS), audios, ROUNDS) for variant in variants}
    facts = {"host": host.describe(), "versions": host.versions(), "threads": THREADS, "rounds": ROUNDS}
    print(json.dumps(facts | {"utterances": len(audios), "variants": overheads}, indent=1))


def overhead(recognizer: Recognizer, audios: list[np.ndarray], rounds: int) -> dict[str, float]:
    """{"ms": mean time per utterance, "graph": ratio to the time of the graph alone, "graph_low", "graph_high"; "exact"}."""
    waveforms = [recognizer.waveform(audio) for audio in audios]
    ways: dict[str, Callable[[int], object]] = {"transcribe": lambda i: recognizer.transcribe(audios[i])}
    ways |= {name: partial(_run_alone, run, waveforms) for name, run in bare(recognizer).items()}
    seconds = {name: np.zeros((rounds, len(audios))) for name in ways}
    rng, order = random.Random(SEED), list(ways)
    for number in range(-1, rounds):  # the first round warms up
        for index in range(len(audios)):
            rng.shuffle(order)
            for name in order:
                began = time.perf_counter()
                ways[name](index)
                if number >= 0:
                    seconds[name][number, index] = time.perf_counter() - began
    whole = np.median(seconds.pop("transcribe"), axis=0)
    figures = {"ms": round(1000 * float(whole.mean()), 3)}
    for name, times in seconds.items():
        alone = np.median(times, axis=0)
        low, high = ratio.interval(whole, alone, None, np.arange(len(audios)))
        ratios = {name: float(whole.sum() / alone.sum()), f"{name}_low": low, f"{name}_high": high}
        figures |= {key: round(value, 4) for key, value in ratios.items()}
    return figures


def _run_alone(run: Run, waveforms: list[np.ndarray], index: int) -> object:
    return run(waveforms[index][None], np.array([waveforms[index].size]))


def bare(recognizer: Recognizer) -> dict[str, Run]:
    """The runtime alone: `graph` on the input that `Recognizer` gives it, and for OpenVINO `exact` on exact lengths."""
    run = recognizer._run
    if recognizer.info["runtime"] != "openvino" or not isinstance(run, Opened):
        return {"graph": run}
    request = run.model.create_infer_request()
    return {"graph": run, "exact": lambda w, lengths: request.infer({"waveform": w, "lengths": lengths})["logits"]}


if __name__ == "__main__":
    stage_main(main)
