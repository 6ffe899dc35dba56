"""Prefix beam search: the text of CTC logits with an n-gram language model, hot words, or both (extra `lm`).

The text with the highest sum is chosen: ln P(text | audio) + alpha x ln P(text) of the language model + beta x its words, and a
bonus for hot words, in parts while one is being spelled. The search is that of pyctcdecode (after Hannun et al. 2014), in
ctc-beam-decoder's C++; KenLM, which is in its wheel, reads the language model.

Decisions, and what they cost:
- What decodes a variant lies in its folder and is named in its variant.json: the language model, its two weights and the width
  of the beam. So whatever opens, scores, times or serves a variant decodes it in the same way, without a further setting.
- Tokens that write nothing (<s>, [UNK]) count as blank, as they do in greedy decoding.
- More than 30 s are decoded in pieces of up to 30 s, each cut within the longest pause of its second half, so memory does not
  grow with the recording. ctc-beam-decoder takes no state of a language model, so each piece begins as a sentence does.
- The library takes a gap after the last word for one more word, an unknown one, and then loses the right text. So with a
  language model two frames are added to each piece, in which a gap and the end of the text, as a word, are certain.
- Of each frame, tokens below e^-5 are left out, and texts more than e^10 less likely than the best (the library's defaults). A
  part of a hot word already has a part of its bonus, so with hot words the bonus is added to that.
"""

import math
import os
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.common.errors import BigfootError
from pipeline.recognition import language_model
from pipeline.recognition.language_model import END

PIECE_SECONDS = 30.0
BEAM = 64  # of hot words in a variant without a decoding
HOT_WORD_WEIGHT = 3.0  # the bonus of a whole hot word, in nats; with more, words that sound alike become it: docs/decoding.md
UNKNOWN_COST = 10.0  # of a word that the language model doesn't know: powers of ten that its probability is lower
MOST_HOT_WORDS, LONGEST_HOT_WORD = 100, 50  # of a request; letters
PRUNED = 10.0  # texts that are so much less likely than the best are left out, the library's default; hot words add their bonus
IMPOSSIBLE = math.log(1e-15)
NOT_THERE = (
    "ctc-beam-decoder, which searches with language models and hot words, is not installed: `make lm` installs the extra `lm`, "
    "on Linux x86-64 with glibc 2.35 or newer (on macOS arm64 and Windows: pip install ctc-beam-decoder)"
)


