"""learned_trial.py SEED STEPS [layers]: gates learned for STEPS steps, then thin as it is -> errors."""
import sys, json, time
from pathlib import Path
import torch
from pipeline.common.command import log_to
from pipeline.lab import ablation
from pipeline.distill import student as S
from pipeline.distill.surgery import student as surgery, learned, importance
from pipeline.models.folder import load_model
from pipeline.params import Student
from pipeline.project import Project, load_params
from pipeline.train import trainer
from pipeline.train.job import Job
from pipeline.train.bookkeeping import Bookkeeping

log_to(sys.stdout)
seed, steps, flags = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3:]
name = "-".join(["learned", str(steps), *flags])
base = sys.argv[0] and "thin"
ablation.OUT = Path("ablation-" + name)
original = surgery.build
params, project = load_params(), Project()

def build(parent, settings, waveforms=(), scores=None):
    if settings.training is None: return original(parent, settings, waveforms, scores)
    t0 = time.time()
    surgery.build = original
    config = surgery.config_of(parent.config, settings)
    layers = surgery.kept_layers(parent.config.num_hidden_layers, settings)
    learn_layers = "layers" in flags
    if not learn_layers: parent = surgery._shallow(parent, layers)
    start = importance.measured(parent, waveforms, settings.seed)
    if "flat" in flags:
        start = importance.Importance(**{k: ([torch.zeros_like(t) for t in v] if isinstance(v, list) else torch.zeros_like(v)) for k, v in vars(start).items()})
    gates = learned.Gates(parent, config, start, len(layers) if learn_layers else None)
    gates.attach(parent)
    parent.gates = gates
    corpus = S_corpus
    store = S.LogitsStore(project.logits, corpus); audio_corpus = S.AtSpeeds(corpus, store.speeds)
    processor = S_processor
    from pipeline.distill.loss import Imitation
    from pipeline.models import vocabulary
    known = vocabulary.of(processor.tokenizer, parent.config.vocab_size)
    imitation = Imitation(settings.distillation, known.blank, None, 1)
    def loss(model, batch, done):
        gates.at(done)
        return imitation(model, batch, done)
    training = settings.training.model_copy(update={"steps": steps, "evaluate_every": steps, "learning_rate": float(next((f[2:] for f in flags if f.startswith("lr")), 1e-3))})
    bk = Bookkeeping(f"{name}_{seed}_gates", project, params.tracking)
    job = Job(parent, processor, audio_corpus, training, settings, bk.fingerprint(settings, audio_corpus, []), bk,
        teacher_logits=store.logits, loss=loss)
    out = ablation.OUT / f"gates.{seed}"
    trainer.train(job, out)
    gates.at(1.0)
    for key in ("stream", "units_0", "conv_1", "value_0"):
        g = gates.now[key]; print(key, "open", float((g > .5).float().mean()), "between .1 and .9", float(((g > .1) & (g < .9)).float().mean()))
    scores = gates.importance()
    for module in parent.modules():
        module.__dict__.pop("forward", None); module._forward_hooks.clear(); module._forward_pre_hooks.clear()
    # keep the learned order apart from the first
    measured = surgery.choose(parent.config, config, settings, start) if not learn_layers else None
    del parent.gates
    if learn_layers:
        kept = sorted(gates.now["layers"].topk(len(layers)).indices.tolist())
        print("layers", kept, gates.now["layers"].tolist())
        settings = settings.model_copy(update={"layers": kept})
        pick = lambda l: [l[i] for i in kept]
        scores = importance.Importance(scores.stream, scores.conv, pick(scores.heads), pick(scores.query), pick(scores.value), pick(scores.units))
    else:
        settings = settings.model_copy(update={"layers": list(range(len(layers)))})
    result = original(parent, settings, waveforms, scores)
    print("gates took", time.time() - t0)
    return result

import pipeline.distill.student as ds
from pipeline.speech.corpus import open_corpus
S_corpus = open_corpus(project.corpus(params.corpus.name))
_, S_processor = load_model(project.teacher)
surgery.build = build
print(name, seed, ablation.trained("thin", seed), flush=True)
