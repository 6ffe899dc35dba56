"""`bigfoot paper-scale`: make the models and variants of a plan, UNTRAINED, and measure them all in one benchmark.

Decision: what has been made stays under `work`, and is made anew only where something that decides it has changed: its
settings, those of what it is made of, the code, the libraries. The mark that says so is written last, so that what was
being made when the run was stopped is made anew. The benchmark is run each time: figures are of one run on one machine.

Things are made in a process of their own, which is gone when the benchmark begins: Linux counts the peak memory of whoever
starts a process as the new one's, so that every variant would seem to need what making the largest of them did.
"""

import json
import logging
import multiprocessing
import shutil
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, dataclass
from functools import partial
from hashlib import blake2b
from pathlib import Path

from pipeline.benchmark.run import benchmark
from pipeline.common import host
from pipeline.common.errors import BigfootError
from pipeline.compare import figures
from pipeline.lab.paper import published, report, sound
from pipeline.lab.paper.settings import Plan
from pipeline.models.folder import load_model, save_model
from pipeline.params import Benchmark, Student, Teacher
from pipeline.quantize.run import quantize
from pipeline.speech.corpus import open_corpus

# 32 tokens, as the paper's teacher has: the blank, <unk> and the word gap join these.
ALPHABET = [" ", "'", "<s>", "</s>", *"ABCDEFGHIJKLMNOPQRSTUVWXYZ"]
SEED = 7
PACKAGE = Path(__file__).parents[1]
# How long things take, in hearings of one utterance by teacher.fp32; only for saying how much time is left.
HEARING_SECONDS = 5.0  # on two slow cores
GUESSED = 20.0  # hearings of this run that weigh as much as that guess
MAKING, EACH = 5.0, 2.0  # of the teacher's size; and what anything costs, however small
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Step:
    """A folder that is to be there: `key` hashes all that decides it, `hearings` says how long `make` takes to make it."""

    what: str
    folder: Path
    key: str
    hearings: float
    make: Callable[[Path], object]

    @property
    def mark(self) -> Path:
        return self.folder.with_name(f"{self.folder.name}.made")

    def is_made(self) -> bool:
        return self.folder.is_dir() and self.mark.is_file() and self.mark.read_text() == self.key

    def run(self, call: Callable[[Callable, Path], object]) -> None:
        """Make the folder anew; `call(make, folder)` does so wherever it likes."""
        self.mark.unlink(missing_ok=True)
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.parent.mkdir(parents=True, exist_ok=True)
        call(self.make, self.folder)
        self.mark.write_text(self.key)


def measure(plan: Plan, work: Path, out: Path) -> dict:
    """Make what is missing under `work`, measure it, and write paper_scale.json and paper_scale.md into `out`.

    Returns what paper_scale.json holds. Raises BigfootError where the teacher's config makes no model, a student doesn't fit
    into its parent, or a variant can't be made or measured.
    """
    steps = all_steps(plan, work)
    missing = [step for step in steps if not step.is_made()]
    to_measure = sum(EACH + _hearings(plan.settings.benchmark) * _size(plan, variant.model) for variant in plan.variants)
    log.info("paper-scale: %s", report.UNTRAINED)
    log.info("paper-scale: %d of %d things are there already", len(steps) - len(missing), len(steps))
    clock = _Clock(sum(step.hearings for step in missing) + to_measure)
    _make(missing, clock)
    log.info("paper-scale: benchmark of %d variants; %s", len(plan.variants), clock.left())
    folders = [work / "variants" / variant.name for variant in plan.variants]
    timings = asdict(benchmark(plan.settings.benchmark, folders, open_corpus(work / "corpus"), work / "timings.json"))
    result = _result(plan, timings, open_corpus(work / "corpus").info["about"])
    report.write(out, result)
    return result


def all_steps(plan: Plan, work: Path) -> list[Step]:
    """The corpus, every model after its parent, and every variant."""
    audio, utterances, config = plan.settings.audio, plan.settings.benchmark.utterances, plan.settings.teacher
    versions, heard = host.versions(), _key(audio.model_dump(), sound.about(), _code("paper/sound.py", "corpus/synthetic.py"))
    corpus = Step(
        "audio", work / "corpus", _key(heard, utterances), EACH, partial(sound.make, audio, utterances)
    )  # fmt: skip
    code = _code("teacher.py", "student.py", "importance.py", "front_end.py", "models.py")
    models = {
        "teacher": Step(
            "model teacher", work / "models/teacher", _key(config, ALPHABET, SEED, code, versions), EACH + MAKING,
            partial(_make_teacher, config),
        )
    }  # fmt: skip
    for name, student in plan.students.items():
        parent, surgery = models[student.parent], student.model_dump(exclude={"distillation", "training"})
        models[name] = Step(
            f"model {name}", work / "models" / name, _key(parent.key, surgery, student.training.seed),
            EACH + MAKING * _size(plan, student.parent),
            partial(_make_student, student, parent.folder),
        )  # fmt: skip
    code = _code("schemes", "torch_model.py", "torchao_model.py", "unpadded.py", "recognizer.py")
    variants = [
        Step(
            f"variant {v.name}", work / "variants" / v.name,
            _key(models[v.model].key, heard, v.scheme, plan.schemes[v.scheme], code, versions),
            EACH + MAKING * _size(plan, v.model),
            partial(_make_variant, v.scheme, plan.schemes[v.scheme], models[v.model].folder, work / "corpus"),
        )
        for v in plan.variants
    ]  # fmt: skip
    return [corpus, *models.values(), *variants]


