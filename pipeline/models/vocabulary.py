"""What each output of a CTC head writes, and how a text is spelled with it.

It is read once, from the tokenizer's files of a model folder or of the hub, checked against the head, and used by loss, dev
WER, variants and examples alike. Special tokens of any name, and ids without a token, write nothing. A token of several
characters (`sch`) is spelled by longest match. Vocabularies whose texts can't be spelled so are refused: word pieces
(SentencePiece, BPE) and phonemes.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property

from pipeline.common import shapes
from pipeline.common.errors import BigfootError

Json = Callable[[str], dict | None]  # a file's name -> its content; None where there is no such file
_SPECIAL = ("pad_token", "unk_token", "bos_token", "eos_token")
_LISTS = ("additional_special_tokens", "extra_special_tokens")
_GAPS = ("|", " ", "\u2581", "<space>", "[SPACE]")  # word delimiters of tokenizers that name none, or one that isn't there
_BRACKETED = re.compile(r"<.+>|\[.+\]")  # [UNK], <noise>: special whether or not a file says so
_PIECE = "\u2581"  # SentencePiece's mark of a word's start


@dataclass(frozen=True)
class Vocabulary:
    """`texts`: what each id writes, "" for nothing, " " between words; `blank`: the id of CTC's blank.

    The names are for a tokenizer with this vocabulary. `names`: {token: id} of the blank, the unknown token, the word delimiter
    and all tokens that write something, as they stand in vocab.json; `blank_name`, `unknown_name` and `gap_name` are among
    them, None where there is none.
    """

    texts: tuple[str, ...]
    blank: int
    names: dict[str, int] = field(default_factory=dict)
    blank_name: str | None = None
    unknown_name: str | None = None
    gap_name: str | None = None

    def spell(self, text: str) -> list[int]:
        """The ids of a text, the longest token first; raises BigfootError for a character that no token begins with."""
        ids = []
        for piece, index in self._pieces(text):
            if index is None:
                raise BigfootError(f"the model's vocabulary can't spell {piece!r} in {text!r}: change corpus.text")
            ids.append(index)
        return ids

    def lacking(self, texts: Iterable[str]) -> list[str]:
        """The characters at which `spell` would stop in any of the texts, sorted: `s` of "das", where there is only `sch`."""
        return sorted({piece for text in texts for piece, index in self._pieces(text) if index is None})

    def _pieces(self, text: str) -> Iterator[tuple[str, int | None]]:
        """The text in pieces, each the longest that a token writes, with its id; None for a character that none begins with."""
        at = 0
        while at < len(text):
            for length in range(min(self._longest, len(text) - at), 0, -1):
                if (index := self._id_of.get(text[at : at + length])) is not None:
                    break
            else:
                length, index = 1, None
            yield text[at : at + length], index
            at += length

    @cached_property
    def _id_of(self) -> dict[str, int]:
        return {text: index for index, text in reversed(list(enumerate(self.texts))) if text}

    @cached_property
    def _longest(self) -> int:
        return max(map(len, self._id_of), default=0)


def read(json: Json, size: int, blank: int | None, where: str, language: str | None = None) -> Vocabulary:
    """The vocabulary of a model with `size` outputs.

    `blank`: pad_token_id of config.json, which the tokenizer's has to equal; `language`: which vocabulary, where there is one
    per language, as in MMS. Raises BigfootError where there is no vocabulary, or it doesn't fit.
    """
    settings = json("tokenizer_config.json") or {}
    if "Phoneme" in str(settings.get("tokenizer_class")):
        raise BigfootError(f"{where} writes phonemes ({settings['tokenizer_class']}), which Bigfoot can't score: {_OWN}")
    ids = _ids(json, where, language)
    names = _special_names(json, settings)
    special = set(names.values()) | _marked_special(json, settings) | set(filter(_BRACKETED.fullmatch, ids))
    blank = _blank(ids, names, blank, size, where)
    delimiter = next((name for name in (_content(settings.get("word_delimiter_token")), *_GAPS) if name in ids), None)
    gap = delimiter if delimiter is not None and ids[delimiter] < size else None
    tokens = {name: index for name, index in ids.items() if name not in special and index != blank and name != delimiter}
    if beyond := sorted(name for name, index in tokens.items() if not 0 <= index < size):
        raise BigfootError(f"{where}: token {beyond[0]!r} has id {ids[beyond[0]]}, but the head has {size} outputs")
    if pieces := sorted(name for name in tokens if _PIECE in name):
        raise BigfootError(f"{where} writes word pieces such as {pieces[0]!r}, which Bigfoot can't spell: {_OWN}")
    if settings.get("do_lower_case"):
        tokens = _lowered(tokens, where)
    texts = [""] * size
    for name, index in tokens.items():
        if texts[index]:
            raise BigfootError(f"{where}: tokens {texts[index]!r} and {name!r} have the same id {index}: correct vocab.json")
        texts[index] = name
    if gap is not None:
        if texts[ids[gap]].strip():
            raise BigfootError(
                f"{where}: tokens {gap!r} and {texts[ids[gap]]!r} have the same id {ids[gap]}: correct vocab.json"
            )
        texts[ids[gap]] = " "
    blank_name = next((name for name, index in ids.items() if index == blank), "<pad>")
    unknown = names.get("unk_token")
    unknown = unknown if unknown in ids and ids[unknown] < size else None
    kept = {blank_name: blank} | {name: ids[name] for name in (unknown, gap) if name is not None} | tokens
    return Vocabulary(tuple(texts), blank, kept, blank_name, unknown, gap)


def of(tokenizer, size: int) -> Vocabulary:
    """The vocabulary of a Wav2Vec2CTCTokenizer that Bigfoot made, for a head with `size` outputs."""
    settings = {key: getattr(tokenizer, key) for key in (*_SPECIAL, "word_delimiter_token")}
    files = {"vocab.json": tokenizer.get_vocab(), "tokenizer_config.json": settings}
    return read(files.get, size, None, "the model")


_OWN = "set teacher.alphabet to corpus and fine-tune it"


def _ids(json: Json, where: str, language: str | None) -> dict[str, int]:
    """{token: id}, of vocab.json, or of tokenizer.json where there is no vocab.json."""
    file, vocab = "vocab.json", json("vocab.json")
    if vocab is None:
        file, vocab = "tokenizer.json", _of_tokenizer_json(json("tokenizer.json"), where)
    elif any(isinstance(ids, dict) for ids in vocab.values()):
        if language not in vocab:
            known = ", ".join(sorted(vocab)[:10]) + (", ..." if len(vocab) > 10 else "")
            asked = f"has no vocabulary of language {language}" if language else "has one vocabulary per language"
            raise BigfootError(f"{where} {asked}: set teacher.target_lang to one of the {len(vocab)}: {known}")
        vocab = vocab[language]
    added = json("added_tokens.json") or {}
    ids = vocab | {name: index for name, index in added.items() if name not in vocab} if isinstance(vocab, dict) else {}
    found = shapes.problem(ids, dict[str, int])
    if found or not ids:
        raise BigfootError(f"{where}: {file} is not an object of tokens and their ids{found or ''}: fetch the model again")
    return ids


def _of_tokenizer_json(tokenizer: dict | None, where: str) -> dict[str, int]:
    if tokenizer is None:
        raise BigfootError(f"{where} has no vocabulary (neither vocab.json nor tokenizer.json): {_OWN}")
    model = tokenizer.get("model") or {}
    if not isinstance(model.get("vocab"), dict) or model.get("merges") or model.get("type") == "WordPiece":
        raise BigfootError(f"{where} writes word pieces ({model.get('type')} in tokenizer.json): {_OWN}")
    added = {token.get("content"): token.get("id") for token in tokenizer.get("added_tokens") or []}
    return model["vocab"] | {name: index for name, index in added.items() if name not in model["vocab"]}


def _content(token) -> str | None:
    """A token's text, which tokenizer_config.json holds as a string or as an object."""
    return token.get("content") if isinstance(token, dict) else token


