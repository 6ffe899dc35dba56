"""What `Recognizer` adds to the bare runtime: the time from float array to text over that of the graph alone, on its own input.

    python -m pipeline.lab.engine CORPUS VARIANT...

Both share one warm session and hear the same utterances in turn, whichever first by chance; the bare runtime gets the
waveform normalized already, and of its logits no text is made. OpenVINO, which `Recognizer` gives lengths rounded up to half
a second, is also asked for the lengths as they are, each compiled before: that is what rounding costs where lengths
repeat.
"""

import json
import random
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np

from pipeline.benchmark import ratio
from pipeline.common import host
from pipeline.common.command import stage_main
from pipeline.recognition.recognizer import Recognizer
from pipeline.recognition.runtimes import Opened, Run
from pipeline.speech.corpus import open_corpus, spread

THREADS, ROUNDS, UTTERANCES, RESAMPLES, SEED = 2, 10, 40, 2000, 7


def main(corpus: str = "", *variants: str) -> None:
    """Print what is found as JSON; raises BigfootError where there is no such corpus or variant."""
    opened = open_corpus(corpus)
    audios = [opened.audio(one) for one in spread(opened.utterances(opened.test_sets[0]), UTTERANCES)]
    found = {Path(one).name: overhead(Recognizer.load(one, THREADS), audios, ROUNDS) for one in variants}
    facts = {"host": host.describe(), "versions": host.versions(), "threads": THREADS, "rounds": ROUNDS}
    print(json.dumps(facts | {"utterances": len(audios), "variants": found}, indent=1))


def overhead(recognizer: Recognizer, audios: list[np.ndarray], rounds: int) -> dict:
    """{"ms" of an utterance, "graph": how many times the bare runtime's time that is, "graph_low", ...; "exact" likewise}."""
    waveforms = [recognizer.waveform(audio) for audio in audios]
    ways: dict[str, Callable[[int], object]] = {"transcribe": lambda i: recognizer.transcribe(audios[i])}
    ways |= {name: partial(_run_alone, run, waveforms) for name, run in bare(recognizer).items()}
    seconds = {name: np.zeros((rounds, len(audios))) for name in ways}
    rng, order = random.Random(SEED), list(ways)
    for number in range(-1, rounds):  # the first one warms up
        for index in range(len(audios)):
            rng.shuffle(order)
            for name in order:
                began = time.perf_counter()
                ways[name](index)
                if number >= 0:
                    seconds[name][number, index] = time.perf_counter() - began
    whole = np.median(seconds.pop("transcribe"), axis=0)
    found = {"ms": round(1000 * float(whole.mean()), 3)}
    for name, taken in seconds.items():
        alone = np.median(taken, axis=0)
        low, high = ratio.interval(whole, alone, RESAMPLES, SEED)
        told = {name: float(whole.sum() / alone.sum()), f"{name}_low": low, f"{name}_high": high}
        found |= {key: round(value, 4) for key, value in told.items()}
    return found


def _run_alone(run: Run, waveforms: list[np.ndarray], index: int) -> np.ndarray:
    return run(waveforms[index][None], np.array([waveforms[index].size]))


def bare(recognizer: Recognizer) -> dict[str, Run]:
    """The runtime alone: `graph` on what `Recognizer` gives it, and for OpenVINO `exact` on lengths as they are."""
    run, runtime = recognizer._run, recognizer.info["runtime"]
    if runtime != "openvino" or not isinstance(run, Opened):
        return {"graph": run}
    request = run.model.create_infer_request()
    return {"graph": run, "exact": lambda w, lengths: request.infer({"waveform": w, "lengths": lengths})["logits"]}


if __name__ == "__main__":
    stage_main(main)
