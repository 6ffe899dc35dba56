"""`bf16`: PyTorch in bfloat16, which has float32's range, 8 bits of precision and half the size."""

import json
from pathlib import Path

from pipeline.models.description import copy_processor
from pipeline.quantize.base import BF16, Scheme


class TorchBf16(Scheme):
    """Half of float32's bits, with its range.

    Lowers: all weights and all computation, to bfloat16; sums and norms use float32 internally
    Granularity: none: each value by itself
    Hardware: CPUs with AVX512-BF16, AMX-BF16 or ARM's BF16
    Limits: correct but slow on other CPUs, where PyTorch emulates it; a batch holds equal lengths only
    """

    runtime = "torch"
    file = "model.safetensors"
    padding = "exact"
    precision = "bf16"
    packages = ("torch", "transformers")
    features, otherwise = BF16, "PyTorch emulates bfloat16, slower than float32"

    def write(self, model_folder: Path, corpus, out: Path) -> None:
        from safetensors.torch import load_file, save_file

        tensors = load_file(model_folder / "model.safetensors")
        halved = {name: tensor.bfloat16() if tensor.is_floating_point() else tensor for name, tensor in tensors.items()}
        save_file(halved, out / "model.safetensors", metadata={"format": "pt"})
        config = json.loads((model_folder / "config.json").read_text(encoding="utf-8"))
        config.pop("torch_dtype", None)  # the key's name in older folders
        config["dtype"] = "bfloat16"
        (out / "config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
        copy_processor(model_folder, out)
