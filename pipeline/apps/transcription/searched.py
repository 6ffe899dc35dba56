"""Words with times and confidences of a beam search, from consecutive parts of a CTC model's logits.

The method, and its limits:
- The text comes first, piece by piece (pipeline.recognition.decoding). Then the likeliest path of frames through its letters is
  found (Viterbi; Graves et al. 2006), and times and confidences are read off it as off the greedy path (words.py): where both
  have the same text, they have the same times and confidences.
- A letter's confidence is therefore what the model hears, without the language model or hot words: the highest probability of
  that letter among its frames. A word that they put in place of another one is low, which is what it should warn of.
"""

import math
from collections.abc import Sequence

import numpy as np

from pipeline.apps.transcription.words import Letter, Word, WordDecoder
from pipeline.recognition.decoding import BeamDecoder, Pieces
from pipeline.recognition.recognizer import Recognizer


def word_decoder(recognizer: Recognizer, hot_words: Sequence[str] = ()) -> "WordDecoder | SearchedWords":
    """What finds the words in logits: on the greedy path, or by the variant's beam search or that of hot words."""
    search = recognizer.decoder(hot_words)
    return WordDecoder(recognizer.info) if search is None else SearchedWords(recognizer.info, search, hot_words)


class SearchedWords:
    """Logits in consecutive parts -> words; `info` is a variant.json, `decoder` that of its recognizer."""

    def __init__(self, info: dict, decoder: BeamDecoder, hot_words: Sequence[str] = ()):
        self._decoder, self._hot_words = decoder, decoder.checked(hot_words)
        self._pieces = Pieces(decoder)
        self._frame_seconds = math.prod(info["conv_strides"]) / info["sample_rate"]
        self._frames = 0  # of the pieces so far

    def decode(self, logits: np.ndarray) -> list[Word]:
        """The words of the pieces that are complete with the next frames: float32 [frames, vocab]."""
        return [word for piece in self._pieces.add(logits) for word in self._words(piece)]

    def end(self) -> list[Word]:
        """The words of the last piece."""
        return [word for piece in self._pieces.end() for word in self._words(piece)]

    def _words(self, piece: np.ndarray) -> list[Word]:
        words = self._decoder.piece_text(piece, self._hot_words).split()
        first, self._frames = self._frames, self._frames + len(piece)
        texts = self._decoder.texts
        return [self._word(word, first, spans) for word, spans in zip(words, aligned(piece, words, texts), strict=True)]

    def _word(self, word: str, first: int, spans: list[tuple[int, int, float]]) -> Word:
        """A word from the spans of its tokens in a piece that begins with the frame `first`."""
        texts = (self._decoder.texts[token] for token in _spelled(word, self._decoder.texts))
        times = ([round((first + frame) * self._frame_seconds, 3) for frame in span[:2]] for span in spans)
        letters = tuple(Letter(text, start, end) for text, (start, end) in zip(texts, times, strict=True))
        confidence = round(sum(peak for *_, peak in spans) / len(spans), 4)
        return Word(word, letters[0].start, letters[-1].end, confidence, letters=letters)


def aligned(piece: np.ndarray, words: Sequence[str], texts: Sequence[str]) -> list[list[tuple[int, int, float]]]:
    """The (first frame, end frame, highest probability) of each token of each word.

    `piece`: log probabilities [frames, texts], as many frames as the words need; `texts`: what each column writes, "" first.
    """
    if not words:
        return []
    spelled = [_spelled(word, texts) for word in words]
    tokens = [token for word in spelled for token in word]
    starts = set(np.cumsum([0, *map(len, spelled)]).tolist())  # before these tokens there is a gap between words, or an end
    gap = np.maximum(piece[:, 0], piece[:, texts.index(" ")])
    scores = np.empty((len(piece), 2 * len(tokens) + 1), dtype=np.float32)  # of the states gap, token, blank, token, ..., gap
    scores[:, 1::2] = piece[:, tokens]
    scores[:, 0::2] = piece[:, :1]
    scores[:, [2 * start for start in starts]] = gap[:, None]
    # A blank may be passed over, unless it keeps two equal letters apart. A gap between words may not.
    skips = np.zeros(scores.shape[1], dtype=bool)
    skips[3::2] = [a != b and at not in starts for at, (a, b) in enumerate(zip(tokens, tokens[1:], strict=False), 1)]
    owners = [index for index, word in enumerate(spelled) for _ in word]
    found: list[list[tuple[int, int, float]]] = [[] for _ in words]
    states = _path(scores, skips)
    for index, token in enumerate(tokens):
        frames = np.flatnonzero(states == 2 * index + 1)
        peak = math.exp(float(piece[frames, token].max()))
        found[owners[index]].append((int(frames[0]), int(frames[-1]) + 1, peak))
    return found


def _path(scores: np.ndarray, skips: np.ndarray) -> np.ndarray:
    """The likeliest state of each frame, from one of the first two states to one of the last two.

    From a frame to the next the state stays, goes on by one, or by two to a state of `skips`; scores are [frames, states].
    """
    best = np.full(scores.shape[1], -np.inf)
    best[:2] = scores[0, :2]
    steps = np.zeros(scores.shape, dtype=np.int8)
    one, two = np.full_like(best, -np.inf), np.full_like(best, -np.inf)
    for frame in range(1, len(scores)):
        one[1:] = best[:-1]
        two[2:] = np.where(skips[2:], best[:-2], -np.inf)
        options = np.stack([best, one, two])
        steps[frame] = options.argmax(0)
        best = options.max(0) + scores[frame]
    states = np.empty(len(scores), dtype=int)
    states[-1] = len(best) - 1 - (best[-2] > best[-1])
    for frame in range(len(scores) - 1, 0, -1):
        states[frame - 1] = states[frame] - steps[frame, states[frame]]
    return states


def _spelled(word: str, texts: Sequence[str]) -> list[int]:
    """The columns that write a word, the longest text first."""
    columns, at = [], 0
    while at < len(word):
        length = next(n for n in range(len(word) - at, 0, -1) if word[at : at + n] in texts)
        columns.append(texts.index(word[at : at + length]))
        at += length
    return columns
