"""What windows change: long recordings heard in windows, in one pass, and utterance by utterance.

    python -m pipeline.lab.seams CORPUS VARIANT...

A recording: the first test set's utterances of one speaker (of unknown ones together), each at the same level, end to end and
from the first again until it lasts a minute. Differences between windows and one pass are counted in words, and in frames
near a seam and away from one: attention and a group-norm front end's statistics end with the window, so that a model with
such a front end differs anywhere. How a model hears what is longer than all that it was trained on is told by the WERs.
"""

import json
from itertools import cycle

import jiwer
import numpy as np

from pipeline.common.command import stage_main
from pipeline.recognition import recognizer as engine
from pipeline.recognition.recognizer import Recognizer
from pipeline.speech.corpus import Corpus, Utterance, open_corpus

SECONDS, NEAR, LOUD = 60.0, 2.0, 0.05


def main(corpus: str = "", *variants: str) -> None:
    """Print what is found as JSON; raises BigfootError where there is no such corpus or variant."""
    opened = open_corpus(corpus)
    recordings = joined(opened)
    for folder in variants:
        recognizer = Recognizer.load(folder)
        print(json.dumps({"variant": recognizer.info["variant"], **compared(recognizer, recordings)}), flush=True)


def joined(corpus: Corpus) -> list[tuple[list[np.ndarray], list[str]]]:
    """[(utterances that are one recording when put end to end, their texts)]."""
    speakers: dict[str, list[Utterance]] = {}
    for utterance in corpus.utterances(corpus.test_sets[0]):
        speakers.setdefault(utterance.speaker, []).append(utterance)
    made = []
    for said in speakers.values():
        pieces, texts, seconds = [], [], 0.0
        for utterance in cycle(said):
            if seconds >= SECONDS:
                break
            samples = corpus.audio(utterance)
            pieces.append((samples * (LOUD / max(samples.std(), 1e-6))).astype(np.float32))
            texts.append(utterance.text)
            seconds += utterance.duration
        made.append((pieces, texts))
    return made


def compared(recognizer: Recognizer, recordings: list[tuple[list[np.ndarray], list[str]]]) -> dict:
    """Words and frames that differ between windows and one pass, and the WER of these and of single utterances."""
    texts: dict[str, list[str]] = {"said": [], "utterances": [], "one_pass": [], "windows": []}
    seconds, frames, near, away, seams = 0.0, 0, 0, 0, 0
    for pieces, said in recordings:
        whole = np.concatenate(pieces)
        windows = recognizer.logits(whole)
        one_pass = recognizer._run_batch([recognizer.waveform(whole)])[0]
        at = np.cumsum([kept for *_, kept in recognizer._windows(whole.size)])[:-1]
        differ = np.flatnonzero(windows.argmax(-1) != one_pass.argmax(-1))
        hop = recognizer._hop / recognizer.info["sample_rate"]
        is_near = np.array([bool(at.size) and np.abs(at - one).min() * hop <= NEAR for one in differ], dtype=bool)
        seconds, frames, seams = seconds + whole.size / recognizer.info["sample_rate"], frames + len(windows), seams + at.size
        near, away = near + int(is_near.sum()), away + int((~is_near).sum())
        texts["said"].append(" ".join(said))
        texts["utterances"].append(" ".join(recognizer.transcribe(piece) for piece in pieces))
        texts["one_pass"].append(recognizer.text(one_pass))
        texts["windows"].append(recognizer.text(windows))
    changed = jiwer.process_words(texts["one_pass"], texts["windows"])
    return {
        "seconds": round(seconds), "recordings": len(recordings), "window_s": engine.WINDOW_SECONDS, "seams": seams,
        "words": sum(len(one.split()) for one in texts["said"]),
        "words_that_differ": changed.substitutions + changed.deletions + changed.insertions,
        "frames": frames, f"frames_that_differ_within_{NEAR:g}_s_of_a_seam": near, "frames_that_differ_elsewhere": away,
        **{f"wer_{way}": round(jiwer.wer(texts["said"], texts[way]), 4) for way in ("utterances", "one_pass", "windows")},
    }  # fmt: skip


if __name__ == "__main__":
    stage_main(main)
