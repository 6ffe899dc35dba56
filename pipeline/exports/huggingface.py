"""The JSON files by which transformers, Optimum and transformers.js know a CTC recognizer, made from variant.json alone.

Decision: they say what runtimes read, and no more. config.json has no numbers of layers, since the graph has them, and its
family is wav2vec2 for all models (transformers.js's pipeline doesn't take WavLM or data2vec). Tokens are named by what they
write, so that every decoder prints the right text.
"""

from collections import Counter
from pathlib import Path

from pipeline.common.errors import BigfootError
from pipeline.common.files import write_json

BLANK, UNKNOWN = "<pad>", "<unk>"


def token_names(info: dict) -> list[str]:
    """A name for every token: what it writes, `gap_name` between words, <pad> for the blank, <unk>, <2>, <3> ... for others.

    Raises BigfootError where two tokens write the same, since a token is known by its name.
    """
    texts = info["vocab"]
    if twice := [text for text, count in Counter(filter(None, texts)).items() if count > 1]:
        ids = [str(index) for index, text in enumerate(texts) if text == twice[0]]
        raise BigfootError(
            f"{info['variant']}: tokens {' and '.join(ids)} both write {twice[0]!r}; these files hold a token for each text"
        )
    gap, names = gap_name(info), []
    for index, text in enumerate(texts):
        silent = BLANK if index == info["blank"] else UNKNOWN if UNKNOWN not in names else f"<{index}>"
        names.append(gap if text == " " else text or silent)
    return names


def gap_name(info: dict) -> str:
    """The name of the token between words."""
    return "\u2581" if any("|" in text for text in info["vocab"]) else "|"


def write(out: Path, info: dict, names: list[str], channels: list[int], more: dict) -> None:
    """Write config.json, preprocessor_config.json, tokenizer_config.json, vocab.json and tokenizer.json.

    `channels`: the widths of the feature encoder's convolutions; `more`: further keys of config.json.
    """
    vocab = {name: index for index, name in enumerate(names)}
    settings = {
        "unk_token": UNKNOWN if UNKNOWN in vocab else BLANK, "pad_token": BLANK, "bos_token": None, "eos_token": None,
        "word_delimiter_token": gap_name(info), "replace_word_delimiter_char": " ", "do_lower_case": False,
        "clean_up_tokenization_spaces": False, "tokenizer_class": "Wav2Vec2CTCTokenizer",
        "processor_class": "Wav2Vec2Processor",
    }  # fmt: skip
    write_json(out / "config.json", _config(info, channels) | more)
    write_json(out / "preprocessor_config.json", PREPROCESSOR | {"sampling_rate": info["sample_rate"]})
    write_json(out / "tokenizer_config.json", settings)
    write_json(out / "vocab.json", vocab)
    write_json(out / "tokenizer.json", _tokenizer(vocab, settings))


# Raw audio goes into the graph, which normalizes it where the model was trained so.
PREPROCESSOR = {
    "feature_extractor_type": "Wav2Vec2FeatureExtractor", "processor_class": "Wav2Vec2Processor", "feature_size": 1,
    "padding_side": "right", "padding_value": 0.0, "do_normalize": False, "return_attention_mask": False,
}  # fmt: skip


def _config(info: dict, channels: list[int]) -> dict:
    return {
        "model_type": "wav2vec2", "architectures": ["Wav2Vec2ForCTC"], "vocab_size": len(info["vocab"]),
        "pad_token_id": info["blank"], "bos_token_id": None, "eos_token_id": None,
        "conv_dim": channels, "conv_kernel": info["conv_kernels"], "conv_stride": info["conv_strides"],
    }  # fmt: skip


def _tokenizer(vocab: dict[str, int], settings: dict) -> dict:
    """tokenizer.json, which transformers doesn't write for CTC and transformers.js needs.

    No token is an added one: special tokens are dropped before repeats are merged, which makes "n" of "n <pad> n".
    """
    gap = settings["word_delimiter_token"]
    decoders = [
        {"type": "CTC", "pad_token": BLANK, "word_delimiter_token": gap, "cleanup": False},
        {"type": "Replace", "pattern": {"String": gap}, "content": " "},
        {"type": "Replace", "pattern": {"Regex": " +"}, "content": " "},
        {"type": "Strip", "content": " ", "start": 1, "stop": 1},
    ]
    return {
        "version": "1.0", "truncation": None, "padding": None, "added_tokens": [],
        "normalizer": {"type": "Replace", "pattern": {"String": " "}, "content": gap},
        "pre_tokenizer": {"type": "Split", "pattern": {"Regex": ""}, "behavior": "Isolated", "invert": False},
        "post_processor": None,
        "decoder": {"type": "Sequence", "decoders": decoders},
        "model": {"type": "WordLevel", "vocab": vocab, "unk_token": settings["unk_token"]},
    }  # fmt: skip
