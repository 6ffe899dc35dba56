"""One Trainer for teacher and student: resumable, several processes, batches by seconds of audio, best checkpoint on dev.

Decision: transformers.Trainer does the training; this module adds the order of batches, the loss and errors on dev. The order
is one stream of `steps` batches that depends on (seed, epoch) alone, and an example's augmentation depends on (seed, epoch,
utterances) alone. So a run that was killed and resumed gets the same batches as an uninterrupted run; on a CPU with the same
number of threads it ends with the same weights. Checkpoints are under .bigfoot/checkpoints/MODEL/FINGERPRINT.
"""

import json
import logging
import math
import os
import shutil
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from accelerate import PartialState
from torch.utils.data import ConcatDataset, DataLoader
from transformers import Trainer, TrainerCallback, TrainerControl, TrainingArguments

from pipeline.common import energy, progress
from pipeline.common.errors import BigfootError
from pipeline.common.numbers import clock
from pipeline.models import vocabulary
from pipeline.models.folder import save_model
from pipeline.models.forward import accept_features, ignore_padding
from pipeline.models.inference import dev_errors
from pipeline.models.weights import not_finite
from pipeline.speech.corpus import UNLABELLED, drawn, durations
from pipeline.speech.scoring import scoring
from pipeline.speech.shards import Utterance
from pipeline.tracking.live import LiveRun
from pipeline.train import checkpoints, chunks, finished, growing, machine, speakers
from pipeline.train.batches import Batches, Mixed
from pipeline.train.ctc import ctc_loss
from pipeline.train.examples import Speech
from pipeline.train.job import Job

log = logging.getLogger(__name__)
LOG_EVERY = 25
MOST_LOST = 10  # logged losses in a row that are not numbers: in fp16 a few are, whose steps are left out


def train(job: Job, out: Path) -> dict:
    """Train `job.model`, save the checkpoint with the fewest errors on dev into `out`, and write and return its metrics.

    metrics.json: dev_wer or dev_cer (the corpus's objective), params, steps, best_step, train_hours, train_energy_wh,
    energy_mode, and the fingerprint that identifies this run in MLflow. curve.jsonl: one line per logging step and per
    measurement on dev. A run that was killed is resumed from its last checkpoint.
    """
    chunks.check(job.model.config, job.training.chunk, job.bookkeeping.model)
    growing.start_shallow(job.model, job.training.grow, job.bookkeeping.model)
    ignore_padding(job.model)
    precision = machine.precision(job.training.precision)
    if mended := machine.make_right(job.model, precision):
        log.info("%s: in float32, because this CPU gets them wrong in bf16: %s", job.bookkeeping.model, ", ".join(mended))
    if job.features is not None:
        accept_features(job.model)
    folder = job.bookkeeping.checkpoints(job.fingerprint)
    resume = checkpoints.latest(folder)
    ended = checkpoints.last_step(resume) if resume else None  # of one that was killed before its model was saved
    trainer = _trainer(replace(job, training=job.training.model_copy(update={"steps": ended})) if ended else job, folder)
    if resume:
        log.info("%s: resuming from step %s", job.bookkeeping.model, resume.name.rpartition("-")[2])
    if trainer.is_world_process_zero():
        log.info(
            "%s: trains on %s in %s (processes: %s)", job.bookkeeping.model, machine.device(), precision,
            trainer.accelerator.num_processes,
        )  # fmt: skip
    trainer.train(resume_from_checkpoint=str(resume) if resume else None)
    metrics = trainer.ledger.metrics(trainer)
    if trainer.is_world_process_zero():
        shutil.rmtree(out, ignore_errors=True)  # what another training left there would be sealed as this one's
        save_model(trainer.accelerator.unwrap_model(trainer.model), job.processor, out)
        (out / "curve.jsonl").write_text("".join(json.dumps(row) + "\n" for row in trainer.ledger.curve))
        (out / "metrics.json").write_text(json.dumps(metrics, indent=1) + "\n")
        job.finish(out)
        _say_what_is_kept(job, metrics, trainer.lr_scheduler.get_last_lr()[0])
        if trainer.ledger.run:
            trainer.ledger.run.finish({k: v for k, v in metrics.items() if isinstance(v, int | float)})
        finished.end(folder, job.bookkeeping.project.lock)
    trainer.accelerator.wait_for_everyone()
    return metrics


