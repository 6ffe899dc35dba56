"""The errors of variants on a table of your own recordings and texts, as the stage `evaluate` counts them; trains nothing.

Decision: all variants are scored on the same utterances by the text rules of the first, which variant.json has, so that their
differences are paired. Differences are to the first variant, with an interval of their own: it is narrower than the two
intervals of the error rates suggest, because what is hard for one is hard for the other.
"""

import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from pipeline.apps.transcription import variant
from pipeline.common.errors import BigfootError, one_line
from pipeline.compare import comparison
from pipeline.compare.breakdown import MOST_WORST
from pipeline.evaluate.run import score_sets
from pipeline.evaluate.scores import Hypothesis, SetScore
from pipeline.evaluate.wer import paired_interval
from pipeline.params import Evaluate
from pipeline.prepare import one_set
from pipeline.prepare.one_set import SPLIT
from pipeline.project import Project
from pipeline.recognition import seal
from pipeline.speech.corpus import Dropped, open_corpus
from pipeline.speech.scoring import OBJECTIVES, Objective, scoring

Interval = tuple[float, float]


@dataclass(frozen=True)
class Difference:
    """Error rate minus that of the first variant, as a fraction, and its 95% interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Result:
    """The scores by variant, in the order named; `differences` are to the first of them, which has none.

    `worst` numbers the utterances with the most errors of any variant, worst first; `sounds` are theirs, as FLAC files.
    """

    table: str
    objective: Objective
    scores: dict[str, SetScore]
    differences: dict[str, dict[Objective, Difference]]
    left_out: list[Dropped]
    worst: list[int]
    sounds: dict[int, bytes]

    @property
    def by_utterance(self) -> list[tuple[Hypothesis, ...]]:
        """What each variant wrote, for each utterance."""
        return list(zip(*(score.hypotheses for score in self.scores.values()), strict=True))


def evaluate(project: Project, names: Sequence[str], table: Path) -> Result:
    """Score variants, by default the last comparison's champion, on a table as for the source `folder`.

    `names`: names, folders or MLflow models. Raises BigfootError where the table or a variant can't be read, or the variants
    were made for texts of different rules.
    """
    is_variant = project.variant(project.variant_name(str(table))).is_dir()
    if is_variant or not table.exists():
        problem = "is a variant" if is_variant else "is missing"
        last = "the last argument is the table of recordings and their texts (docs/recordings.md), variants come before it"
        raise BigfootError(f"{one_line(str(table))} {problem}: {last}")
    with ExitStack() as stack:
        names = names or [_champion(project)]
        folders = [stack.enter_context(variant.opened(name, project)) for name in names]
        infos = [seal.read(folder) for folder in folders]
        for info, folder in zip(infos, folders, strict=True):
            variant.require_text_rules(info, folder)
        rules = [scoring(info) for info in infos]
        labels = [info["variant"] for info in infos]
        if len(set(labels)) < len(labels):  # of two runs, say
            labels = list(names)
        if len(set(labels)) < len(labels):
            raise BigfootError("a variant is named twice: name each once")
        for info, other in zip(infos, rules, strict=True):
            if other != rules[0]:
                raise BigfootError(
                    f"{info['variant']} writes texts by other rules than {infos[0]['variant']}: evaluate it by itself"
                )
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bigfoot-")))
        left_out = one_set.prepare(table, rules[0], scratch / "corpus")
        corpus = open_corpus(scratch / "corpus")
        scores: dict[str, SetScore] = {}
        named = {SPLIT: one_line(str(table))}
        for label, info, folder in zip(labels, infos, folders, strict=True):
            pieces = scratch / str(len(scores))
            scores |= {label: score_sets(Evaluate(), folder, info, corpus, named, rules[0], pieces)[SPLIT]}
        worst = _worst(scores, rules[0].objective)
        rows = corpus.utterances(SPLIT)
        sounds = {at: corpus.flac(rows[at]) for at in worst}
    first, *others = scores
    differences = {name: {each: _difference(scores[first], scores[name], each) for each in OBJECTIVES} for name in others}
    return Result(str(table), rules[0].objective, scores, differences, left_out, worst, sounds)


def _worst(scores: Mapping[str, SetScore], objective: Objective) -> list[int]:
    by_utterance = zip(*(score.hypotheses for score in scores.values()), strict=True)
    wrong = [max(row.counts(objective)[0] for row in rows) for rows in by_utterance]
    order = sorted(range(len(wrong)), key=lambda at: -wrong[at])
    return [at for at in order if wrong[at]][:MOST_WORST]


def _champion(project: Project) -> str:
    if not project.comparison.is_file():
        raise BigfootError(f"no variant is named, and {project.comparison}, which names the champion, is missing: name one")
    champion = comparison.champion_of(comparison.read_rows(project.comparison))
    if champion is None:
        raise BigfootError("no variant is named, and the last comparison has no champion: name one")
    return champion.variant


def _difference(first: SetScore, other: SetScore, objective: Objective) -> Difference:
    value = getattr(other, objective) - getattr(first, objective)
    return Difference(value, *paired_interval(first, other, objective))
