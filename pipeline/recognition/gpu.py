"""A variant on a GPU, in batches of similar lengths, for work that is scored and not timed.

Decision: only PyTorch's variants in float32, and without TF32, so that texts are those of a CPU. All others have runtimes or
precisions of the CPU.
"""

from pathlib import Path

import numpy as np

from pipeline.recognition import runtimes
from pipeline.recognition.recognizer import Recognizer

DEVICE = "cuda"  # PyTorch's name


def can_run(info: dict) -> bool:
    """Whether this machine has a GPU for the variant of this variant.json."""
    if info["runtime"] != "torch" or info["file"] != "model.safetensors" or info.get("precision", "f32") != "f32":
        return False
    import torch

    return torch.cuda.is_available()


def load(folder: Path) -> Recognizer:
    """Open a variant that `can_run`. Raises BigfootError as Recognizer.load does."""
    import torch

    torch.backends.cudnn.allow_tf32 = False  # on by default, for convolutions: 10 bits instead of 23
    opened = Recognizer.load(folder)
    assert isinstance(opened._run, runtimes.Opened), "as all PyTorch variants are"
    return Recognizer(opened.info | {"padding": "mask"}, _padded(opened._run.model.to(DEVICE)))


def _padded(model) -> runtimes.Opened:
    """The function of a PyTorch model, on the model's device, that takes different lengths."""
    import torch

    from pipeline.models.forward import padding_invariant

    network = padding_invariant(model)

    def run(waveforms: np.ndarray, lengths: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            inputs = torch.from_numpy(waveforms).to(model.device), torch.from_numpy(lengths).to(model.device)
            return network(*inputs).cpu().numpy()

    return runtimes.Opened(run, model)
