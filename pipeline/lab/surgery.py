"""What a student keeps of its teacher before any training, by each rule of choosing its parts.

    python -m pipeline.lab.surgery [SAMPLES] [UTTERANCES]

Run in a project with a trained teacher. Each student in params.yaml that is cut from it is cut SAMPLES (3) times by each rule,
each time from UTTERANCES (32) other training utterances. A row has the mean KL divergence of the teacher's frames from the
student's, in nats, on 60 training utterances that no rule has seen, with the least and the most of the samples; and, for
measured importance, the rank correlation of the scores from two samples, as the mean over all pairs of samples.
"""

import itertools
from collections.abc import Callable

import numpy as np

from pipeline.common.command import stage_main
from pipeline.common.errors import BigfootError
from pipeline.common.tables import markdown

HELD_OUT = 60


def main(samples: int = 3, utterances: int = 32) -> None:
    if samples < 2:
        raise BigfootError("SAMPLES: give 2 or more, of which pairs are compared")
    import torch

    from pipeline.distill.student import importance_audio
    from pipeline.distill.surgery import student
    from pipeline.models.folder import load_model
    from pipeline.project import Project, load_params
    from pipeline.speech.corpus import open_corpus

    params, project = load_params(), Project()
    corpus = open_corpus(project.corpus(params.corpus.name))
    train = corpus.utterances("train")
    if len(train) < HELD_OUT + samples * utterances:
        raise BigfootError(
            f"train has {len(train)} utterances, too few for {samples} samples of {utterances} and {HELD_OUT} more"
        )
    teacher, processor = load_model(project.teacher)
    shuffled = [train[int(row)] for row in np.random.default_rng(0).permutation(len(train))]
    held_out = importance_audio(corpus, processor, shuffled[:HELD_OUT])
    audio = [importance_audio(corpus, processor, shuffled[HELD_OUT + i * utterances :][:utterances]) for i in range(samples)]
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
            kl = [mean_kl(wanted, each, held_out) for each in cut]
            agreement = [rank_correlations(a, b) for a, b in itertools.combinations(scores, 2)]
            parts = [f"{value:.2f}" for value in np.mean(agreement, 0)] if rule == "measured" else [""] * 4
            rows.append([name, rule, f"{np.mean(kl):.3f} [{min(kl):.3f}, {max(kl):.3f}]", *parts])
            print(*rows[-1], sep="\t", flush=True)
    print(markdown(["student", "rule", "KL [least, most]", "stream", "heads", "units", "convolutions"], rows))


def _rules() -> dict[str, Callable]:
    """Each rule: (teacher, the student's config, its settings, audio, seed) -> Importance."""
    import torch

    from pipeline.distill.surgery import student
    from pipeline.distill.surgery.importance import Importance

    def by(rule: str) -> Callable:
        def scores(teacher, config, settings, audio, seed):
            return student.importance_of(teacher, config, settings.model_copy(update={"importance": rule}), audio)

        return scores

    def at_random(teacher, config, settings, audio, seed):
        draw = torch.Generator().manual_seed(seed)
        shapes = vars(by("position")(teacher, config, settings, audio, seed))
        drawn = {
            name: [torch.rand(len(each), generator=draw) for each in part] for name, part in shapes.items() if name != "stream"
        }
        return Importance(stream=torch.rand(len(shapes["stream"]), generator=draw), **drawn)

    return {rule: by(rule) for rule in ("measured", "weights", "position")} | {"random": at_random}


def mean_kl(wanted: list, cut, audio: list) -> float:
    """Mean KL divergence of the teacher's frames from the student's, in nats; `wanted`: the teacher's log probabilities."""
    import torch

    cut.eval()
    with torch.inference_mode():
        own = [cut(inputs).logits[0].log_softmax(-1) for inputs in audio]
    total = sum(float((a.exp() * (a - b)).sum()) for a, b in zip(wanted, own, strict=True))
    return total / sum(map(len, wanted))


def rank_correlations(first, second) -> list[float]:
    """Spearman's correlation of scores for the stream, heads, units and convolutions; means over layers."""
    from scipy.stats import spearmanr

    pairs = (
        [(first.stream, second.stream)],
        *(list(zip(getattr(first, key), getattr(second, key), strict=True)) for key in ("heads", "units", "conv")),
    )
    return [float(np.mean([spearmanr(a.numpy(), b.numpy()).statistic for a, b in part])) for part in pairs]


if __name__ == "__main__":
    stage_main(main)
