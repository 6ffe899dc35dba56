"""The model's part of variant.json: tokens, normalization, geometry, size, cost of training.

It is read from the folder's JSON files and the safetensors header, without PyTorch or transformers, so that a variant
without conversion is made at once.
"""

import json
import math
import shutil
import struct
from pathlib import Path

from pipeline.common.errors import BigfootError
from pipeline.models.operations import macs_per_second

PROCESSOR = (
    "vocab.json", "tokenizer_config.json", "processor_config.json", "preprocessor_config.json", "special_tokens_map.json",
    "added_tokens.json",
)  # fmt: skip
TRAINING = ("train_hours", "train_energy_wh", "energy_mode")


def describe(folder: Path) -> dict:
    """The model's part of variant.json.

    Raises BigfootError where the folder is not a wav2vec 2.0 CTC model with safetensors weights and a single vocabulary.
    """
    config = _json(folder, "config.json")
    kind = config.get("model_type")
    if kind != "wav2vec2" or not any(name.endswith("ForCTC") for name in config.get("architectures") or []):
        architecture = ", ".join(config.get("architectures") or ["no architecture"])
        raise BigfootError(
            f"{folder}: only wav2vec 2.0 CTC models can be quantized, not {kind} ({architecture}): "
            "fine-tune a wav2vec2 checkpoint with a CTC head"
        )
    if config.get("add_adapter"):
        raise BigfootError(f"{folder}: models with add_adapter are not supported: train one without")
    tokenizer = _json(folder, "tokenizer_config.json")
    extractor = _extractor(folder)
    vocab = _vocab(folder, config["vocab_size"])
    delimiter = tokenizer.get("word_delimiter_token", "|")
    if isinstance(delimiter, dict):
        delimiter = delimiter["content"]
    metrics = _json(folder, "metrics.json") if (folder / "metrics.json").is_file() else {}
    return {
        "vocab": vocab,
        "blank": config["pad_token_id"],
        "word_delimiter": delimiter,
        "normalize": extractor["do_normalize"],
        "sample_rate": extractor["sampling_rate"],
        "params": _count_parameters(folder / "model.safetensors"),
        "macs_per_second": macs_per_second(config),
        "conv_kernels": config["conv_kernel"],
        "conv_strides": config["conv_stride"],
        "training": {key: metrics.get(key) for key in TRAINING},
    }


def copy_processor(folder: Path, out: Path) -> None:
    """Copy the files that AutoProcessor loads, a few kB, so that transformers reads `out` as a model folder."""
    for name in PROCESSOR:
        if (folder / name).is_file():
            shutil.copyfile(folder / name, out / name)


def _vocab(folder: Path, size: int) -> list[str]:
    """The token of each id; an id without a token, which a padded head may have, gets ""."""
    ids = _json(folder, "vocab.json")
    if any(not isinstance(index, int) for index in ids.values()):
        raise BigfootError(f"{folder}: vocab.json has one vocabulary per language: save the tokenizer for one language")
    if (folder / "added_tokens.json").is_file():
        ids |= _json(folder, "added_tokens.json")
    tokens = {index: token for token, index in ids.items()}
    return [tokens.get(index, "") for index in range(size)]


def _extractor(folder: Path) -> dict:
    """The feature extractor's settings: in processor_config.json since transformers 5, before in a file of their own."""
    if (folder / "preprocessor_config.json").is_file():
        return _json(folder, "preprocessor_config.json")
    return _json(folder, "processor_config.json")["feature_extractor"]


def _count_parameters(weights: Path) -> int:
    """Number of parameters in a safetensors file, read from its header: 8 bytes with the length, then JSON."""
    if not weights.is_file():
        raise BigfootError(f"{weights} is missing: save the model with save_pretrained, which writes safetensors")
    with weights.open("rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        header = json.loads(file.read(length))
    return sum(math.prod(tensor["shape"]) for name, tensor in header.items() if name != "__metadata__")


def _json(folder: Path, name: str) -> dict:
    try:
        return json.loads((folder / name).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        raise BigfootError(f"{folder}: {name} can't be read, so this is not a model folder: train it again") from None
