"""Trials of settings that the pipeline doesn't have: python -m pipeline.lab.trial TRIAL [SEEDS] [STUDENT...]

TRIAL is "whole-output" ... (how importance is measured), "lsq" (gradients of int8 ranges), "norms" (what the gradient clip
sees) or "average" (running averages of the weights beside the weights themselves). Results: ablation-TRIAL.
"""

import copy
import json
import sys
from pathlib import Path

import torch
from transformers import TrainerCallback

from pipeline.common.command import stage_main
from pipeline.distill import fake_int8
from pipeline.distill.surgery import student
from pipeline.lab import ablation, surgery
from pipeline.models.inference import dev_errors
from pipeline.train import trainer

DECAYS = (0.98, 0.995)


def main(trial: str, seeds: str = "3", *names: str) -> None:
    ablation.OUT = Path(f"ablation-{trial}")
    {"whole": whole, "first": whole, "lsq": lsq, "norms": norms, "average": average}[trial.partition("-")[0]](trial)
    ablation.main(seeds, *names)


def whole(trial: str) -> None:
    way = surgery._tried()[trial.replace("first", "depth first").replace("-", ", ")]
    student.importance_of = lambda parent, config, settings, audio: way(parent, config, settings, audio, settings.seed)


class Scaled(torch.autograd.Function):
    @staticmethod
    def forward(ctx, value, scale):
        ctx.scale = scale
        return value.clone()

    @staticmethod
    def backward(ctx, gradient):
        return gradient * ctx.scale, None


def lsq(trial: str) -> None:
    def forward(self, signal):
        scale = (signal.numel() * (fake_int8.LEVELS - 1)) ** -0.5
        low, high = (Scaled.apply(end, scale) for end in (self.low, self.high))
        step, zero = fake_int8.grid(low, high)
        return (fake_int8._round(signal.float() / step) + zero).clamp(0, fake_int8.LEVELS - 1).sub(zero).mul(step)

    fake_int8.Rounded.forward = forward


def norms(trial: str) -> None:
    """Print the gradient norms of the ranges' ends and of all weights, before the clip, at each 10th step."""

    class Norms(TrainerCallback):
        def on_pre_optimizer_step(self, args, state, control, model=None, **_):
            pass

    original = trainer.SpeechTrainer.training_step

    def training_step(self, model, inputs, *rest):
        loss = original(self, model, inputs, *rest)
        if self.state.global_step % 10 == 0:
            groups = {True: 0.0, False: 0.0}
            for name, weight in model.named_parameters():
                if weight.grad is not None:
                    groups[".int8." in name] += float(weight.grad.square().sum())
            print("norms", self.state.global_step, f"ranges {groups[True] ** 0.5:.4f} weights {groups[False] ** 0.5:.4f}", flush=True)
        return loss

    trainer.SpeechTrainer.training_step = training_step


def average(trial: str) -> None:
    """Beside the training: running averages of the weights, measured on dev like them; errors of each one's best."""
    results = {}

    class Average(TrainerCallback):
        def __init__(self):
            self.means, self.best = {}, {}

        def on_step_end(self, args, state, control, model=None, **_):
            if not self.means:
                self.means = {decay: copy.deepcopy(model.state_dict()) for decay in DECAYS}
            own = model.state_dict()
            for decay, mean in self.means.items():
                part = 1 - min(decay, (1 + state.global_step) / (10 + state.global_step))
                for name, value in mean.items():
                    if value.is_floating_point():
                        value.lerp_(own[name], part)

    evaluate, init = trainer.SpeechTrainer.evaluate, trainer.SpeechTrainer.__init__

    def new_init(self, *args, **kwargs):
        init(self, *args, **kwargs)
        self.average = Average()
        self.add_callback(self.average)
        results[self.job.bookkeeping.model] = self.average

    def new_evaluate(self, *args, **kwargs):
        metrics = evaluate(self, *args, **kwargs)
        own = copy.deepcopy(self.model.state_dict())
        for decay, mean in self.average.means.items():
            self.model.load_state_dict(mean)
            errors, words = dev_errors(self.model.eval(), self.job.processor, self.job.corpus, self.job.corpus.utterances("dev"))
            if decay not in self.average.best or errors < self.average.best[decay][0]:
                self.average.best[decay] = (errors, words, self.state.global_step, copy.deepcopy(mean))
        self.model.load_state_dict(own)
        return metrics

    trainer.SpeechTrainer.__init__, trainer.SpeechTrainer.evaluate = new_init, new_evaluate
    train = ablation.trained

    def trained(name, seed):
        known = ablation.OUT / f"{name}.{seed}/averages.json"
        found = train(name, seed)
        if known.is_file():
            return found | json.loads(known.read_text())
        from pipeline.models.folder import load_model
        from pipeline.project import Project, load_params
        from pipeline.speech.corpus import open_corpus

        params, project = load_params(), Project()
        corpus = open_corpus(project.corpus(params.corpus.name))
        model, processor = load_model(ablation.OUT / f"{name}.{seed}")
        more = {}
        for decay, (errors, words, step, weights) in results[f"{name}_{seed}"].best.items():
            model.load_state_dict(weights)
            counts = [dev_errors(model.eval(), processor, corpus, corpus.utterances(s)) for s in ("gate", *corpus.test_sets)]
            more[f"{decay} dev"] = [errors, words, step]
            more[f"{decay} gate and test"] = [sum(e for e, _ in counts), sum(n for _, n in counts)]
        known.write_text(json.dumps(more))
        return found | more

    ablation.trained = trained


if __name__ == "__main__":
    stage_main(main)
