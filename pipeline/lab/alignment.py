"""How exact `bigfoot align` is, on connected digits, whose words begin and end where their recordings were joined.

    python -m pipeline.lab.alignment variants/teacher.fp32

For the test set of the params.yaml in use, which has to be of the source `digits`: how far the start and end of each word are
from those of its recording (which also has some silence at either end), and the scores of the words that were spoken and of
others in their place.
"""

from pathlib import Path

import numpy as np

from pipeline.apps.alignment.align import AlignedWord
from pipeline.apps.alignment.run import aligned
from pipeline.common.command import stage_main
from pipeline.common.errors import BigfootError
from pipeline.prepare import digits
from pipeline.prepare.digits import Joined
from pipeline.project import Project, load_params
from pipeline.recognition.recognizer import Recognizer
from pipeline.speech.audio import SAMPLE_RATE


def main(variant: str = "") -> None:
    """Print the measurements of a variant; raises BigfootError where it, or the recordings, are missing."""
    params, project = load_params(), Project()
    if params.corpus.source.kind != "digits":
        raise BigfootError("this measures on the source digits: `bigfoot use digits` first")
    recognizer = Recognizer.load(Path(variant))
    starts, ends, right, wrong = [], [], [], []
    for raw in digits.read(params.corpus.source, project.root / params.corpus.data):
        if raw.split != "test" or not isinstance(raw.audio, Joined):
            continue
        logits, words = recognizer.logits(raw.audio.make()), raw.text.split()
        for word, (start, end) in zip(_aligned(logits, words, recognizer), raw.audio.spans(), strict=True):
            starts.append(word.start - start / SAMPLE_RATE)
            ends.append(word.end - end / SAMPLE_RATE)
            right.append(word.score or 0.0)
        others = ["two" if word == "nine" else "nine" for word in words]
        wrong += [word.score or 0.0 for word in _aligned(logits, others, recognizer)]
    print(f"{len(starts)} words; median, 5% and 95% of the seconds by which they are late")
    for name, late in (("start", starts), ("end", ends)):
        print(f"{name:6}" + " ".join(f"{value:7.3f}" for value in np.quantile(late, [0.5, 0.05, 0.95])))
    for name, scores in (("spoken", right), ("others", wrong)):
        print(f"score of words {name}: median {np.median(scores):.4f}, {np.mean(np.array(scores) >= 0.5):.1%} at 0.5 or above")


def _aligned(logits: np.ndarray, words: list[str], recognizer: Recognizer) -> list[AlignedWord]:
    return aligned(logits, [(word, word) for word in words], recognizer.info)


if __name__ == "__main__":
    stage_main(main)
