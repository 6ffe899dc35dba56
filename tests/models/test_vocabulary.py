"""One vocabulary: what each id writes and how a text is spelled, from any tokenizer's files; else one line."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.common.errors import BigfootError
from pipeline.models import vocabulary
from pipeline.speech import text

PLAIN = {"[PAD]": 0, "[UNK]": 1, "|": 2, "a": 3, "b": 4, "c": 5}
BRACKETS = {"pad_token": "[PAD]", "unk_token": "[UNK]", "word_delimiter_token": "|"}


def read(vocab: dict | None = None, config: dict | None = None, size: int = 6, blank: int | None = 0, **files):
    language = files.pop("language", None)
    known = {"vocab.json": vocab, "tokenizer_config.json": config} | files
    return vocabulary.read(known.get, size, blank, "m", language)


@pytest.mark.accepts("Models", "special tokens of any name (`[UNK]`, `<s>` ...)", "never in a text")
def test_special_tokens_of_any_name_write_nothing():
    known = read(PLAIN, BRACKETS)
    assert known.texts == ("", "", " ", "a", "b", "c") and known.blank == 0
    assert read({"<s>": 1, "</s>": 2, "<pad>": 0, "|": 3, "a": 4}, {}, size=5).texts == ("", "", "", " ", "a")


def test_further_tokens_that_are_marked_special_write_nothing():
    vocab = PLAIN | {"<laugh>": 6, "<cough>": 7, "<music>": 8}
    added = {"7": {"content": "<cough>", "special": True}, "5": {"content": "c", "special": False}}
    config = BRACKETS | {"extra_special_tokens": ["<laugh>"], "added_tokens_decoder": added}
    known = read(vocab, config, size=9, **{"special_tokens_map.json": {"additional_special_tokens": [{"content": "<music>"}]}})
    assert known.texts == ("", "", " ", "a", "b", "c", "", "", "")


def test_ids_beyond_the_tokenizer_write_nothing():
    assert read(PLAIN, BRACKETS, size=8).texts == ("", "", " ", "a", "b", "c", "", "")


def test_special_tokens_beyond_the_head_are_left_out_and_letters_there_are_refused():
    assert "<s>" not in read(PLAIN | {"<s>": 6}, BRACKETS).names
    with pytest.raises(BigfootError, match="token 'd' has id 6, but the head has 6 outputs"):
        read(PLAIN | {"d": 6}, BRACKETS)


def test_do_lower_case_writes_small_letters():
    known = read({"[PAD]": 0, "[UNK]": 1, "|": 2, "A": 3, "B": 4, "C": 5}, BRACKETS | {"do_lower_case": True})
    assert known.texts == ("", "", " ", "a", "b", "c") and known.spell("a b") == [3, 2, 4]


def test_bracketed_tokens_write_nothing_where_no_file_says_that_they_are_special():
    known = read({"[PAD]": 0, "[UNK]": 1, "|": 2, "a": 3, "<noise>": 4, "[laugh]": 5})
    assert known.texts == ("", "", " ", "a", "", "") and "<noise>" not in known.names
    assert read({"<pad>": 0, "<": 1, "]": 2, "a": 3}, size=4).texts == ("", "<", "]", "a")


def test_a_space_in_brackets_is_the_gap_where_no_other_is():
    for config in (None, BRACKETS):
        known = read({"[PAD]": 0, "<space>": 1, "a": 2}, config, size=3)
        assert known.texts == ("", " ", "a") and known.gap_name == "<space>"


@pytest.mark.accepts("Models", "tokens of several characters (`sch`)", "spelled by the longest match")
def test_tokens_of_several_characters_are_spelled_by_the_longest():
    known = read({"[PAD]": 0, "|": 1, "s": 2, "sch": 3, "c": 4, "h": 5}, BRACKETS)
    assert known.spell("sch sc") == [3, 1, 2, 4]
    assert text.greedy([3, 3, 0, 1, 2, 4], known.texts, known.blank) == "sch sc"


@given(st.lists(st.text(alphabet="abc", min_size=1, max_size=5), max_size=5))
def test_spelling_and_greedy_decoding_are_inverse(words):
    known = read(PLAIN, BRACKETS)
    spelled = [index for token in known.spell(" ".join(words)) for index in (token, known.blank)]
    assert text.greedy(spelled, known.texts, known.blank) == " ".join(words)


@given(st.text(alphabet="abcéABC'", max_size=20))
def test_spelling_is_that_of_transformers_tokenizer(words):
    from pipeline.train import teacher

    known = teacher._of_corpus([" ", *"abcéABC'"])
    assert known.spell(words) == teacher._processor(known, masked=False).tokenizer(words).input_ids


def test_a_character_that_no_token_writes_is_named():
    known = read(PLAIN, BRACKETS)
    assert known.lacking(["a", " ", "d", "é"]) == ["d", "é"]
    assert read({"[PAD]": 0, "|": 1, "sch": 2, "d": 3, "a": 4}, BRACKETS, size=5).lacking(["das scha", "schad"]) == ["s"]
    with pytest.raises(BigfootError, match="can't spell 'd' in 'ad'"):
        known.spell("ad")


@pytest.mark.accepts("Models", "`tokenizer.json` alone", "read like `vocab.json`")
def test_a_tokenizer_json_alone_is_enough():
    tokenizer = {
        "model": {"type": "WordLevel", "vocab": {"<pad>": 0, "|": 1, "a": 2}},
        "added_tokens": [{"id": 3, "content": "<unk>", "special": True}, {"id": 4, "content": "b", "special": False}],
    }
    assert read(size=5, **{"tokenizer.json": tokenizer}).texts == ("", " ", "a", "", "b")


def test_one_vocabulary_per_language_needs_the_language():
    nested = {"deu": {"<pad>": 0, "|": 1, "ä": 2}, "eng": {"<pad>": 0, "|": 1, "a": 2}}
    assert read(nested, {}, size=3, language="deu").texts == ("", " ", "ä")
    with pytest.raises(BigfootError, match="one vocabulary per language: set teacher.target_lang to one of the 2: deu, eng"):
        read(nested, {}, size=3)
    with pytest.raises(BigfootError, match="no vocabulary of language fra: set teacher.target_lang to one of the 2: deu, eng"):
        read(nested, {}, size=3, language="fra")


def test_a_vocabulary_without_gap_and_unknown_token_survives_saving(tmp_path):
    from pipeline.train import teacher

    known = read({"_": 0, "a": 1, "b": 2}, {"pad_token": "_", "unk_token": None, "word_delimiter_token": None}, size=3)
    processor = teacher._processor(known, masked=False)
    processor.save_pretrained(tmp_path)

    def saved(name: str):
        return json.loads((tmp_path / name).read_text()) if (tmp_path / name).is_file() else None

    for again in (vocabulary.of(processor.tokenizer, 3), vocabulary.read(saved, 3, 0, "m")):
        assert (again.texts, again.blank, again.gap_name) == (("", "a", "b"), 0, None)


def test_two_tokens_with_one_id_are_refused():
    with pytest.raises(BigfootError, match="m: tokens 'a' and 'à' have the same id 2: correct vocab.json"):
        read({"<pad>": 0, "|": 1, "a": 2, "à": 2}, {}, size=3)
    with pytest.raises(BigfootError, match="m: tokens '.' and 'x' have the same id 1"):
        read({"<pad>": 0, "|": 1, "x": 1, "a": 2}, {}, size=3)


def test_a_vocabulary_without_spaces_has_no_gap():
    assert read({"<pad>": 0, "<unk>": 1, "你": 2}, {}, size=3).gap_name is None


@pytest.mark.parametrize(
    ("vocab", "config", "files", "message"),
    [
        (None, None, {}, "no vocabulary .neither vocab.json nor tokenizer.json.: set teacher.alphabet to corpus"),
        (PLAIN, BRACKETS | {"tokenizer_class": "Wav2Vec2PhonemeCTCTokenizer"}, {}, "phonemes .Wav2Vec2PhonemeCTC"),
        (PLAIN | {"\u2581the": 5}, BRACKETS, {}, "word pieces such as '\u2581the'"),
        (None, {}, {"tokenizer.json": {"model": {"type": "BPE", "vocab": {"a": 0}, "merges": ["a b"]}}}, "word pieces .BPE"),
        (None, {}, {"tokenizer.json": {"model": {"type": "Unigram", "vocab": [["a", 0.0]]}}}, "word pieces .Unigram"),
        (PLAIN, BRACKETS | {"pad_token": "c"}, {}, "padding token 'c' has id 5, config.json's pad_token_id is 0"),
        ({"a": 1, "A": 2, "<pad>": 0}, {"do_lower_case": True}, {}, "differ in case alone"),
        ({"a": "one"}, {}, {}, "vocab.json is not an object of tokens and their ids"),
        ({}, {}, {}, "vocab.json is not an object of tokens and their ids"),
        (
            PLAIN | {"a": True},
            BRACKETS,
            {},
            "their ids: a is true or false where a whole number",
        ),
        (
            None,
            {},
            {"tokenizer.json": {"model": {"vocab": {"a": True}}}},
            "tokenizer.json is not an object of tokens and their ids",
        ),
        (None, {}, {"tokenizer.json": {"model": {"vocab": {"a": 0}}, "added_tokens": [{}]}}, "tokenizer.json is not an object"),
    ],
)
@pytest.mark.refuses(
    "Models",
    "word pieces (SentencePiece, BPE), phonemes, no vocabulary",
    "with `teacher.alphabet: corpus` the model gets a new head",
)
def test_a_vocabulary_that_cant_be_used_is_one_line(vocab, config, files, message):
    with pytest.raises(BigfootError, match=message) as raised:
        read(vocab, config, **files)
    assert "\n" not in str(raised.value)


def test_a_blank_that_only_config_json_names_is_taken():
    assert read({"a": 0, "b": 1, "|": 2, "_": 3}, {"pad_token": None}, size=4, blank=3).blank == 3
    with pytest.raises(BigfootError, match="blank has id None"):
        read({"a": 0}, {"pad_token": None}, size=1, blank=None)
