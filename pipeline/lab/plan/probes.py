"""The rates of this machine: some seconds per model the first time, then remembered in .bigfoot/rates.json.

Decision: a probe has the model's own widths and the corpus's lengths, because narrow models use a machine worse than wide ones,
but of a large one few layers, and little audio, so that a model of any size takes seconds.
"""

import copy
import json
import multiprocessing
import os
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from hashlib import blake2b
from pathlib import Path
from statistics import median
from typing import Any

import torch

from pipeline.common import host
from pipeline.common.engine import cores
from pipeline.common.errors import BigfootError
from pipeline.common.files import read_json, write_json
from pipeline.lab.plan import measures
from pipeline.lab.plan.rates import Machine, Model, Rate
from pipeline.lab.plan.speech import Speech
from pipeline.models.operations import macs_per_second
from pipeline.models.tensors import tensors
from pipeline.params import Augment, Params, Training
from pipeline.train.machine import HALVES, precision

MOST_MACS = 2.5e9  # per second of audio: deeper models are probed with fewer layers
LARGEST_SECONDS = 16.0  # of audio in a probe's batch
AROUND = (-0.5, 0.0, 0.5, 1.0)  # seconds from the usual length
STARTS = {  # what a stage loads before it works
    "torch": "pipeline.train.trainer, transformers.models.wav2vec2.modeling_wav2vec2",
    "light": "pipeline.stages.evaluate, onnxruntime, openvino",
    "nncf": "nncf",
    "mlflow": "pipeline.stages.compare, mlflow, matplotlib.pyplot",
}


def machine(params: Params, configs: Mapping[str, Any], speech: Speech, file: Path) -> Machine:
    """This machine's rates for these models, measured in a process whose threads sleep while they wait for each other.

    So waiting is no CPU time.
    """
    before = dict(os.environ)
    os.environ.update(measures.SLEEPING)
    try:
        with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as process:
            return process.submit(_machine, params, configs, speech, file).result()
    finally:
        os.environ.clear()
        os.environ.update(before)


def _machine(params: Params, configs: Mapping[str, Any], speech: Speech, file: Path) -> Machine:
    remembered = Remembered(file)

    def one(what: Iterable, measure: Callable[[], float]) -> float:
        return remembered.of(what, lambda: [measure()])[0]

    starts = {name: one(("start", modules), partial(measures.starting, modules)) for name, modules in STARTS.items()}
    trainings = {"teacher": params.teacher.training, **{name: student.training for name, student in params.students.items()}}
    models = {name: _model(remembered, config, trainings[name], speech) for name, config in configs.items()}
    # Of all trainings the one whose audio takes longest: a change of speed is a resampling.
    augments = sorted((t.augment for t in trainings.values() if t), key=lambda a: (a.speed is None, not a.noise_probability))
    augment = (augments or [Augment()])[0]
    loading = one(("loading", augment.model_dump_json()), lambda: measures.loading(augment))
    checking = speech.checking or one(("loading", "plain"), lambda: measures.loading(Augment()))
    return Machine(cores(), models, starts, loading, checking, one(("looping",), measures.looping))


def _model(remembered: "Remembered", config: Any, training: Training | None, speech: Speech) -> Model:
    half = HALVES.get(precision(training.precision) if training else "fp32")
    batch = min(training.batch_seconds if training else LARGEST_SECONDS, LARGEST_SECONDS)
    usual = round(2 * min(speech.seconds, batch)) / 2
    lengths = [max(0.5, usual + more) for more in AROUND]
    layers = config.num_hidden_layers
    deep = _deepest(config)
    # A second depth, for the layers that the first lacks, or for those with which a training starts.
    fewest = training.grow[0][1] if training and training.grow else 1 if deep.num_hidden_layers < layers else layers
    shallow = _cut(config, min(fewest, deep.num_hidden_layers))
    key = (config.to_json_string(), half, batch, usual)

    def probed(cut: Any) -> list[float]:
        def measure(seconds: float) -> list[float]:
            return measures.computed(cut, half, max(1, int(batch / seconds)), seconds)

        return remembered.of((*key, cut.num_hidden_layers), lambda: _typical(measure, lengths))

    fast, slow = probed(shallow), probed(deep)
    exported, plain, other, int8 = remembered.of(
        (*key, "runtimes"), lambda: _typical(partial(measures.runtimes, deep), lengths)
    )
    macs = [macs_per_second(each.to_dict()) for each in (shallow, deep)]
    stepping, batched, single = (_rate(macs, fast[i], slow[i]) for i in range(3))
    fixed, depth = len(config.conv_dim) + 2, deep.num_hidden_layers  # an export takes a time per layer of either kind
    runtimes = {"torch": 1.0, "onnxruntime": plain / single.seconds, "openvino": other / single.seconds}
    return Model(
        config.to_dict(), tensors(config.to_dict()).numbers, stepping, slow[3], batched, single, runtimes, int8 / plain,
        exported * (fixed + layers) / (fixed + depth),
    )  # fmt: skip


def _typical(measure: Callable[[float], list[float]], lengths: list[float]) -> list[float]:
    """Each figure's median over utterances of several lengths: some batches are slow for their size alone."""
    return [median(figures) for figures in zip(*map(measure, lengths), strict=True)]


def _rate(macs: list[float], shallow: float, deep: float) -> Rate:
    """The rate of the deeper probe; `per_mac` from the difference to the other, or its mean where both are one."""
    more = macs[1] - macs[0]
    return Rate(deep, macs[1], max(0.0, deep - shallow) / more if more else deep / macs[1])


def _deepest(config: Any) -> Any:
    """The whole model, or so many of its layers, two at least, that it stays below MOST_MACS."""
    layers = config.num_hidden_layers
    while layers > 2 and macs_per_second(_cut(config, layers).to_dict()) > MOST_MACS:
        layers -= 1
    return _cut(config, layers)


def _cut(config: Any, layers: int) -> Any:
    cut = copy.deepcopy(config)
    cut.num_hidden_layers, cut.layerdrop = layers, 0.0
    return cut


class Remembered:
    """What was measured before with this CPU, number of cores and versions."""

    def __init__(self, path: Path):
        self.path = path
        facts = host.describe()
        versions = host.versions(("torch", "transformers", "onnxruntime", "openvino"))
        gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else ""
        self.machine = f"{host.kind(facts)}, {gpu or 'no GPU'}, {versions}, {os.environ.get('OMP_NUM_THREADS', '')}"

    def of(self, what: Iterable, measure: Callable[[], list[float]]) -> list[float]:
        """The figures of what was measured before, or now; a damaged file is measured anew."""
        try:
            known = read_json(self.path, "bigfoot check --plan") if self.path.is_file() else {}
        except BigfootError:
            known = {}
        rates = known.setdefault(self.machine, {})
        key = blake2b(json.dumps([str(part) for part in what]).encode(), digest_size=8).hexdigest()
        if key not in rates:
            rates[key] = measure()
            write_json(self.path, known)
        return rates[key]
