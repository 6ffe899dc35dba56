"""Which variants run on a GPU, and why one can't run on this machine.

Decision: a variant of device "cuda" (the schemes of kind gpu) runs on a GPU alone; on a machine without one it is scored on the
CPU in the same precision, and not timed. Of the others, PyTorch's in float32 are scored on a GPU where there is one, without
TF32, so that texts are those of a CPU; they are timed on the CPU.
"""

import ctypes
from collections.abc import Mapping

CUDA = "cuda"  # variant.json's name of the device, which is PyTorch's
DEVICE = CUDA  # PyTorch's device for it; tests compute on "cpu"
PROVIDER = "CUDAExecutionProvider"  # ONNX Runtime's name
INSTALL = "docs/schemes.md says how to replace it by onnxruntime-gpu"


def name() -> str | None:
    """The name of the first NVIDIA GPU that this process may use, by its driver; None where there is none."""
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return None
    device, text = ctypes.c_int(), ctypes.create_string_buffer(256)
    if driver.cuInit(0) or driver.cuDeviceGet(ctypes.byref(device), 0) or driver.cuDeviceGetName(text, len(text), device):
        return None
    return text.value.decode()


def is_needed(info: Mapping) -> bool:
    """Whether the variant of this variant.json runs on a GPU alone."""
    return info.get("device") == CUDA


def obstacle(info: Mapping) -> str | None:
    """Why the variant of this variant.json can't run on this machine, in a few words; None where it can.

    A variant for the CPU always can. Nothing heavy is imported but the variant's own runtime.
    """
    return missing(info["runtime"]) if is_needed(info) else None


def missing(runtime: str) -> str | None:
    """What this machine lacks to run a variant of this runtime on a GPU; None where it lacks nothing."""
    if runtime not in LACKING:
        return f"{runtime} runs on the CPU alone"
    return "no NVIDIA GPU on this machine" if name() is None else LACKING[runtime]()


def takes(info: Mapping) -> bool:
    """Whether a GPU can run the variant of this variant.json."""
    is_float32 = info["runtime"] == "torch" and info["file"] == "model.safetensors" and info.get("precision", "f32") == "f32"
    return is_needed(info) or is_float32


def scores(info: Mapping) -> bool:
    """Whether this machine's GPU scores the variant of this variant.json."""
    return takes(info) and missing(info["runtime"]) is None


def _torch_lacks() -> str | None:
    import torch

    return None if torch.cuda.is_available() else "PyTorch is installed without CUDA, or can't use this machine's GPU"


def _onnxruntime_lacks() -> str | None:
    import onnxruntime

    has_cuda = PROVIDER in onnxruntime.get_available_providers()
    return None if has_cuda else f"onnxruntime is installed without CUDA ({INSTALL})"


LACKING = {"torch": _torch_lacks, "onnxruntime": _onnxruntime_lacks}
