"""Loads a model of any family as a PyTorch module for inference, with float weights or with int8 Linear weights.

Both are stored as safetensors. PyTorch saves a dynamically quantized model as a pickle (its packed weights are script
objects), so the int8 form is stored as plain tensors instead: for a Linear called NAME, `NAME.weight` int8 [out, in],
`NAME.scale` float64 [] (the weight is int8 x scale) and `NAME.bias`. Loading packs them for this machine's int8 kernels,
which gives the same logits bit for bit.

The positional convolution's weight norm is folded into its weight here, in memory or in the variant (exact), and never in a
model folder, where `from_pretrained` would then report missing weights.
"""

import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.common.errors import BigfootError
from pipeline.models import bf16, families
from pipeline.models.folder import family

if TYPE_CHECKING:
    from torch import nn

INT8_FILE = "model.int8.safetensors"


def load_float(folder: str | Path, attention: str = "sdpa", dtype: str = "float32") -> "nn.Module":
    """Load a Hugging Face folder in float32 or bfloat16, on the CPU, in eval mode, weight norm folded."""
    import torch
    from transformers.utils import logging

    logging.disable_progress_bar()
    kind = family(Path(folder))
    model = families.model_class(kind).from_pretrained(
        folder, dtype=getattr(torch, dtype), attn_implementation=_attention(kind, attention), local_files_only=True
    )
    _simplify(model)
    if model.dtype == torch.bfloat16:
        bf16.mend(model)
    return model.eval()


def quantize_linears(model: "nn.Module") -> "nn.Module":
    """Replace every Linear (attention, feed-forward, projection, lm_head) by PyTorch's dynamic int8 Linear.

    Weights are symmetric int8, one scale per matrix; activations are quantized at run time, one scale per call. This is the
    paper's quantization (torch.ao.quantization.quantize_dynamic). One difference: transformers calls the attention's
    projections as modules, so they run in int8 too, which they did not in the paper's code.
    """
    from torch import nn, qint8
    from torch.ao.quantization import quantize_dynamic

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=r".*(torch\.ao\.quantization|quantized tensor).*deprecated")
        warnings.filterwarnings("ignore", message=".*torch.quantize_per_tensor.*")
        return quantize_dynamic(model, {nn.Linear}, dtype=qint8)


def save_int8(model: "nn.Module", folder: Path) -> None:
    """Write a model from `quantize_linears` as INT8_FILE; the layout is in this module's docstring."""
    import torch
    from safetensors.torch import save_file

    tensors = {name: value for name, value in model.state_dict().items() if isinstance(value, torch.Tensor)}
    for name, linear in _int8_linears(model):
        for key in [key for key in tensors if key.startswith(f"{name}.")]:
            del tensors[key]
        weight = linear.weight()
        tensors[f"{name}.weight"] = weight.int_repr()
        tensors[f"{name}.scale"] = torch.tensor(weight.q_scale(), dtype=torch.float64)
        if linear.bias() is not None:
            tensors[f"{name}.bias"] = linear.bias().detach()
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, folder / INT8_FILE)


def load_int8(folder: Path) -> "nn.Module":
    """Load a model that `save_int8` wrote, beside its config.json; BigfootError unless every Linear is in int8."""
    import torch
    from safetensors.torch import load_file

    tensors, model = load_file(folder / INT8_FILE), empty(folder)
    linears = [name for name, module in model.named_modules() if type(module) is torch.nn.Linear]
    quantized = {f"{name}.{key}" for name in linears for key in ("weight", "scale", "bias")}
    rest = {name: tensor for name, tensor in tensors.items() if name not in quantized}
    report = model.load_state_dict(rest, strict=False, assign=True)
    mismatched = sorted(set(report.missing_keys) - quantized) + report.unexpected_keys
    mismatched += [name for name in linears if tensors.get(f"{name}.weight", torch.empty(0)).dtype != torch.int8]
    if mismatched:
        raise BigfootError(f"{folder}: {INT8_FILE} and config.json disagree on {mismatched[0]}: quantize the model again")
    for name in linears:
        packed = _packed_linear(*(tensors.get(f"{name}.{key}") for key in ("weight", "scale", "bias")))
        parent, _, child = name.rpartition(".")
        setattr(model.get_submodule(parent), child, packed)
    return model.eval()


def filled(folder: Path, file: str, tensors: dict) -> "nn.Module":
    """The model of `folder`'s config.json with these weights, read from `file`; BigfootError where the two don't match."""
    model = empty(folder)
    report = model.load_state_dict(tensors, strict=False, assign=True)
    if mismatched := sorted(report.missing_keys + report.unexpected_keys):
        raise BigfootError(f"{folder}: {file} and config.json disagree on {mismatched[0]}: quantize the model again")
    return model.eval()


def empty(folder: Path) -> "nn.Module":
    """The model of `folder`'s config.json, weight norm folded, without weights (its tensors are on device "meta")."""
    import torch

    kind = family(folder)
    model_class = families.model_class(kind)
    config = model_class.config_class.from_json_file(folder / "config.json")
    with torch.device("meta"):
        model = model_class._from_config(config, attn_implementation=_attention(kind, "sdpa"))
        _simplify(model)
    return model


def _attention(kind: str, wanted: str) -> str:
    """WavLM's attention has its own form, see pipeline.models.wavlm."""
    return "eager" if kind == "wavlm" else wanted


def _packed_linear(weight, scale, bias):
    """A dynamic int8 Linear from an int8 weight [out, in], its scale and its float bias [out]."""
    import torch
    from torch.ao.nn.quantized import dynamic

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*torch.quantize_per_tensor.*")
        warnings.filterwarnings("ignore", message=".*_empty_affine_quantized.*")
        linear = dynamic.Linear(weight.shape[1], weight.shape[0], bias_=bias is not None)
        linear.set_weight_bias(torch._make_per_tensor_quantized_tensor(weight, scale.item(), 0), bias)
    return linear


def _int8_linears(model: "nn.Module") -> list:
    from torch.ao.nn.quantized import dynamic

    return [(name, module) for name, module in model.named_modules() if isinstance(module, dynamic.Linear)]


def _simplify(model: "nn.Module") -> None:
    """Fold the positional convolution's weight norm (data2vec has none), and let WavLM's attention call its projections."""
    from torch.nn.utils import parametrize

    from pipeline.models.wavlm import call_projections

    call_projections(model)
    convolution = getattr(model.base_model.encoder.pos_conv_embed, "conv", None)
    if convolution is not None:
        dtype = convolution.weight.dtype
        parametrize.remove_parametrizations(convolution.float(), "weight")  # the norm itself is computed in float32
        convolution.to(dtype)