class BeamDecoder:
    """Logits -> text; `info` is a variant.json, `folder` the variant's, which has the language model if `info` names one.

    Raises BigfootError where ctc-beam-decoder is not installed or can't be loaded here, where the model writes no gaps between
    words, and where the language model can't be read.
    """

    def __init__(self, info: dict, folder: Path | None = None):
        self.texts = ["", *sorted({text for text in info["vocab"] if text})]
        self._columns = np.zeros((len(info["vocab"]), len(self.texts)), dtype=np.float32)
        for index, text in enumerate(info["vocab"]):
            self._columns[index, self.texts.index("" if index == info["blank"] else text)] = 1
        self.piece_frames = int(PIECE_SECONDS * info["sample_rate"]) // math.prod(info["conv_strides"])
        self._short_frames = self.piece_frames // 10
        decoding = info.get("decoding", {})
        self._beam, self._alpha = decoding.get("beam", BEAM), decoding.get("alpha", 0.0)
        if " " not in self.texts:
            raise BigfootError(
                "the model writes no gaps between words, and language models and hot words need words: leave them out"
            )
        path = folder / decoding["file"] if folder and decoding else None
        self._known = set(language_model.words(path)) if path else None  # words of the language model
        self._search = _search(self.texts, path, self._known, decoding)

    def text(self, logits: np.ndarray, hot_words: Sequence[str] = (), weight: float = HOT_WORD_WEIGHT) -> str:
        """The text of a recording's logits [frames, vocab]; `hot_words` as `checked` returns them."""
        pieces = Pieces(self)
        texts = [self.piece_text(piece, hot_words, weight) for piece in (*pieces.add(logits), *pieces.end())]
        return " ".join(" ".join(texts).split())

    def piece_text(self, piece: np.ndarray, hot_words: Sequence[str] = (), weight: float = HOT_WORD_WEIGHT) -> str:
        """The text of log probabilities [frames, texts], one or more frames that are decoded together."""
        hot = {word for phrase in hot_words for word in phrase.split()} if weight else set()
        unknown = set() if self._known is None else hot - self._known
        known = hot - unknown
        if unknown and known and (stop := self._short(piece)):
            parts = (self.piece_text(part, hot_words, weight) for part in (piece[:stop], piece[stop:]))
            return " ".join(filter(None, parts))
        bonuses = dict.fromkeys(known, weight) | dict.fromkeys(unknown, weight + self._alpha * UNKNOWN_COST * math.log(10))
        # The library gives all hot words of a search the same bonus, so each kind has a search: the best text of both is taken.
        # A text that needs hot words of both kinds is found only if one search keeps it in its beam, which a short piece makes
        # likely.
        searched = [words for words in (known, unknown) if words] or [hot]
        frames = piece if self._known is None else self._ended(piece)
        found = (each for words in searched for each in self._found(frames, words, bonuses))
        _, best = max(found, key=lambda each: each[0], default=(0.0, []))
        return " ".join(word for word in best if word != END)

    def _short(self, piece: np.ndarray) -> int | None:
        """Where a piece is cut into shorter ones: between words, after 3 s or as soon as there is such a place."""
        ends = range(self._short_frames, len(piece), self._short_frames)
        return next((stop for end in ends if (stop := self._pause(piece[:end], between_words=True))), None)

    def _found(self, frames: np.ndarray, hot: set[str], bonuses: dict[str, float]) -> Iterator[tuple[float, list[str]]]:
        """The sum and the words of each text that is found with these hot words; its sum has the bonuses of all."""
        bonus = max((bonuses[word] for word in hot), default=0.0)
        beams = self._search.decode_beams(frames, self._beam, -PRUNED - bonus, hotwords=sorted(hot), hotword_weight=bonus)
        for text, _, _, _, total in beams:
            words = text.split()
            yield total + sum(bonuses.get(word, 0.0) for word in words if word not in hot), words

    def _ended(self, piece: np.ndarray) -> np.ndarray:
        """The piece with a column of END more, and with the two frames that end the text."""
        ended = np.full((len(piece) + 2, len(self.texts) + 1), IMPOSSIBLE, dtype=np.float32)
        ended[:-2, :-1] = piece
        ended[-2, self.texts.index(" ")] = ended[-1, -1] = 0.0
        return ended

    def log_probs(self, logits: np.ndarray) -> np.ndarray:
        """Logits [frames, vocab] -> the log probability of writing each of `texts`, "" first: float32 [frames, texts]."""
        odds = np.exp(logits - logits.max(-1, keepdims=True))
        shares = odds / odds.sum(-1, keepdims=True) @ self._columns
        return np.log(np.maximum(shares, 1e-15)).astype(np.float32)

    def checked(self, hot_words: Iterable[str]) -> list[str]:
        """Hot words in the letters that the model writes, whose case is taken over.

        Raises BigfootError where they are too many or too long, or one has a letter that the model doesn't write.
        """
        if isinstance(hot_words, str):
            raise BigfootError(f"hot words are a list, not a string: give [{hot_words!r}]")
        words = [str(word) for word in hot_words]
        if len(words) > MOST_HOT_WORDS:
            raise BigfootError(f"{len(words)} hot words, more than the {MOST_HOT_WORDS} accepted: leave some out")
        return [self._in_letters(word) for word in words]

    def _in_letters(self, word: str) -> str:
        if not word.strip() or len(word) > LONGEST_HOT_WORD:
            raise BigfootError(f"hot word {word[:LONGEST_HOT_WORD]!r}: has to have 1 to {LONGEST_HOT_WORD} letters")
        letters = set("".join(self.texts))
        composed, apart = (unicodedata.normalize(form, word) for form in ("NFC", "NFD"))
        forms = (case(each) for each in (word, composed, apart) for case in (str, str.lower, str.upper))
        written = min(forms, key=lambda form: len(set(form) - letters))
        if lacking := sorted(set(written) - letters):
            raise BigfootError(
                f"hot word {word!r}: the model doesn't write {lacking[0]!r}, only {' '.join(sorted(letters - {' '}))}"
            )
        return written

    def cut(self, piece: np.ndarray) -> int:
        """The frame at which log probabilities [frames, texts] are cut: within the longest pause of their second half, if there
        is one between words."""
        return self._pause(piece, between_words=True) or self._pause(piece, between_words=False) or len(piece)

    def _pause(self, piece: np.ndarray, between_words: bool) -> int | None:
        """The middle of the longest pause in the second half, None without one; `between_words`: with a frame of the gap."""
        half, gap = len(piece) // 2, self.texts.index(" ")
        best = piece[half:].argmax(-1)
        edges = np.flatnonzero(np.diff(np.isin(best, (0, gap)), prepend=False, append=False)).tolist()
        pauses = list(zip(edges[::2], edges[1::2], strict=True))
        if between_words:
            pauses = [(start, stop) for start, stop in pauses if gap in best[start:stop]]
        if not pauses:
            return None
        start, stop = max(pauses, key=lambda pause: pause[1] - pause[0])
        return half + (start + stop + 1) // 2