def _special_names(json: Json, settings: dict) -> dict[str, str]:
    """{"pad_token": "[PAD]", ...}; Wav2Vec2CTCTokenizer's defaults where a key is left out, none where it is null."""
    defaults = dict(zip(_SPECIAL, ("<pad>", "<unk>", "<s>", "</s>"), strict=True))
    declared = defaults | (json("special_tokens_map.json") or {}) | {key: settings[key] for key in _SPECIAL if key in settings}
    return {key: name for key in _SPECIAL if (name := _content(declared.get(key))) is not None}


def _marked_special(json: Json, settings: dict) -> set[str]:
    """Further tokens that the tokenizer's files call special."""
    lists = [file.get(key) or [] for file in (settings, json("special_tokens_map.json") or {}) for key in _LISTS]
    listed = [token for tokens in lists for token in (tokens.values() if isinstance(tokens, dict) else tokens)]
    added = [*(settings.get("added_tokens_decoder") or {}).values()]
    added += (json("tokenizer.json") or {}).get("added_tokens") or []
    return {name for name in map(_content, [*listed, *(token for token in added if token.get("special"))]) if name}


def _blank(ids: dict[str, int], names: dict[str, str], configured: int | None, size: int, where: str) -> int:
    """The tokenizer's padding token, else config.json's pad_token_id."""
    own = ids.get(names.get("pad_token", ""))
    if own is not None and configured is not None and own != configured:
        raise BigfootError(
            f"{where}: the tokenizer's padding token {names['pad_token']!r} has id {own}, config.json's pad_token_id is "
            f"{configured}, and CTC's blank can only be one of them: correct config.json, or {_OWN}"
        )
    blank = configured if own is None else own
    if blank is None or not 0 <= blank < size:
        raise BigfootError(f"{where}: CTC's blank has id {blank}, but the head has {size} outputs: correct pad_token_id")
    return blank


def _lowered(tokens: dict[str, int], where: str) -> dict[str, int]:
    """The tokens of a tokenizer with do_lower_case, whose tokens are capitals and whose text is not."""
    lowered = {name.lower(): index for name, index in tokens.items()}
    if len(lowered) < len(tokens):
        raise BigfootError(f"{where} has do_lower_case: true and tokens that differ in case alone: {_OWN}")
    return lowered
