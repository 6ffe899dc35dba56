"""wav2vec 2.0 in float16 or bfloat16 by PyTorch's autocast, for GPUs: writes, reads and runs it.

Decision: a weight is stored in half precision where autocast would round it so in every pass: in Linears and convolutions. So
the logits are those of float32 weights under autocast, bit for bit, in half the space, and no pass has to round them. Norms
stay in float32, and so does a group-norm feature encoder, whose statistics need the digits (as in training).
"""

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pipeline.recognition import torch_model

if TYPE_CHECKING:
    from torch import nn

FILE = "model.half.safetensors"
TYPES = {"f16": "float16", "bf16": "bfloat16"}  # variant.json's name: PyTorch's name


def lower(model: "nn.Module", precision: str) -> None:
    """Round those weights in place that autocast would round."""
    import torch

    from pipeline.models.families import is_group_norm

    kept = set(model.base_model.feature_extractor.modules()) if is_group_norm(model.config) else set()
    for module in model.modules():
        if isinstance(module, torch.nn.Linear | torch.nn.Conv1d) and module not in kept:
            module.to(getattr(torch, TYPES[precision]))


def save(model: "nn.Module", folder: Path) -> None:
    """Write a model after `lower` as FILE."""
    from safetensors.torch import save_file

    save_file({name: tensor.contiguous() for name, tensor in model.state_dict().items()}, folder / FILE)


def load(folder: Path) -> "nn.Module":
    """Load a model that `save` wrote, beside its config.json, in eval mode; BigfootError where the two don't match."""
    from safetensors.torch import load_file

    return torch_model.filled(folder, FILE, load_file(folder / FILE))


def padded(model: "nn.Module", precision: str) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    """The `Run` of a model on its device, for different lengths; `precision`: one of TYPES, or "f32", without autocast.

    To copy the logits to the CPU waits for the GPU, so the time that it takes is the GPU's too.
    """
    import torch

    from pipeline.models.families import is_group_norm
    from pipeline.models.forward import padding_invariant

    network, half = padding_invariant(model), getattr(torch, TYPES.get(precision, ""), None)

    def lowered(is_so: bool) -> AbstractContextManager:
        return torch.autocast(model.device.type, half, enabled=is_so and half is not None)

    def run(waveforms: np.ndarray, lengths: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            inputs = torch.from_numpy(waveforms).to(model.device), torch.from_numpy(lengths).to(model.device)
            with lowered(not is_group_norm(model.config)):
                features = network.features(*inputs)
            with lowered(True):
                return network.logits(*features).float().cpu().numpy()

    return run
