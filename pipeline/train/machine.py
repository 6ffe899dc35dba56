"""What a training takes from the machine that it runs on: its precision, and how its batches get to the device.

Decision: none of this is in params (the number of processes is not either, see launch.py), so that moving a project to a
bigger machine makes nothing stale. The number of workers changes no batch.
"""

import os

import torch

from pipeline.common import engine
from pipeline.common.errors import BigfootError
from pipeline.models import bf16

WORKERS = "BIGFOOT_WORKERS"
HALVES = {"bf16": torch.bfloat16, "fp16": torch.float16}  # autocast's types


def has_gpu() -> bool:
    return torch.cuda.is_available()


def device() -> str:
    """What trains, for people to read: a GPU's name, or "the CPU"."""
    return torch.cuda.get_device_name() if has_gpu() else "the CPU"


def gpu_has_bf16() -> bool:
    """Whether there is a GPU that computes in bfloat16 without emulating it."""
    return has_gpu() and torch.cuda.is_bf16_supported(including_emulation=False)


def precision(wanted: str) -> str:
    """bf16, fp16 or fp32; `auto` is bf16 where the hardware supports it, otherwise fp16 on a GPU and fp32 on a CPU.

    Raises BigfootError for fp16 on a CPU.
    """
    if wanted == "auto":
        is_supported = gpu_has_bf16() if has_gpu() else torch.cpu._is_avx512_bf16_supported()
        return "bf16" if is_supported else "fp16" if has_gpu() else "fp32"
    if wanted == "fp16" and not has_gpu():
        raise BigfootError("training.precision: fp16 needs a GPU: use auto, bf16 or fp32")
    return wanted


def make_right(model: torch.nn.Module, precision: str) -> list[str]:
    """Mend a model for this precision where this machine's CPU trains it; returns the names of the modules mended."""
    return bf16.mend(model) if precision == "bf16" and not has_gpu() else []


def workers() -> int:
    """How many processes load and augment audio for this one; 0: it does that itself.

    BIGFOOT_WORKERS says it; otherwise beside a GPU it is this process's share of the cores that it may use, and 0 on a CPU.
    """
    wanted = os.environ.get(WORKERS)
    if wanted is None:
        return engine.cores() // int(os.environ.get("LOCAL_WORLD_SIZE", 1)) if has_gpu() else 0
    if not wanted.isdecimal():
        raise BigfootError(f"{WORKERS} is '{wanted}': set it to a number of processes, 0 or more")
    return int(wanted)
