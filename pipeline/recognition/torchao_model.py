"""wav2vec 2.0 with every Linear in torchao's int8, for inference, written as safetensors and read again.

torchao's weights are tensors of a class of its own; it knows how to take them apart into plain ones and how to put them
together again, so that nothing is pickled. They run as they are, without torch.compile, which would need a C++ compiler
where the model runs, and minutes anew for some lengths.
"""

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.common.errors import BigfootError
from pipeline.recognition import torch_model

if TYPE_CHECKING:
    from torch import nn

FILE = "model.torchao.safetensors"


def quantize_linears(model: "nn.Module", reduce_range: bool) -> None:
    """Make the weight of every Linear int8, one scale an output, in place; activations are brought to int8 at run time, one
    scale a frame. `reduce_range`: seven bits of eight on either side, which CPUs without VNNI need to be right."""
    from torchao.quantization import Int8DynamicActivationInt8WeightConfig, quantize_

    quantize_(model, Int8DynamicActivationInt8WeightConfig(reduce_range=reduce_range))


def save(model: "nn.Module", folder: Path) -> None:
    """Write a model from `quantize_linears` as FILE."""
    from safetensors.torch import save_file
    from torchao.prototype.safetensors.safetensors_support import flatten_tensor_state_dict

    tensors, about = flatten_tensor_state_dict(model.state_dict())
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, folder / FILE, metadata=about)


def load(folder: Path) -> "nn.Module":
    """Load what `save` wrote (beside its config.json), in eval mode; BigfootError where config.json is of another model."""
    from safetensors import safe_open

    if not find_spec("torchao"):
        raise BigfootError(f"{folder}: torchao is not installed, which runs it: install Bigfoot's requirements anew")
    from torchao.prototype.safetensors.safetensors_support import unflatten_tensor_state_dict

    with safe_open(folder / FILE, "pt") as file:
        tensors, about = {name: file.get_tensor(name) for name in file.keys()}, file.metadata()  # noqa: SIM118
    weights, strangers = unflatten_tensor_state_dict(tensors, about)
    if strangers:
        raise BigfootError(f"{folder}: torchao doesn't know its own weights again: {min(strangers)}")
    model = torch_model.empty(folder)
    found = model.load_state_dict(weights, strict=False, assign=True)
    if strangers := sorted(found.missing_keys + found.unexpected_keys):
        raise BigfootError(f"{folder}: {FILE} and config.json disagree on {strangers[0]}: quantize the model anew")
    return model.eval()
