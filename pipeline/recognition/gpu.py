"""A variant on a GPU, in batches of similar lengths, for work that is scored and not timed beside a CPU's.

Decision: only PyTorch's variants in float32, and without TF32, so that texts are those of a CPU. All others have runtimes or
precisions of the CPU. `bf16` and `fp16` compute under autocast, but for a group-norm feature encoder, whose statistics need the
digits; they are measured by pipeline.lab.gpu, and no stage uses them.
"""

from contextlib import AbstractContextManager
from pathlib import Path
from typing import Literal

import numpy as np

from pipeline.recognition import runtimes
from pipeline.recognition.recognizer import Recognizer

Precision = Literal["fp32", "bf16", "fp16"]
DEVICE = "cuda"  # PyTorch's name


def can_run(info: dict) -> bool:
    """Whether this machine has a GPU for the variant of this variant.json."""
    return is_float32(info) and is_there()


def is_float32(info: dict) -> bool:
    """Whether this is a variant.json of PyTorch's variants in float32."""
    return info["runtime"] == "torch" and info["file"] == "model.safetensors" and info.get("precision", "f32") == "f32"


def is_there() -> bool:
    """Whether this machine has a GPU that PyTorch can use."""
    import torch

    return torch.cuda.is_available()


def load(folder: Path, precision: Precision = "fp32") -> Recognizer:
    """Open a variant that `can_run`. Raises BigfootError as Recognizer.load does."""
    import torch

    torch.backends.cudnn.allow_tf32 = False  # on by default, for convolutions: 10 bits instead of 23
    opened = Recognizer.load(folder)
    assert isinstance(opened._run, runtimes.Opened), "as all PyTorch variants are"
    return Recognizer(opened.info | {"padding": "mask"}, _padded(opened._run.model.to(DEVICE), precision))


def _padded(model, precision: Precision) -> runtimes.Opened:
    """The function of a PyTorch model, on the model's device, that takes different lengths."""
    import torch

    from pipeline.models.families import is_group_norm
    from pipeline.models.forward import padding_invariant

    network, half = padding_invariant(model), {"bf16": torch.bfloat16, "fp16": torch.float16}.get(precision)

    def lowered(is_so: bool) -> AbstractContextManager:
        return torch.autocast(model.device.type, half, enabled=is_so and half is not None)

    def run(waveforms: np.ndarray, lengths: np.ndarray) -> np.ndarray:
        """The logits, on the CPU: to copy them there waits for the GPU to be done."""
        with torch.inference_mode():
            inputs = torch.from_numpy(waveforms).to(model.device), torch.from_numpy(lengths).to(model.device)
            with lowered(not is_group_norm(model.config)):
                features = network.features(*inputs)
            with lowered(True):
                return network.logits(*features).float().cpu().numpy()

    return runtimes.Opened(run, model)
