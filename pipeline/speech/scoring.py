"""How recognized text is scored: the objective of a corpus (wer or cer), what is replaced first, and the count of errors.

Whatever decides (checkpoints, int8 within a budget, the gate, the champion) reads the objective from corpus.json, so all decide
by the same error rate: that of words or, for scripts without gaps between words, that of characters.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from pipeline.speech.normalization import TextRules, replace_in_hypothesis
from pipeline.speech.replacement import SPACELESS

Objective = Literal["wer", "cer"]
OBJECTIVES: tuple[Objective, Objective] = ("wer", "cer")
UNITS: dict[Objective, str] = {"wer": "words", "cer": "characters"}  # what an error rate counts


class Counts(NamedTuple):
    """The errors of a hypothesis by kind, and the length of its reference, in words or in characters."""

    substitutions: int
    deletions: int
    insertions: int
    length: int

    @property
    def errors(self) -> int:
        return self.substitutions + self.deletions + self.insertions


def count_errors(reference: str, hypothesis: str, objective: Objective = "wer") -> Counts:
    """The fewest errors that explain the hypothesis, as jiwer counts them; all of it is inserted where the reference is ""."""
    import jiwer

    found = (jiwer.process_words if objective == "wer" else jiwer.process_characters)(reference, hypothesis)
    length = found.hits + found.substitutions + found.deletions
    return Counts(found.substitutions, found.deletions, found.insertions, length)


@dataclass(frozen=True)
class Scoring:
    """How the hypotheses of one corpus are scored."""

    objective: Objective
    rules: TextRules
    language: str

    def written(self, hypothesis: str) -> str:
        """A hypothesis as it is scored: after the user's table where corpus.text.replace_hypotheses says so."""
        if not self.rules.replace_hypotheses:
            return hypothesis
        return replace_in_hypothesis(hypothesis, self.rules, self.language)

    def errors(self, pairs: Iterable[tuple[str, str]]) -> tuple[int, int]:
        """(errors, length of the references) of pairs of a reference and a hypothesis, in words or characters: its unit."""
        errors = length = 0
        for reference, hypothesis in pairs:
            counted = count_errors(reference, self.written(hypothesis), self.objective)
            errors, length = errors + counted.errors, length + counted.length
        return errors, length


def scoring(info: Mapping[str, Any]) -> Scoring:
    """The scoring of a corpus.json; one of an older Bigfoot is English and scored by words."""
    return Scoring(info.get("objective", "wer"), TextRules(**info.get("text", {})), info.get("language", "en"))


def has_word_gaps(texts: Iterable[str]) -> bool:
    """Whether gaps separate the words of these texts, so that wrong words can be counted.

    False for scripts without them (Chinese, Japanese, Thai, Khmer ...) with more than six characters between two gaps, which
    is beyond the length of their words, and for 20 characters in any script.
    """
    words = [word for text in texts for word in text.split()]
    characters = sum(map(len, words))
    spaceless = sum(len(re.findall(f"[{SPACELESS}]", word)) for word in words)
    return characters <= (6 if spaceless > characters / 2 else 20) * len(words)
