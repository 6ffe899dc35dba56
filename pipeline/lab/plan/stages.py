"""The seconds and the disk of each stage, from params, the corpus's hours and a machine's rates: arithmetic alone.

Left out, since nothing foretells it: early stopping (`patience`), the accuracy control of int8ac-openvino, the search for the
weights of a language model, frozen and stored features, which make training shorter, and what DVC takes to hash and to copy
files.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

from pipeline.benchmark import lengths
from pipeline.benchmark.cold_start import ENOUGH_SECONDS
from pipeline.benchmark.starts import CHOOSES_AFTER
from pipeline.distill.logits.top_k import bytes_per_frame
from pipeline.lab.plan.rates import Machine, Model
from pipeline.lab.plan.speech import Speech
from pipeline.models.inference import STEP
from pipeline.params import Params, Training, Variant
from pipeline.quantize import decodings
from pipeline.quantize.base import Scheme
from pipeline.quantize.calibration import Calibrated
from pipeline.quantize.schemes import make
from pipeline.quantize.torch_bf16 import TorchBf16
from pipeline.quantize.torch_fp32 import TorchFp32
from pipeline.speech.audio import SAMPLE_RATE
from pipeline.speech.corpus import UNLABELLED, scored_splits, test_sets

FLAC_GB = 60 / 960  # per hour, as in LibriSpeech
BYTES = {"fp32": 4.0, "bf16": 2.0, "fp16": 2.0, "int8": 1.4, "int4w": 0.7}  # per parameter; convolutions may stay in float32
CHECKPOINTS, CHECKPOINT_BYTES = 2, 12.0  # kept while training; per parameter: the weight and Adam's two moments
STEP_SECONDS = STEP / SAMPLE_RATE  # lengths are rounded up to it
CALIBRATING = 4.0  # running a graph that watches its ranges takes so many times as long
BATCHES, PROFILED = 2, 2  # of the benchmark: batches per start; runs of the sample, warm and with the profiler on


@dataclass(frozen=True)
class Need:
    """`seconds` and `gigabytes` of a stage, None where they are unknown; `scratch`: gigabytes that it needs while it runs."""

    seconds: float | None
    gigabytes: float | None = 0.0
    scratch: float = 0.0


@dataclass(frozen=True)
class Plan:
    """What every stage needs; a stage is named as DVC does: student@thin."""

    params: Params
    speech: Speech
    machine: Machine

    def of(self, stage: str) -> Need:
        kind, _, key = stage.partition("@")
        needs: dict[str, Callable[[str], Need]] = {
            "prepare": self.prepare, "teacher": self.train, "teacher_logits": self.teacher_logits, "student": self.train,
            "quantize": self.quantize, "evaluate": self.evaluate, "benchmark": self.benchmark, "compare": self.compare,
            "export": self.export,
        }  # fmt: skip
        return needs[kind](key)

    def prepare(self, _: str) -> Need:
        if not self.speech.hours:
            return Need(None, None)
        hours = sum(self.speech.hours.values())
        seconds = 3600 * hours * self.machine.preparing / self.machine.cores
        return Need(self.machine.starts["light"] + seconds, FLAC_GB * hours, FLAC_GB * hours)

    def train(self, name: str) -> Need:
        name = name or "teacher"
        model, seconds = self.machine.models[name], self.machine.starts["torch"]
        settings = self.params.teacher if name == "teacher" else self.params.students[name]
        training = settings.training if name != "teacher" or self.params.teacher.finetune else None
        if training is None:
            return Need(seconds, _gb(model.parameters, "fp32"))
        batches = training.steps * training.accumulate
        per_second = self.machine.loading
        if name != "teacher" and self.params.students[name].distillation.teacher == "online":
            teacher = self.machine.models["teacher"]
            per_second += teacher.batched.of(teacher.macs())
        seconds += (
            batches * self._filled(training) * (per_second + _step(model, training)) + training.steps * self.machine.looping
        )
        seconds += min(batches, 2 * self.speech.seconds / STEP_SECONDS) * model.first  # shapes: lengths up to twice the mean
        seconds += (
            training.steps
            // training.evaluate_every
            * self._heard("dev", training.evaluate_hours)
            * model.batched.of(model.macs())
        )
        return Need(seconds, _gb(model.parameters, "fp32"), CHECKPOINTS * CHECKPOINT_BYTES * model.parameters / 1e9)

    def teacher_logits(self, _: str) -> Need:
        if not self.speech.hours:
            return Need(None, None)
        model = self.machine.models["teacher"]
        heard = self._heard("train") + self._heard(UNLABELLED)
        heard *= sum(1 / speed for speed in self.params.logits.speeds)
        channels = model.config["conv_dim"][-1] if self.params.logits.features else 0
        per_frame = bytes_per_frame(model.config["vocab_size"], self.params.logits.top_k, channels)
        frames = heard * SAMPLE_RATE / math.prod(model.config["conv_stride"])
        seconds = heard * (model.batched.of(model.macs()) + self.machine.loading)
        return Need(self.machine.starts["torch"] + seconds, frames * per_frame / 1e9)

    def quantize(self, key: str) -> Need:
        model, scheme = self._variant(key)
        seconds = self.machine.starts["light"]  # a scheme that only copies loads nothing
        if type(scheme) not in (TorchFp32, TorchBf16):
            seconds = self.machine.starts["torch"] + model.export
        if "nncf" in scheme.packages:
            seconds += self.machine.starts["nncf"]
        if isinstance(scheme, Calibrated):
            seconds += scheme.calibration_utterances * self.speech.seconds * CALIBRATING * model.single.of(model.macs())
        return Need(seconds, _gb(model.parameters, self._name(key)))

    def evaluate(self, key: str) -> Need:
        if not self.speech.hours:
            return Need(None)
        most = self.params.evaluate.max_hours
        heard = sum(self._heard(name, most) for name in scored_splits(self.speech.hours))
        heard += self._heard(test_sets(self.speech.hours)[0], most) * self._hearings_again(key)
        _, scheme = self._variant(key)
        return Need(self.machine.start(scheme.runtime) + heard * (self._hearing(key) + self.machine.loading))

    def _hearings_again(self, key: str) -> float:
        """How many times as much as the first test set a variant hears of it with noise and as live speech."""
        again, live = float(len(self.params.evaluate.noise_snr_db)), self.params.evaluate.live
        if live and decodings.MARK not in self.params.variants[key].scheme:
            again += sum((live.left + live.chunk + right) / live.chunk for right in live.right)
        return again

    def benchmark(self, _: str) -> Need:
        """At most: all of its rounds. Of a GPU no rate is known, so variants for one are left out."""
        settings, seconds = self.params.benchmark, 0.0
        starts, each = settings.most_starts, self.speech.seconds
        to_choose, rounds = starts // CHOOSES_AFTER, settings.rounds_per_start
        timed, timed_to_choose = self._timed(rounds), self._timed(CHOOSES_AFTER * rounds)
        alone = 0.0 if settings.threads == 1 else (1 + settings.threads) / 2  # so many times as long with one thread
        heard = starts * (1 + alone) * timed + to_choose * timed_to_choose  # utterances
        heard += starts * BATCHES * settings.batch + (PROFILED + 1) * settings.utterances
        for key in self.params.variants:
            scheme = self._variant(key)[1]
            if scheme.kind == "gpu":
                continue
            hearing, start = self._hearing(key), self.machine.start(scheme.runtime)
            seconds += (starts + to_choose) * start / self.machine.cores + heard * each * hearing
            for length in settings.lengths:
                once = length * hearing
                seconds += 2 * (1 + alone) * once * (1 if once > lengths.SLOW_SECONDS else settings.restarts)
            cold = start + each * hearing
            seconds += cold * min(settings.cold_starts, ENOUGH_SECONDS // cold + 1)
        seconds += (len(self.params.variants) + 1) * settings.energy_rounds * settings.energy_seconds
        return Need(seconds)

    def _timed(self, rounds: int) -> int:
        """Utterances that a variant transcribes in so many rounds of one start, those that aren't timed included."""
        settings = self.params.benchmark
        return rounds * (settings.turn + 1) + min(rounds * settings.turn, settings.utterances)

    def compare(self, _: str) -> Need:
        """Tables, plots, cards and the log of a variant take about as long as to start a light process."""
        return Need(self.machine.starts["mlflow"] + len(self.params.variants) * self.machine.starts["light"])

    def export(self, name: str) -> Need:
        key = next(key for key, variant in self.params.variants.items() if variant.name == name)
        size = _gb(self._variant(key)[0].parameters, self._name(key))
        return Need(self.machine.starts["light"], size * len(self.params.exports[name]))

    def _filled(self, training: Training) -> float:
        """Seconds of audio in a batch of utterances of the mean length, padding included."""
        if not self.speech.utterances:
            return training.batch_seconds
        return max(1, int(training.batch_seconds / self.speech.seconds)) * self.speech.seconds

    def _heard(self, split: str, most: float | None = None) -> float:
        """Seconds of audio in a split, of which at most so many hours are taken."""
        return 3600 * min(self.speech.hours.get(split, 0.0), math.inf if most is None else most)

    def _hearing(self, key: str) -> float:
        """Seconds per second of audio of a variant."""
        model, scheme = self._variant(key)
        ratio = model.runtimes.get(scheme.runtime, 1.0) * (model.int8 if "int8" in self._name(key) else 1.0)
        return ratio * model.single.of(model.macs())

    def _variant(self, key: str) -> tuple[Model, Scheme]:
        variant: Variant = self.params.variants[key]
        return self.machine.models[variant.model], make(variant.scheme, self.params.schemes[variant.scheme])

    def _name(self, key: str) -> str:
        """The name of a variant's scheme; of a renamed one that of its kind."""
        scheme = self.params.variants[key].scheme
        return str(self.params.schemes[scheme].get("like", scheme))


def _step(model: Model, training: Training) -> float:
    """Seconds per second of a batch, the mean over a run that may grow in depth."""
    growth = training.grow or [(0, model.config["num_hidden_layers"])]
    ends = [*(first for first, _ in growth[1:]), training.steps]
    times = [(end - first) * model.training.of(model.macs(used)) for (first, used), end in zip(growth, ends, strict=True)]
    return sum(times) / training.steps


def _gb(parameters: float, scheme: str) -> float:
    size = next((size for name, size in BYTES.items() if name in scheme), BYTES["fp32"])
    return size * parameters / 1e9
