"""`fp16-cuda`, `bf16-cuda` and `fp16-onnx-cuda`: half precision for NVIDIA GPUs.

They are made on any machine, scored on any, and timed where there is a GPU (pipeline.recognition.gpu). torch.compile is left
out: it compiles anew for new lengths, and no GPU was there to measure what it brings.
"""

import shutil
from pathlib import Path

from pipeline.quantize import export
from pipeline.quantize.base import Scheme
from pipeline.recognition import torch_half, torch_model

ROUNDS = ("graph_input_cast", "_cast_to_fp16_node")  # the beginnings and ends of the names of the converter's casts to float16


class TorchFp16Cuda(Scheme):
    """PyTorch's autocast in float16. pipeline.recognition.torch_half documents the file.

    Lowers: Linears and convolutions, to float16, weights and computation; norms and a group-norm feature encoder stay float32
    Granularity: none: each value by itself
    Hardware: NVIDIA GPUs; scored on any machine
    Limits: values above 65,504 overflow; without torch.compile; needs PyTorch, which takes seconds to load
    """

    kind = "gpu"
    device = "cuda"
    runtime = "torch"
    file = torch_half.FILE
    precision = "f16"
    packages = ("torch", "transformers")

    def write(self, model_folder: Path, corpus, out: Path) -> None:
        model = torch_model.load_float(model_folder)
        torch_half.lower(model, self.precision)
        torch_half.save(model, out)
        shutil.copyfile(model_folder / "config.json", out / "config.json")


class TorchBf16Cuda(TorchFp16Cuda):
    """PyTorch's autocast in bfloat16: float32's range, fewer digits than float16.

    Lowers: as fp16-cuda, to bfloat16
    Granularity: none: each value by itself
    Hardware: NVIDIA GPUs since Ampere; scored on any machine
    Limits: 8 bits of precision; without torch.compile; needs PyTorch, which takes seconds to load
    """

    precision = "bf16"


class OnnxFp16Cuda(Scheme):
    """ONNX Runtime's own conversion of the graph, onnxruntime.transformers.float16; waveform and logits stay in float32.

    Lowers: weights and computation, to float16; the first convolution with a group norm's statistics stays in float32
    Granularity: none: each value by itself
    Hardware: NVIDIA GPUs, with onnxruntime-gpu in the place of onnxruntime; scored on any machine
    Limits: values above 65,504 overflow; above 1.9 GB of float32 the weights are in a file of their own
    """

    kind = "gpu"
    device = "cuda"
    runtime = "onnxruntime"
    file = "model_fp16.onnx"  # Optimum's and transformers.js's name
    precision = "f16"
    packages = ("torch", "transformers", "onnx", "onnxruntime")

    def write(self, model_folder: Path, corpus, out: Path) -> None:
        import onnx
        from onnxruntime.transformers.float16 import convert_float_to_float16

        with export.float_graph(model_folder, out) as full:
            kept = _statistics(onnx.load(full, load_external_data=False).graph)
            half = convert_float_to_float16(str(full), keep_io_types=True, node_block_list=kept)
            _leave_unrounded(half.graph)
            onnx.save(half, out / self.file, save_as_external_data=export.is_large(full), location=f"{self.file}.data")


def _statistics(graph) -> list[str]:
    """The nodes of a group-norm feature encoder's first convolution, with its norm; they come first, in the order of the graph.

    [] where the encoder has layer norms, each of which is one operation that computes in float32 internally.
    """
    names = [node.name for node in graph.node]
    if any(node.op_type == "LayerNormalization" and "/conv_layers.0/" in node.name for node in graph.node):
        return []
    return names[: next(at for at, name in enumerate(names) if "/conv_layers.1/" in name)]


def _leave_unrounded(graph) -> None:
    """Let operations in float32 read one another, and the waveform: the converter rounds each result, and casts it back."""
    casts = [node for node in graph.node if node.op_type == "Cast"]
    exact = {cast.output[0]: cast.input[0] for cast in casts if cast.name.startswith(ROUNDS) or cast.name.endswith(ROUNDS)}
    back = {cast.output[0]: exact[cast.input[0]] for cast in casts if cast.input[0] in exact}
    for node in list(graph.node):
        if node.output[0] in back:
            graph.node.remove(node)
        for at, name in enumerate(node.input):
            node.input[at] = back.get(name, name)
