"""Holds a checkpoint's tensors against the model that config.json describes: no value of a model is drawn in silence.

transformers loads whatever fits, draws the rest at random and says so in a table of some twenty lines, which is kept quiet
here: the same report is checked, and one line names the first tensor that is missing, has another shape or is left over,
except those listed here.
"""

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from pipeline.common.errors import BigfootError

# What pretraining leaves beside a model, and SpecAugment's mask, which a model trained without SpecAugment lacks.
_LEFT_OVER = re.compile(r"(^|\.)(quantizer|project_q|project_hid|final_proj|label_embs_concat|mask_emb)(\.|$)")
_MAY_BE_MISSING = re.compile(r"(^|\.)masked_spec_embed$")
FOLDED = "pos_conv_embed.conv.weight"  # a positional convolution that was saved without its weight norm
_PARTS = re.compile(r"pos_conv_embed\.conv\.(weight|parametrizations\.weight\.original[01]|weight_[gv])$")


@contextmanager
def quiet_transformers() -> Iterator[None]:
    """Without transformers' report of tensors and its progress bar."""
    from transformers.utils import logging

    level, had_bar = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if had_bar:
            logging.enable_progress_bar()


def check(model, report: dict, folded, renewed: bool, where: str) -> None:
    """Raise BigfootError where transformers' report of loading `model` has a tensor that doesn't fit.

    `folded`: the weight of a positional convolution without its weight norm, None where it has one; `renewed`: whether the
    CTC head is drawn anew, or comes from elsewhere.
    """

    def odd(name: str) -> bool:
        return not (renewed and name.startswith("lm_head.")) and not (folded is not None and _PARTS.search(name))

    lacking = sorted(name for name in report["missing_keys"] if odd(name) and not _MAY_BE_MISSING.search(name))
    if any(name.startswith("lm_head.") for name in lacking):
        raise BigfootError(f"teacher {where} has no CTC head: set teacher.alphabet to corpus and fine-tune it")
    shapes = [(name, found, wanted) for name, found, wanted in report["mismatched_keys"] if odd(name)]
    if folded is not None:
        wanted = model.base_model.encoder.pos_conv_embed.conv.weight.shape
        shapes += [(FOLDED, folded.shape, wanted)] if folded.shape != wanted else []
    misshapen = [f"{name} has shape {list(found)}, config.json says {list(wanted)}" for name, found, wanted in shapes]
    left_over = sorted(name for name in report["unexpected_keys"] if odd(name) and not _LEFT_OVER.search(name))
    problems = [f"{name} is missing" for name in lacking] + misshapen + [f"{name} has no place in it" for name in left_over]
    if problems:
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        raise BigfootError(f"teacher {where}: its weights don't fit its config.json: {problems[0]}{more}")


def not_finite(model) -> str | None:
    """The name of the first tensor with a value that is not a finite number."""
    return next((name for name, tensor in model.state_dict().items() if not tensor.isfinite().all()), None)


def check_finite(model, where: str) -> None:
    """Raise BigfootError for the first tensor with a value that is not a finite number."""
    if name := not_finite(model):
        raise BigfootError(f"teacher {where}: {name} has values that are NaN or infinite: fetch the model again")


def find_tensor(files: Iterable[Path], ending: str):
    """The tensor, as float32, whose name ends so, in the first of the files that has one; None where none has."""
    import torch
    from safetensors import safe_open

    for path in files:
        if path.suffix == ".safetensors":
            with safe_open(path, "pt") as tensors:
                found = [tensors.get_tensor(name) for name in tensors.keys() if name.endswith(ending)]  # noqa: SIM118
        else:
            held = torch.load(path, map_location="cpu", weights_only=True)
            found = [tensor for name, tensor in held.items() if name.endswith(ending)]
        if found:
            return found[0].float()
    return None