def _say_what_is_kept(job: Job, metrics: dict, learning_rate: float) -> None:
    rate = _dev_rate(job)
    if metrics["steps"] < job.training.steps:
        log.warning(
            "%s: patience ended the training at step %s of %s, with the learning rate at %.0f%% of its highest; most is gained "
            "while it falls, so a training of fewer steps may end better", job.bookkeeping.model, metrics["steps"],
            job.training.steps, 100 * learning_rate / job.training.learning_rate,
        )  # fmt: skip
    log.info(
        "%s: kept step %s of %s, the best on dev: %s %.2f%%; loss and errors by step: curve.jsonl", job.bookkeeping.model,
        metrics["best_step"], metrics["steps"], rate.removeprefix("dev_").upper(), 100 * metrics[rate],
    )  # fmt: skip


# ---------------------------------------------------------------- the Trainer


class SpeechTrainer(Trainer):
    """transformers.Trainer with this module's batches, loss and errors on dev."""

    def __init__(self, job: Job, ledger: "Ledger", **kwargs):
        super().__init__(model=job.model, callbacks=[ledger], eval_dataset=Speech(job, job.corpus.utterances("dev")), **kwargs)
        self.job, self.ledger = job, ledger
        self.blank = vocabulary.of(job.processor.tokenizer, job.model.config.vocab_size).blank
        self.loss_is_scaled_for_ga = False
        self.callback_handler.callbacks = [c for c in self.callback_handler.callbacks if _is_kept(c)]

    def get_train_dataloader(self) -> DataLoader:
        job = self.job
        train = job.corpus.utterances("train")
        unlabelled = job.corpus.utterances(UNLABELLED) if job.unlabelled else ()
        labelled = self._batches(train, job.training.augment.join)
        batches = Mixed(labelled, self._batches(unlabelled), job.unlabelled, len(train)) if unlabelled else labelled
        speech = Speech(job, ConcatDataset([train, unlabelled]) if unlabelled else train)
        loader = DataLoader(
            speech,
            batch_sampler=batches,
            collate_fn=speech.collate,
            num_workers=machine.workers(),
            pin_memory=self.args.dataloader_pin_memory,
        )
        return self.accelerator.prepare(loader)

    def _batches(self, utterances: Sequence[Utterance], join: int = 1) -> Batches:
        training = self.job.training
        slowest = training.augment.speed[0] if training.augment.speed else 1.0
        count = training.steps * training.accumulate * self.accelerator.num_processes
        known = speakers.known(utterances, self.job.bookkeeping.model) if join > 1 else None
        return Batches(durations(utterances), training.batch_seconds, count, training.seed, slowest, join, known)

    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        if self.job.loss is not None:
            return self.job.loss(model, inputs, self.state.global_step / self.state.max_steps)
        logits = model(inputs["input_values"], attention_mask=inputs["attention_mask"]).logits
        return ctc_loss(logits, inputs["frames"], inputs["labels"], inputs["label_lengths"], self.blank)

    def evaluate(self, *_, **__) -> dict[str, float]:
        """The error rate on dev; each process evaluates its share of the utterances."""
        from accelerate.utils import gather_object

        model = self.accelerator.unwrap_model(self.model).eval()
        dev, training = self.job.corpus.utterances("dev"), self.job.training
        chosen = drawn(dev, training.evaluate_hours, training.seed)
        share = chosen[self.accelerator.process_index :: self.accelerator.num_processes]
        counts = np.array(gather_object([dev_errors(model, self.job.processor, self.job.corpus, share)])).reshape(-1, 2)
        metrics = {f"eval_{_dev_rate(self.job)}": float(counts[:, 0].sum() / counts[:, 1].sum())}
        self.log(metrics)
        self.control: TrainerControl = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        return metrics


