"""Forced alignment: the times of the words and characters of a known text in a recording, by a variant's own logits.

The text is spelled by the rules of the corpus that the variant comes from (numbers as words, case, punctuation), and the words
keep their own form: "12" gets the time in which "twelve" is spoken. torchaudio finds the likeliest path of frames through that
spelling (Graves et al. 2006, CTC; the search is Viterbi's). A word that can't be spelled, such as "5%" where numbers are kept,
matches any sound, and has no score.

Decision: one search for a whole recording of up to some 10 minutes, so that no seam can go wrong; longer ones are cut first
(anchors.py). CTC writes a character in one or two frames within the sound that it stands for, so ends come early.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from pipeline.common.errors import BigfootError
from pipeline.models.vocabulary import Vocabulary
from pipeline.speech.normalization import TextRules, normalize


@dataclass(frozen=True)
class Character:
    """A character as it was spelled, with its start and end in seconds."""

    character: str
    start: float
    end: float


@dataclass(frozen=True)
class AlignedWord:
    """A word of the text as given, its start and end in seconds, its characters, and its score.

    `score` is the geometric mean of its characters' probabilities: near 1 where the word is what was spoken, near 0 where it is
    not. None: it can't be spelled.
    """

    word: str
    start: float
    end: float
    score: float | None
    characters: list[Character]

    def later(self, seconds: float) -> "AlignedWord":
        """The same word, so many seconds later."""

        def moved(item, **changes):
            return replace(item, start=round(item.start + seconds, 3), end=round(item.end + seconds, 3), **changes)

        return moved(self, characters=[moved(character) for character in self.characters])


def spelled(text: str, rules: TextRules, language: str) -> list[tuple[str, str]]:
    """The words of a text, each with its spelling; a word that is silent ("-" where punctuation is dropped) is left out.

    Where the rules change several words together ("0170 1234", or `replace`), these are spelled as in the whole text, and have
    their own form as long as their number stays the same; all others keep theirs.
    """
    words = [(word, spelling) for word in text.split() if (spelling := normalize(word, rules, language))]
    whole = normalize(text, rules, language).split()
    places = _places([token for _, spelling in words for token in spelling.split()], whole)
    found: list[tuple[str, str]] = []
    changed: list[str] = []  # words since the last one that is in the whole text as it is by itself
    at = done = 0
    for word, spelling in words:
        count = len(spelling.split())
        place, at = places[at : at + count], at + count
        if None not in place and place[-1] - place[0] == count - 1:
            found += [*_together(changed, whole[done : place[0]]), (word, spelling)]
            changed, done = [], place[-1] + 1
        else:
            changed.append(word)
    return found + _together(changed, whole[done:])


def _places(tokens: list[str], whole: list[str]) -> list:
    """Where in `whole` each token is, None where it isn't; both are in the same order."""
    from rapidfuzz.distance import Levenshtein

    places: list[int | None] = [None] * len(tokens)
    for block in Levenshtein.opcodes(tokens, whole):
        if block.tag == "equal":
            places[block.src_start : block.src_end] = range(block.dest_start, block.dest_end)
    return places


def _together(words: list[str], spellings: list[str]) -> list[tuple[str, str]]:
    return list(zip(words if len(words) == len(spellings) else spellings, spellings, strict=True))


def align(
    logits: np.ndarray,
    words: Sequence[tuple[str, str]],
    vocabulary: Vocabulary,
    frame_seconds: float,
    goes_on: bool = False,
) -> list[AlignedWord]:
    """Words with their spellings, aligned with logits [frames, vocab] of `frame_seconds` each.

    `goes_on`: whether the text goes on after these frames, so that they end with the gap before the next word.

    Raises BigfootError where there are more characters than frames.
    """
    import torch
    from torchaudio.functional import forced_align, merge_tokens

    if not words:
        return []
    star = logits.shape[1]  # the token that any sound matches
    tokens, owners = _tokens(words, vocabulary, star, goes_on)
    needed = len(tokens) + sum(a == b for a, b in zip(tokens, tokens[1:], strict=False))
    if needed > len(logits):
        raise BigfootError(
            f"the text needs {needed:,} frames, and the recording has {len(logits):,} of {1000 * frame_seconds:g} ms: "
            "is it the transcript of this recording?"
        )
    log_probs = torch.from_numpy(logits).float().log_softmax(-1)
    log_probs = torch.cat([log_probs, torch.zeros(len(logits), 1)], 1)[None]
    path, scores = forced_align(log_probs, torch.tensor([tokens], dtype=torch.int32), blank=vocabulary.blank)
    spans = merge_tokens(path[0], scores[0], vocabulary.blank)
    found: list[list] = [[] for _ in words]
    for owner, span in zip(owners, spans, strict=True):
        if owner is not None:
            found[owner].append(span)
    return [_word(word, of_word, vocabulary, star, frame_seconds) for (word, _), of_word in zip(words, found, strict=True)]


def _tokens(
    words: Sequence[tuple[str, str]], vocabulary: Vocabulary, star: int, goes_on: bool
) -> tuple[list[int], list[int | None]]:
    """The tokens of all words and of the gaps after them, and the word that each belongs to, None for a gap."""
    gap = vocabulary.spell(" ") if " " in vocabulary.texts else []
    tokens: list[int] = []
    owners: list[int | None] = []
    for number, (_, spelling) in enumerate(words):
        own = [star] if vocabulary.lacking([spelling]) else vocabulary.spell(spelling)
        after = gap if goes_on or number + 1 < len(words) else []
        tokens += [*own, *after]
        owners += [*([number] * len(own)), *([None] * len(after))]
    return tokens, owners


def _word(word: str, spans: list, vocabulary: Vocabulary, star: int, frame_seconds: float) -> AlignedWord:
    def seconds(frame: int) -> float:
        return round(frame * frame_seconds, 3)

    start, end = seconds(spans[0].start), seconds(spans[-1].end)
    if spans[0].token == star:
        return AlignedWord(word, start, end, None, [])
    characters = [Character(vocabulary.texts[span.token], seconds(span.start), seconds(span.end)) for span in spans]
    score = math.exp(sum(span.score for span in spans) / len(spans))
    return AlignedWord(word, start, end, round(score, 4), characters)
