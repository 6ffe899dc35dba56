"""What a student keeps of its teacher before any training, by each rule of choosing its parts.

    python -m pipeline.lab.surgery [SAMPLES] [UTTERANCES]

Run in a project with a trained teacher. For each student in params.yaml that is cut from it, and each rule, the student is cut
SAMPLES (3) times, each time from UTTERANCES (32) other training utterances and another seed. A row has the mean KL divergence
of the teacher's frames from the student's on 60 training utterances that no rule has seen, in nats, with the least and the
most of the samples; and, for measured importance, the mean rank correlation of scores between each two samples.
"""

import itertools
import sys
from collections.abc import Callable

import numpy as np

from pipeline.common.command import stage_main
from pipeline.common.tables import markdown

HELD_OUT = 60


def main(samples: str = "3", utterances: str = "32") -> None:
    import torch

    from pipeline.distill.surgery import student
    from pipeline.models.folder import load_model
    from pipeline.project import Project, load_params
    from pipeline.speech.corpus import open_corpus

    params, project = load_params(), Project()
    corpus = open_corpus(project.corpus(params.corpus.name))
    teacher, processor = load_model(project.teacher)
    order = np.random.default_rng(0).permutation(len(corpus.utterances("train")))
    held_out = _inputs(corpus, processor, order[:HELD_OUT])
    audio = [
        _inputs(corpus, processor, order[HELD_OUT + i * int(utterances) :][: int(utterances)]) for i in range(int(samples))
    ]
    with torch.inference_mode():
        wanted = [teacher(inputs).logits[0].log_softmax(-1) for inputs in held_out]
    rows, rules = [], _rules()
    for name, settings in params.students.items():
        if settings.parent != "teacher":
            continue
        config = student.config_of(teacher.config, settings)
        for rule, scores_of in rules.items():
            scores = [scores_of(teacher, config, settings, sample, seed) for seed, sample in enumerate(audio)]
            cut = (student.build(teacher, settings, sample, each)[0] for sample, each in zip(audio, scores, strict=True))
            kl = [_kl(wanted, each, held_out) for each in cut]
            agreement = [_rank_correlations(a, b) for a, b in itertools.combinations(scores, 2)]
            parts = [f"{value:.2f}" for value in np.mean(agreement, 0)] if np.std(kl) and rule != "random" else [""] * 4
            rows.append([name, rule, f"{np.mean(kl):.3f} [{min(kl):.3f}, {max(kl):.3f}]", *parts])
            print(*rows[-1], sep="\t", flush=True)
    print(markdown(["student", "rule", "KL [least, most]", "stream", "heads", "units", "convolutions"], rows))


def _rules() -> dict[str, Callable]:
    """Each rule: (teacher, the student's config, its settings, audio, seed) -> Importance."""
    import torch

    from pipeline.distill.surgery import importance, student

    def by(rule: str) -> Callable:
        def scores(teacher, config, settings, audio, seed):
            return student.importance_of(teacher, config, settings.model_copy(update={"importance": rule}), audio)

        return scores

    def at_random(teacher, config, settings, audio, seed):
        draw = torch.Generator().manual_seed(seed)
        scores = importance.of_position(teacher, student.kept_layers(teacher.config.num_hidden_layers, settings))
        lists = {key: [torch.rand(len(x), generator=draw) for x in getattr(scores, key)] for key in ("conv", "heads", "query", "value", "units")}
        return importance.Importance(stream=torch.rand(len(scores.stream), generator=draw), **lists)

    return {"weights": by("weights"), "position": by("position"), "random": at_random} | _tried()


def _tried() -> dict[str, Callable]:
    """Ways to measure that lost."""
    from pipeline.distill.surgery import importance, student

    def way(depth_first: bool, stream: str) -> Callable:
        known: dict = {}

        def scores(teacher, config, settings, audio, seed):
            layers = student.kept_layers(teacher.config.num_hidden_layers, settings)
            if (tuple(layers), seed) not in known:
                known[tuple(layers), seed] = fresh(teacher, layers, audio, seed)
            return known[tuple(layers), seed]

        def fresh(teacher, layers, audio, seed):
            if depth_first:
                return importance.measured(student._shallow(teacher, layers), audio, seed, stream)
            whole = importance.measured(teacher, audio, seed, stream)
            lists = {key: [getattr(whole, key)[i] for i in layers] for key in ("heads", "query", "value", "units")}
            return importance.Importance(stream=whole.stream, conv=whole.conv, **lists)

        return scores

    return {
        f"{'depth first' if first else 'whole'}, {stream}": way(first, stream)
        for first in (False, True)
        for stream in ("output", "written")
    }


def _inputs(corpus, processor, rows) -> list:
    """These training utterances as model inputs, each [1, samples]."""
    import torch

    from pipeline.speech.audio import SAMPLE_RATE

    train = corpus.utterances("train")
    waveforms = (corpus.audio(train[int(row)]) for row in rows)
    extracted = (processor.feature_extractor(waveform, sampling_rate=SAMPLE_RATE) for waveform in waveforms)
    return [torch.from_numpy(inputs.input_values[0])[None] for inputs in extracted]


def _kl(wanted: list, cut, audio: list) -> float:
    """Mean KL divergence of the teacher's frames from the student's, in nats; `wanted`: the teacher's log probabilities."""
    import torch

    cut.eval()
    with torch.inference_mode():
        own = [cut(inputs).logits[0].log_softmax(-1) for inputs in audio]
    total = sum(float((a.exp() * (a - b)).sum()) for a, b in zip(wanted, own, strict=True))
    return total / sum(map(len, wanted))


def _rank_correlations(first, second) -> list[float]:
    """Spearman's correlation of scores for the stream, heads, units and convolutions; means over layers."""
    from scipy.stats import spearmanr

    pairs = ([(first.stream, second.stream)], *(list(zip(getattr(first, key), getattr(second, key), strict=True)) for key in ("heads", "units", "conv")))
    return [float(np.mean([spearmanr(a.numpy(), b.numpy()).statistic for a, b in part])) for part in pairs]


if __name__ == "__main__":
    stage_main(main)