class Ledger(TrainerCallback):
    """Records a run's curve, time and energy (summed over resumed parts), and logs its progress."""

    def __init__(self, job: Job, folder: Path):
        self.job, self.folder = job, folder
        self.curve: list[dict] = []
        self.lost = 0  # logged losses in a row that are not numbers
        self.shown = -math.inf  # when a line was last printed
        self.warm: tuple[float, int] | None = None  # time and step of these layers' first line; the steps before it are slow
        self.before: dict[str, Any] = {"seconds": 0.0, "wh": 0.0}
        self.run: LiveRun | None = None  # only the main process has one

    def on_train_begin(self, args, state, control, **_):
        self.start_time, self.start_step = time.monotonic(), state.global_step
        if (checkpoint := self.folder / f"checkpoint-{state.global_step}").is_dir():
            saved = checkpoints.read(checkpoint)
            self.curve, self.before = saved["curve"], saved["before"]
        self.meter = energy.EnergyMeter()
        self.meter.__enter__()
        if state.is_world_process_zero:
            self.run = self.job.bookkeeping.start_run(self.job.fingerprint, self.job.settings)

    def on_step_begin(self, args, state, control, **_):
        training, always_frozen = self.job.training, self.job.features is not None
        frozen_steps = training.steps if always_frozen else training.freeze_feature_encoder_steps
        if state.global_step == self.start_step or state.global_step in dict(self.job.training.grow):
            growing.use_layers(self.job.model, self.job.training.grow, state.global_step)
            self.warm = None  # a step of more layers takes longer
        chunks.use_chunks(self.job.model, training.chunk, training.seed, state.global_step)
        if state.global_step in (self.start_step, frozen_steps):
            self._freeze_encoder(frozen=state.global_step < frozen_steps)

    def on_step_end(self, args, state, control, **_):
        control.should_log |= control.should_evaluate  # a resumed run has no sum of the losses before its checkpoint

    def on_log(self, args, state, control, logs=None, **_):
        if "loss" in logs:
            self.lost = 0 if math.isfinite(logs["loss"]) else self.lost + 1
        if self.lost and (self.lost >= MOST_LOST or not_finite(self.job.model)):
            raise BigfootError(
                f"{self.job.bookkeeping.model}: at step {state.global_step} the loss is not a number any more, "
                "the training has diverged: lower training.learning_rate"
            )
        if not state.is_world_process_zero or "train_runtime" in logs:
            return
        row = {key.removeprefix("eval_"): value for key, value in logs.items() if key != "epoch"}
        # JSON has no number for what fp16's first gradients are, and its loss for a while.
        self.curve.append({"step": state.global_step} | {k: v if math.isfinite(v) else None for k, v in row.items()})
        if self.run:
            self.run.log(state.global_step, {key: value for key, value in row.items() if math.isfinite(value)})
        now = time.monotonic()
        if now - self.shown >= progress.SECONDS or _dev_rate(self.job) in row:
            self.shown = now
            log.info("%s: %s", self.job.bookkeeping.model, self._line(state, row))

    def on_save(self, args, state, control, **_):
        PartialState().wait_for_everyone()  # each process writes a file of its own into the checkpoint
        if state.is_world_process_zero:
            newest = f"checkpoint-{state.global_step}"
            checkpoints.write(self.folder / newest, self.curve, self._spent())
            checkpoints.keep_only(self.folder, {newest, Path(state.best_model_checkpoint or newest).name})

    def on_train_end(self, args, state, control, **_):
        self.spent = self._spent()
        self.meter.__exit__(None, None, None)

    def metrics(self, trainer: Trainer) -> dict:
        best = trainer.state.best_metric
        count = sum(p.numel() for name, p in self.job.model.named_parameters() if ".int8." not in name)  # ranges, not weights
        spent = self.spent
        return {
            "trained": True, _dev_rate(self.job): best, "params": count, "steps": trainer.state.global_step,
            "best_step": trainer.state.best_global_step, "train_hours": spent["seconds"] / 3600,
            "train_energy_wh": spent["wh"], "energy_mode": self.meter.mode,
            "fingerprint": self.job.fingerprint,
        }  # fmt: skip

    def _spent(self) -> dict:
        """Seconds and Wh so far, including those before a kill; Wh is None where the meter has no reading."""
        used = self.meter.reading().wh
        return {
            "seconds": self.before["seconds"] + time.monotonic() - self.start_time,
            "wh": None if used is None or self.before["wh"] is None else self.before["wh"] + used,
        }

    def _freeze_encoder(self, frozen: bool) -> None:
        """Freeze the feature encoder, or train it; all other weights are always trained."""
        encoder = self.job.model.base_model.feature_extractor
        encoder.requires_grad_(not frozen)
        # Otherwise the model requests the waveform's gradient, and so a backward pass through the whole feature encoder.
        encoder._requires_grad = not frozen

    def _line(self, state, row: dict) -> str:
        now, step, total = time.monotonic(), state.global_step, self.job.training.steps
        since, first = self.warm = self.warm or (now, step)
        figures = " ".join(f"{k} {v:.4g}" for k, v in row.items() if k != "grad_norm")
        if step == first:
            return f"step {step}/{total} {figures}"
        seconds = (now - since) / (step - first)
        is_to_grow = any(start > step for start, _ in self.job.training.grow)  # which makes the later steps longer
        left = f"{'at least ' if is_to_grow else ''}{clock((total - step) * seconds)} left"
        return f"step {step}/{total} {figures}, {seconds:.2f} s per step, {left}"