# ---------------------------------------------------------------- making


def _make(steps: list[Step], clock: "_Clock") -> None:
    """Run the steps, all in one process that ends with the last of them."""
    speaks = partial(logging.basicConfig, level=logging.INFO, format="%(message)s")
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn"), initializer=speaks) as pool:
        for number, step in enumerate(steps):
            log.info("paper-scale: %d of %d, %s; %s", number + 1, len(steps), step.what, clock.left())
            try:
                step.run(lambda make, folder: pool.submit(make, folder).result())
            except BrokenProcessPool:
                raise BigfootError(f"paper-scale: making {step.what} was killed, most likely for want of memory") from None
            clock.done(step.hearings)


def _make_teacher(config: dict, folder: Path) -> None:
    from pipeline.train import teacher

    _no_bars()
    # Not validated: params refuse an untrained teacher, which is just what this one is.
    model, processor = teacher.build(Teacher.model_construct(init="config", config=config), Path(), ALPHABET, SEED)
    save_model(model, processor, folder)


def _make_student(settings: Student, parent: Path, folder: Path) -> None:
    import torch

    from pipeline.distill.surgery import student

    _no_bars()
    model, processor = load_model(parent)
    # What untrained weights hear says nothing of which matter: sizes decide, and merged convolutions are fitted to noise.
    noise = [torch.randn(1, 160_000, generator=torch.Generator().manual_seed(SEED))]
    small, rows = student.build(model, settings.model_copy(update={"importance": "weights"}), noise)
    log.info("paper-scale: %s", student.describe(small, rows))
    save_model(small, processor, folder)


def _make_variant(scheme: str, settings: dict, model: Path, corpus: Path, folder: Path) -> None:

    quantize(scheme, settings, model, open_corpus(corpus), folder)


def _no_bars() -> None:
    from transformers.utils import logging as transformers_logging

    transformers_logging.disable_progress_bar()  # this module tells the progress itself


def _key(*deciding: object) -> str:
    return blake2b(json.dumps(deciding, sort_keys=True).encode(), digest_size=16).hexdigest()


def _code(*names: str) -> str:
    """One hash of modules, or of all modules in a folder."""
    digest = blake2b(digest_size=16)
    for name in names:
        path = PACKAGE / name
        for file in sorted(path.glob("*.py")) if path.is_dir() else [path]:
            digest.update(file.read_bytes())
    return digest.hexdigest()


# ---------------------------------------------------------------- how long it takes


class _Clock:
    """How much time is left, in words: from what the hearings done so far took, and a guess that weighs ever less."""

    def __init__(self, hearings: float):
        self.started, self.whole, self.so_far = time.monotonic(), hearings, 0.0

    def done(self, hearings: float) -> None:
        self.so_far += hearings

    def left(self) -> str:
        pace = (time.monotonic() - self.started + GUESSED * HEARING_SECONDS) / (self.so_far + GUESSED)
        return f"about {max(1, round((self.whole - self.so_far) * pace / 60))} min left"


def _hearings(settings: Benchmark) -> float:
    """How often the benchmark lets a variant hear an utterance: opening, rounds, batches, profile, energy."""
    energy = settings.energy_rounds * settings.energy_seconds / HEARING_SECONDS
    return settings.utterances + settings.rounds * (settings.turn + 1) + 4 * settings.batch + 2 * settings.utterances + energy


def _size(plan: Plan, model: str) -> float:
    """A model's encoder weights against the teacher's, roughly."""

    def weights(name: str) -> int:
        shape = plan.shape(name)
        return shape["layers"] * shape["hidden"] * (4 * shape["hidden"] + 2 * shape["feed_forward"])

    return weights(model) / weights("teacher")


# ---------------------------------------------------------------- what comes of it


def _result(plan: Plan, timings: dict, heard: str) -> dict:
    """paper_scale.json: what timings.json says of host and sample, a flat object a variant, and the paper's figures."""
    full = timings["variants"]["teacher.fp32"]["disk_mb"]
    rows = []
    for variant in plan.variants:
        timing = timings["variants"][variant.name]
        row = {"variant": variant.name, "model": variant.model, "scheme": variant.scheme, "untrained": True}
        row |= {"shape": plan.shape(variant.model), "shrink": full / timing["disk_mb"]}
        rows.append(row | {key: timing[key] for key in figures.of(figures.TIMING)} | {"energy_mode": timing["energy_mode"]})
    narrow = plan.settings.whole_front_end
    return {
        "untrained": True, "note": report.UNTRAINED, "audio": heard, "goal": plan.settings.goal,
        "front_end": None if narrow is None else [narrow, f"{narrow}_whole"],
        **{key: value for key, value in timings.items() if key != "variants"},
        "variants": rows, "published": published.as_data(),
    }  # fmt: skip