class Pieces:
    """Consecutive logits of a recording [frames, vocab] -> its pieces, the log probabilities that are decoded together."""

    def __init__(self, decoder: BeamDecoder):
        self._decoder = decoder
        self._rest = np.zeros((0, len(decoder.texts)), dtype=np.float32)

    def add(self, logits: np.ndarray) -> Iterator[np.ndarray]:
        """The pieces that are complete with these frames."""
        self._rest = np.concatenate([self._rest, self._decoder.log_probs(logits)]) if len(logits) else self._rest
        while len(self._rest) > self._decoder.piece_frames:
            stop = self._decoder.cut(self._rest[: self._decoder.piece_frames])
            piece, self._rest = self._rest[:stop], self._rest[stop:]
            yield piece

    def end(self) -> Iterator[np.ndarray]:
        """The last piece, if there are frames."""
        if len(self._rest):
            yield self._rest
        self._rest = self._rest[:0]


def is_installed() -> bool:
    return find_spec("ctc_beam_decoder") is not None


def require_installed() -> None:
    """Raise BigfootError, with what to do, where ctc-beam-decoder is not installed."""
    if not is_installed():
        raise BigfootError(NOT_THERE)


def _search(texts: list[str], path: Path | None, known: set[str] | None, weights: dict) -> Any:
    """ctc-beam-decoder's object for these texts, with the language model at `path`, which knows these words."""
    require_installed()
    from ctc_beam_decoder import BeamSearchDecoder

    model: dict[str, Any] = {}
    if known is not None:
        texts = [*texts, END]
        model = {"kenlm_model_path": path, "unigrams": [*sorted(known), END], "unk_score_offset": -UNKNOWN_COST}
        model |= {key: weights[key] for key in ("alpha", "beta")}
    try:
        with _hushed() if model else nullcontext():
            search = BeamSearchDecoder(texts, **model)
    except OSError as error:  # such as a glibc that is older than the library's
        reason = " ".join(str(error).split())[:200]
        raise BigfootError(f"{NOT_THERE}; here it can't be loaded ({reason})") from None
    except (ValueError, RuntimeError) as error:
        fault = f"{path} can't be read as a language model" if path else "ctc-beam-decoder doesn't take the model's tokens"
        raise BigfootError(f"{fault} ({' '.join(str(error).split())[:200]})") from None
    if (search.n_columns, search.blank_id) != (len(texts), 0):  # it takes a letter such as _ for something else
        raise BigfootError(f"ctc-beam-decoder misreads one of the model's tokens: {' '.join(texts[1:])}: decode greedily")
    return search


@contextmanager
def _hushed() -> Iterator[None]:
    """Keep KenLM's progress bar, which C++ writes, off stderr."""
    kept, nothing = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nothing)
