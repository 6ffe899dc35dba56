"""wav2vec 2.0 with every Linear in torchao's int8, for inference: writes and reads it as safetensors.

torchao's weights are tensors of its own class. torchao flattens them into plain tensors and rebuilds them, so nothing is
pickled. The model runs without torch.compile, which would need a C++ compiler on the machine that runs it, and minutes to
compile again for some lengths.
"""

import json
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.common.errors import BigfootError
from pipeline.recognition import torch_model

if TYPE_CHECKING:
    from torch import nn

FILE = "model.torchao.safetensors"
PACKED = "torchao"


def quantize_linears(model: "nn.Module", reduce_range: bool) -> None:
    """Quantize the weight of every Linear to int8 in place, one scale per output.

    Activations are quantized at run time, one scale per frame. `reduce_range` uses seven of eight bits for both, without which
    CPUs that lack VNNI give wrong results.
    """
    from torchao.quantization import Int8DynamicActivationInt8WeightConfig, quantize_

    quantize_(model, Int8DynamicActivationInt8WeightConfig(reduce_range=reduce_range))


def save(model: "nn.Module", folder: Path) -> None:
    """Write a model from `quantize_linears` as FILE, torchao's metadata as one value: safetensors gives keys no order."""
    from safetensors.torch import save_file
    from torchao.prototype.safetensors.safetensors_support import flatten_tensor_state_dict

    tensors, metadata = flatten_tensor_state_dict(model.state_dict())
    contents = {name: tensor.contiguous() for name, tensor in tensors.items()}
    save_file(contents, folder / FILE, metadata={PACKED: json.dumps(metadata)})


def load(folder: Path) -> "nn.Module":
    """Load a model that `save` wrote, beside its config.json, in eval mode; BigfootError where the two don't match."""
    from safetensors import safe_open

    if not find_spec("torchao"):
        raise BigfootError(f"{folder}: this variant needs torchao: install Bigfoot's requirements again")
    from torchao.prototype.safetensors.safetensors_support import unflatten_tensor_state_dict

    with safe_open(folder / FILE, "pt") as file:
        tensors, metadata = {name: file.get_tensor(name) for name in file.keys()}, file.metadata()  # noqa: SIM118
    metadata = json.loads(metadata[PACKED]) if PACKED in metadata else metadata  # an older Bigfoot's
    weights, unread = unflatten_tensor_state_dict(tensors, metadata)
    if unread:
        raise BigfootError(f"{folder}: torchao can't read {min(unread)} in {FILE}: quantize the model again")
    return torch_model.filled(folder, FILE, weights)
