"""`bf16`: PyTorch in bfloat16: float32's range with 8 bits of precision, in half of its size."""

import shutil
from pathlib import Path

from pipeline.schemes.base import Scheme


class TorchBf16(Scheme):
    """Weights are bfloat16 on disk and in memory, and all is computed in it, norms and softmax with float32 inside."""

    runtime = "torch"
    file = "model.safetensors"
    padding = "exact"
    precision = "bf16"
    packages = ("torch", "transformers")

    def write(self, model_folder: Path, corpus, out: Path) -> None:
        from safetensors.torch import load_file, save_file

        tensors = load_file(model_folder / "model.safetensors")
        halved = {name: tensor.bfloat16() if tensor.is_floating_point() else tensor for name, tensor in tensors.items()}
        save_file(halved, out / "model.safetensors", metadata={"format": "pt"})
        shutil.copyfile(model_folder / "config.json", out / "config.json")
