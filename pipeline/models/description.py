"""The model's part of variant.json: tokens, normalization, geometry, size, cost of training.

It is read from the folder's JSON files and the safetensors header, without PyTorch or transformers, so that a variant
without conversion is made at once.
"""

import math
import shutil
from pathlib import Path

from pipeline.common.errors import BigfootError
from pipeline.common.files import read_json
from pipeline.models import families, vocabulary
from pipeline.models.folder import PROCESSOR, REMEDY, check_sums
from pipeline.models.operations import macs_per_second

TRAINING = ("train_hours", "train_energy_wh", "energy_mode")


def describe(folder: Path) -> dict:
    """The model's part of variant.json, after the model's files were compared with their sums.

    `vocab` is what each token writes: "" for the blank and special tokens, " " between words. Raises BigfootError where the
    folder is not a CTC model of a known family with safetensors weights.
    """
    check_sums(folder)
    try:
        return _described(folder)
    except (AttributeError, KeyError, TypeError, ValueError, ZeroDivisionError) as error:
        reason = f"{type(error).__name__} {error}"
        raise BigfootError(f"{folder}: its JSON files don't describe a CTC model ({reason}): {REMEDY}") from None


def _described(folder: Path) -> dict:
    """What `describe` returns; raises Python's own errors where a JSON file holds another kind of value than it has to."""
    config = _json(folder, "config.json")
    families.check(config, str(folder))
    if not any(name.endswith("ForCTC") for name in config.get("architectures") or []):
        architecture = ", ".join(config.get("architectures") or ["no architecture"])
        raise BigfootError(f"{folder}: only CTC models can be quantized, not {architecture}: fine-tune it with a CTC head")

    def file(name: str) -> dict | None:
        return _json(folder, name) if (folder / name).is_file() else None

    settings = extractor(file)
    if settings is None:
        raise _unreadable(folder, "processor_config.json")
    metrics = file("metrics.json") or {}
    known = vocabulary.read(file, config["vocab_size"], config["pad_token_id"], str(folder))
    return {
        "vocab": list(known.texts),
        "blank": known.blank,
        "normalize": settings["do_normalize"],
        "sample_rate": settings["sampling_rate"],
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


def extractor(json: vocabulary.Json) -> dict | None:
    """The feature extractor's settings: in processor_config.json since transformers 5, before in a file of their own."""
    return json("preprocessor_config.json") or (json("processor_config.json") or {}).get("feature_extractor")


def _count_parameters(weights: Path) -> int:
    """Number of parameters in a safetensors file, read from its header."""
    from safetensors import SafetensorError, safe_open

    if not weights.is_file():
        raise BigfootError(f"{weights} is missing: save the model with save_pretrained, which writes safetensors")
    try:
        with safe_open(weights, "numpy") as tensors:
            return sum(math.prod(tensors.get_slice(name).get_shape()) for name in tensors.keys())  # noqa: SIM118
    except (OSError, SafetensorError) as error:
        raise BigfootError(f"{weights} is cut off or damaged ({error}): {REMEDY}") from None


def _json(folder: Path, name: str) -> dict:
    try:
        return read_json(folder / name, None)
    except BigfootError:
        raise _unreadable(folder, name) from None


def _unreadable(folder: Path, name: str) -> BigfootError:
    return BigfootError(f"{folder}: {name} can't be read, so this is not a model folder: train it again")
