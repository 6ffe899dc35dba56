"""`int8ac-openvino`: int8 for OpenVINO under a budget: what hurts dev's word error rate too much stays in float.

Everything may become int8, convolutions included. If that costs more than `max_wer_rise` on dev, groups of operations (a
convolution; a layer's attention or its feed-forward part; a projection) are ranked by how much each hurts when it alone
is int8, and the fewest of the worst stay in float that keep the budget, found by halving.

NNCF's own quantize_with_accuracy_control takes the opposite way: it starts from all int8 and gives back one operation at
a time. Where several hurt, as the convolutions of a group-norm front end do (two of three, or three, are as bad as each
other), giving back one changes nothing and its ranking is noise. It also hears with a model compiled otherwise than ours.
The price here: as many short quantizations and hearings as there are groups, and some seven hearings of all of dev. dev
is thereby chosen on, as the gate does too: test alone says how good the variant is. Calibration hears train.
"""

import logging
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from pydantic import Field

from pipeline.common.errors import BigfootError
from pipeline.models.description import describe
from pipeline.quantize import openvino
from pipeline.quantize.base import VNNI
from pipeline.quantize.calibration import Calibrated
from pipeline.speech.corpus import spread

if TYPE_CHECKING:
    from openvino import Model

    from pipeline.speech.corpus import Corpus, Utterance

log = logging.getLogger(__name__)

Groups = dict[str, list[str]]  # "layers.0/attention" -> the names of its operations


class OpenvinoInt8Controlled(Calibrated):
    """int8 within a budget of dev WER. What stayed in float is `kept_float` in variant.json, and `dev_wer` what it cost.

    Lowers: what the budget allows of every Linear, the products of queries and keys, and convolutions, to int8
    Granularity: weights symmetric, 7 of 8 bits, one scale an output; activations one calibrated range a tensor
    Hardware: any CPU; faster with VNNI or AMX
    Limits: hears all of dev some seven times, a part of it once a group; chooses on dev, so dev WER flatters it;
    calibrates on training audio
    """

    runtime = "openvino"
    file = openvino.FILE
    packages = ("torch", "transformers", "onnx", "openvino", "nncf")
    features, otherwise = VNNI, "int8 gains less, or nothing"

    max_wer_rise: float = Field(0.005, ge=0, description="how far dev WER may lie above the float model's; a fraction")
    ranking_utterances: int = Field(32, ge=1, description="of train and of dev, heard for the ranking")

    def write(self, model_folder: Path, corpus: "Corpus", out: Path) -> dict:
        inputs = self.inputs(corpus, model_folder)
        dev = corpus.utterances("dev")
        if not dev:
            raise BigfootError("int8ac-openvino decides on dev, and the corpus has no such utterances: run prepare first")
        judge = _Judge(corpus, describe(model_folder))
        full = openvino.convert(model_folder, out)
        groups, before = _groups(full), judge.wer(full, dev)
        chosen, wers = (full, before), []

        def holds(count: int, ranking: Sequence[str] = ()) -> bool:
            nonlocal chosen
            model = _quantized(full, inputs, groups, ranking[:count])
            wers.append(judge.wer(model, dev))
            log.info("%d of %d groups in float: dev WER %.2f%%", count, len(groups), 100 * wers[-1])
            if wers[-1] > before + self.max_wer_rise:
                return False
            chosen = model, wers[-1]
            return True

        if not holds(0):
            ranking = self._ranking(full, inputs, groups, judge, spread(dev, self.ranking_utterances))
            _fewest(len(groups), lambda count: holds(count, ranking))
        model, after = chosen
        openvino.save(model, out)
        return {
            "kept_float": [name for name, kind in openvino.weight_types(model).items() if kind not in ("i8", "u8")],
            "dev_wer": {"float": before, "all_int8": wers[0], "variant": after},
        }

    def _ranking(self, full: "Model", inputs: list[dict], groups: Groups, judge: "_Judge", dev: "list[Utterance]") -> list[str]:
        """The groups, the one that hurts most first: by words wrong, then by how far logits move, when it alone is int8."""
        inputs, expected, hurts = spread(inputs, self.ranking_utterances), judge.logits(full, dev), {}
        for name in groups:
            alone = _quantized(full, inputs, groups, [other for other in groups if other != name])
            found = judge.logits(alone, dev)
            moved = float(np.mean([np.mean((a - b) ** 2) for a, b in zip(found, expected, strict=True)]))
            hurts[name] = judge.words_wrong(found, dev), moved
            log.info(
                "%s alone in int8: WER %.2f%% on %d utterances, logits move %.3f", name, 100 * hurts[name][0], len(dev), moved
            )
        return sorted(groups, key=hurts.get, reverse=True)


class _Judge:
    """Hears utterances with a graph, as the recognizer will."""

    def __init__(self, corpus: "Corpus", info: dict):
        self.corpus, self.info = corpus, info | {"padding": OpenvinoInt8Controlled.padding}

    def logits(self, model: "Model", utterances: "Sequence[Utterance]") -> list[np.ndarray]:
        from openvino import Core

        from pipeline.recognition import runtimes
        from pipeline.recognition.recognizer import Recognizer

        compiled = Core().compile_model(model, "CPU", runtimes.openvino_settings(None))
        recognizer = Recognizer(self.info, runtimes.openvino_run(compiled))
        return [recognizer.logits(self.corpus.audio(utterance)) for utterance in utterances]

    def words_wrong(self, logits: list[np.ndarray], utterances: "Sequence[Utterance]") -> float:
        from pipeline.evaluate.wer import score
        from pipeline.speech import text

        vocab, blank, delimiter = (self.info[key] for key in ("vocab", "blank", "word_delimiter"))
        hypotheses = [text.greedy(one.argmax(-1), vocab, blank, delimiter) for one in logits]
        return score(utterances, hypotheses).wer

    def wer(self, model: "Model", utterances: "Sequence[Utterance]") -> float:
        return self.words_wrong(self.logits(model, utterances), utterances)


def _groups(model: "Model") -> Groups:
    """Operations that may be int8, by what they belong to; a group-norm front end's first convolution is none of them."""
    groups: Groups = {}
    for node in model.get_ordered_ops():
        name, kind = node.get_friendly_name(), node.get_type_name()
        parts = name.strip("/").split("/")
        multiplies = kind in ("MatMul", "ScaledDotProductAttention", *openvino.FLOAT_OPERATIONS)
        if multiplies and not re.match(openvino.FIRST_CONVOLUTION, name):
            groups.setdefault("/".join(parts[: 2 if parts[0].startswith("layers.") else 1]), []).append(name)
    return groups


def _quantized(full: "Model", inputs: list[dict], groups: Groups, kept: Sequence[str]) -> "Model":
    """The graph in int8, but for the groups in `kept`."""
    return openvino.quantized(full, inputs, names=[name for group in kept for name in groups[group]])


def _fewest(most: int, holds: Callable[[int], bool]) -> int:
    """The smallest number above 0 that `holds`, by halving and asked last of those that do; `most` is taken to, unasked."""
    low, high = 0, most
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if holds(middle) else (middle, high)
    return high
