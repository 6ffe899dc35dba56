"""The effect of windows: long recordings transcribed in windows, in one pass, and utterance by utterance.

    python -m pipeline.lab.seams CORPUS VARIANT...

A recording is made of the first test set's utterances of one speaker (unknown ones together), each at the same level, joined
and repeated until it lasts a minute. Differences between windows and one pass are counted in words, and in frames near a seam
and away from one: attention and the statistics of a group-norm feature encoder end with the window, so a model with such a
feature encoder differs everywhere. The WERs show how well a model recognizes audio longer than its training utterances.
"""

import json
from itertools import cycle

import jiwer
import numpy as np

from pipeline.common.command import stage_main
from pipeline.recognition import recognizer as engine
from pipeline.recognition.recognizer import Recognizer
from pipeline.speech.corpus import Corpus, open_corpus
from pipeline.speech.shards import Utterance

SECONDS, NEAR, LOUD = 60.0, 2.0, 0.05


def main(corpus: str = "", *variants: str) -> None:
    """Print the differences of each variant as JSON; raises BigfootError where the corpus or a variant is missing."""
    opened = open_corpus(corpus)
    recordings = joined(opened)
    for folder in variants:
        recognizer = Recognizer.load(folder)
        print(json.dumps({"variant": recognizer.info["variant"], **compared(recognizer, recordings)}), flush=True)


def joined(corpus: Corpus) -> list[tuple[list[np.ndarray], list[str]]]:
    """[(utterances that make one recording when joined, their texts)]."""
    speakers: dict[str, list[Utterance]] = {}
    for utterance in corpus.utterances(corpus.test_sets[0]):
        speakers.setdefault(utterance.speaker, []).append(utterance)
    recordings = []
    for utterances in speakers.values():
        pieces, texts, seconds = [], [], 0.0
        for utterance in cycle(utterances):
            if seconds >= SECONDS:
                break
            samples = corpus.audio(utterance)
            pieces.append((samples * (LOUD / max(samples.std(), 1e-6))).astype(np.float32))
            texts.append(utterance.text)
            seconds += utterance.duration
        recordings.append((pieces, texts))
    return recordings


def compared(recognizer: Recognizer, recordings: list[tuple[list[np.ndarray], list[str]]]) -> dict:
    """Words and frames that differ between windows and one pass, and the WER of both and of single utterances."""
    texts: dict[str, list[str]] = {"reference": [], "utterances": [], "one_pass": [], "windows": []}
    seconds, frames, near, away, seams = 0.0, 0, 0, 0, 0
    for pieces, references in recordings:
        whole = np.concatenate(pieces)
        windows = recognizer.logits(whole)
        one_pass = recognizer._run_batch([recognizer.waveform(whole)])[0]
        at = np.cumsum([kept for *_, kept in recognizer._windows(whole.size)])[:-1]
        differ = np.flatnonzero(windows.argmax(-1) != one_pass.argmax(-1))
        hop = recognizer._hop / recognizer.info["sample_rate"]
        is_near = np.array([bool(at.size) and np.abs(at - frame).min() * hop <= NEAR for frame in differ], dtype=bool)
        seconds, frames, seams = seconds + whole.size / recognizer.info["sample_rate"], frames + len(windows), seams + at.size
        near, away = near + int(is_near.sum()), away + int((~is_near).sum())
        texts["reference"].append(" ".join(references))
        texts["utterances"].append(" ".join(recognizer.transcribe(piece) for piece in pieces))
        texts["one_pass"].append(recognizer.text(one_pass))
        texts["windows"].append(recognizer.text(windows))
    changed = jiwer.process_words(texts["one_pass"], texts["windows"])
    return {
        "seconds": round(seconds), "recordings": len(recordings), "window_s": engine.WINDOW_SECONDS, "seams": seams,
        "words": sum(len(text.split()) for text in texts["reference"]),
        "words_that_differ": changed.substitutions + changed.deletions + changed.insertions,
        "frames": frames, f"frames_that_differ_within_{NEAR:g}_s_of_a_seam": near, "frames_that_differ_elsewhere": away,
        **{f"wer_{way}": round(jiwer.wer(texts["reference"], texts[way]), 4) for way in ("utterances", "one_pass", "windows")},
    }  # fmt: skip


if __name__ == "__main__":
    stage_main(main)