def _trainer(job: Job, folder: Path) -> SpeechTrainer:
    t, precision = job.training, machine.precision(job.training.precision)
    os.environ["ACCELERATE_MIXED_PRECISION"] = "no" if precision == "fp32" else precision  # else accelerate's file decides
    logging.getLogger("accelerate").setLevel(logging.WARNING)
    arguments = TrainingArguments(
        output_dir=str(folder),
        max_steps=t.steps,
        gradient_accumulation_steps=t.accumulate,
        learning_rate=t.learning_rate,
        lr_scheduler_type="cosine",
        warmup_steps=round(t.warmup * t.steps),
        adam_beta2=0.98,
        max_grad_norm=1.0,
        bf16=precision == "bf16",
        fp16=precision == "fp16",
        activation_checkpointing=t.gradient_checkpointing,
        activation_checkpointing_kwargs={"use_reentrant": False},
        dataloader_pin_memory=machine.has_gpu(),
        eval_strategy="steps",
        eval_steps=t.evaluate_every,
        save_strategy="steps",
        save_steps=t.evaluate_every,
        load_best_model_at_end=True,
        restore_callback_states_from_checkpoint=True,  # patience continues its count after a resume
        metric_for_best_model=_dev_rate(job),
        greater_is_better=False,
        logging_steps=min(LOG_EVERY, t.evaluate_every),
        logging_nan_inf_filter=False,  # which logs a loss that is not a number as 0
        accelerator_config={"even_batches": False, "non_blocking": machine.has_gpu()},
        remove_unused_columns=False,
        disable_tqdm=True,
        report_to="none",
        seed=t.seed,
        ddp_find_unused_parameters=True,
        use_cpu=not machine.has_gpu(),
    )
    trainer = SpeechTrainer(job, Ledger(job, folder), args=arguments)
    trainer.args._n_gpu = min(1, trainer.args.n_gpu)  # else the Trainer copies the model to every GPU that it sees
    trainer.add_callback(checkpoints.Regularly())
    if t.patience is not None:
        from transformers import EarlyStoppingCallback

        trainer.add_callback(EarlyStoppingCallback(t.patience))
    return trainer


def _dev_rate(job: Job) -> str:
    """The name of the error rate that chooses the checkpoint: dev_wer or dev_cer."""
    return f"dev_{scoring(job.corpus.rules).objective}"


def _is_kept(callback: TrainerCallback) -> bool:
    """False for the Trainer's own progress callbacks, which would print every row a second time."""
    return type(callback).__name__ not in ("PrinterCallback", "ProgressCallback")
