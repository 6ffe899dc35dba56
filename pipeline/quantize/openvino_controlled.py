"""`int8ac-openvino`: int8 for OpenVINO within a budget: operations that raise dev's error rate too much stay in float.

First everything becomes int8, convolutions included. If that raises the error rate on dev (WER or CER, the corpus's objective)
by more than `max_rise`, groups of operations (a convolution; a layer's attention or its feed-forward part; a projection) are
ranked by the damage of each one alone in int8. Bisection then finds the smallest number of worst groups that have to stay in
float to keep the budget.

NNCF's own quantize_with_accuracy_control works the other way round: it starts from all int8 and returns one operation at a time
to float. Where several operations do damage, as the convolutions of a group-norm feature encoder do (two of three are as bad
as all three), returning one changes nothing and its ranking is noise. It also evaluates a model compiled with other settings
than ours. The cost here: one short quantization and evaluation per group, and some seven evaluations of all of dev. This
choice uses dev, so gate and test measure how good the variant is. Calibration uses train.
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
from pipeline.quantize import convolutions, openvino
from pipeline.quantize.base import VNNI
from pipeline.quantize.calibration import Calibrated
from pipeline.speech.corpus import spread
from pipeline.speech.scoring import scoring

if TYPE_CHECKING:
    from openvino import Model

    from pipeline.speech.corpus import Corpus
    from pipeline.speech.shards import Utterance

log = logging.getLogger(__name__)

Groups = dict[str, list[str]]  # "layers.0/attention" -> the names of its operations


class OpenvinoInt8Controlled(Calibrated):
    """int8 within a budget of errors on dev. variant.json lists what is float in `kept_float`, rates in `dev_wer` or `dev_cer`.

    Lowers: every Linear, the products of queries and keys, and convolutions, as far as the budget allows, to int8
    Granularity: weights symmetric, 7 of 8 bits, one scale per output; activations one calibrated range per tensor
    Hardware: any CPU; faster with VNNI or AMX
    Limits: evaluates all of dev some seven times and a part of it once per group; chooses on dev, so its errors there are
    too few; calibrates on training audio
    """

    runtime = "openvino"
    file = openvino.FILE
    packages = ("torch", "transformers", "onnx", "openvino", "nncf")
    features, otherwise = VNNI, "int8 gains less, or nothing"

    max_rise: float = Field(
        0.005, ge=0, le=100, description="how far the error rate on dev may lie above the float model's; a fraction"
    )
    ranking_utterances: int = Field(32, ge=1, le=1_000_000, description="utterances of train and of dev that the ranking uses")

    def write(self, model_folder: Path, corpus: "Corpus | None", out: Path) -> dict:
        inputs = self.inputs(corpus, model_folder)
        dev = corpus.utterances("dev") if corpus else []
        if corpus is None or not dev:
            raise BigfootError("int8ac-openvino chooses on dev, but the corpus has no dev utterances: run prepare first")
        judge = _Judge(corpus, describe(model_folder))
        full = openvino.convert(model_folder, out)
        groups, before = _groups(full), judge.rate(full, dev)
        chosen, rates = (full, before), []

        def holds(count: int, ranking: Sequence[str] = ()) -> bool:
            nonlocal chosen
            model = _quantized(full, inputs, groups, ranking[:count])
            rates.append(judge.rate(model, dev))
            log.info("%d of %d groups in float: dev %s %.2f%%", count, len(groups), judge.name, 100 * rates[-1])
            if rates[-1] > before + self.max_rise:
                return False
            chosen = model, rates[-1]
            return True

        if not holds(0):
            ranking = self._ranking(full, inputs, groups, judge, spread(dev, self.ranking_utterances))
            _fewest(len(groups), lambda count: holds(count, ranking))
        model, after = chosen
        openvino.save(model, out)
        return {
            "kept_float": [name for name, kind in openvino.weight_types(model).items() if kind not in ("i8", "u8")],
            f"dev_{judge.scored_as.objective}": {"float": before, "all_int8": rates[0], "variant": after},
        }

    def _ranking(self, full: "Model", inputs: list[dict], groups: Groups, judge: "_Judge", dev: "list[Utterance]") -> list[str]:
        """The groups, most damaging first: by error rate, then by the change of logits, with this group alone in int8."""
        inputs, expected = spread(inputs, self.ranking_utterances), judge.logits(full, dev)
        damage: dict[str, tuple[float, float]] = {}
        for name in groups:
            alone = _quantized(full, inputs, groups, [other for other in groups if other != name])
            logits = judge.logits(alone, dev)
            moved = float(np.mean([np.mean((a - b) ** 2) for a, b in zip(logits, expected, strict=True)]))
            damage[name] = judge.rate_of(logits, dev), moved
            log.info(
                "%s alone in int8: %s %.2f%% on %d utterances, logits move %.3f",
                name,
                judge.name,
                100 * damage[name][0],
                len(dev),
                moved,
            )
        return sorted(groups, key=lambda name: damage[name], reverse=True)


class _Judge:
    """Evaluates a graph on utterances, as the recognizer will run it."""

    def __init__(self, corpus: "Corpus", info: dict):
        self.scored_as = scoring(corpus.rules)
        self.name = self.scored_as.objective.upper()
        self.corpus, self.info = corpus, info | {"padding": OpenvinoInt8Controlled.padding}

    def logits(self, model: "Model", utterances: "Sequence[Utterance]") -> list[np.ndarray]:
        from openvino import Core

        from pipeline.recognition import runtimes
        from pipeline.recognition.recognizer import Recognizer

        compiled = Core().compile_model(model, "CPU", runtimes.openvino_settings(None))
        recognizer = Recognizer(self.info, runtimes.openvino_run(compiled))
        return [recognizer.logits(self.corpus.audio(utterance)) for utterance in utterances]

    def rate_of(self, logits: list[np.ndarray], utterances: "Sequence[Utterance]") -> float:
        from pipeline.speech import text

        vocab, blank = self.info["vocab"], self.info["blank"]
        errors, length = self.scored_as.errors(
            (utterance.text, text.greedy(rows.argmax(-1), vocab, blank))
            for utterance, rows in zip(utterances, logits, strict=True)
        )
        return errors / length

    def rate(self, model: "Model", utterances: "Sequence[Utterance]") -> float:
        return self.rate_of(self.logits(model, utterances), utterances)


def _groups(model: "Model") -> Groups:
    """Operations that may be int8, grouped by module, without a group-norm feature encoder's first convolution."""
    groups: Groups = {}
    for node in model.get_ordered_ops():
        name, kind = node.get_friendly_name(), node.get_type_name()
        parts = name.strip("/").split("/")
        multiplies = kind in ("MatMul", "ScaledDotProductAttention", *convolutions.OPENVINO_TYPES)
        if multiplies and not re.match(openvino.FIRST_CONVOLUTION, name):
            groups.setdefault("/".join(parts[: 2 if parts[0].startswith("layers.") else 1]), []).append(name)
    return groups


def _quantized(full: "Model", inputs: list[dict], groups: Groups, kept: Sequence[str]) -> "Model":
    """The graph in int8, except the groups in `kept`."""
    return openvino.quantized(full, inputs, names=[name for group in kept for name in groups[group]])


def _fewest(most: int, holds: Callable[[int], bool]) -> int:
    """The smallest number above 0 for which `holds` is true, by bisection; `most` is assumed to hold.

    The last call of `holds` that returned true is for the result, unless the result is `most`.
    """
    low, high = 0, most
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if holds(middle) else (middle, high)
    return high
