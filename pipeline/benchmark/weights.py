"""How many bytes of a variant's folder are weights as they are stored, read from its files without opening the variant.

Decision: weights are what the runtime's format keeps as such: safetensors' tensors, ONNX's initializers, OpenVINO's .bin. They
include the scales and zero points of a lower precision, which are its price. All else (the graph, headers, vocabulary,
variant.json, a language model) is the rest of the folder.
"""

import math
from pathlib import Path


def size_mb(folder: Path, file: str) -> float | None:
    """The weights of the variant whose runtime opens `file`, in 10^6 bytes; None where the format doesn't tell them apart."""
    readers = {".safetensors": _safetensors, ".onnx": _onnx, ".xml": _openvino}
    reader = readers.get((folder / file).suffix)
    return reader(folder / file) / 1e6 if reader else None


def _safetensors(file: Path) -> int:
    """The file but for its header, whose length is in the first eight bytes."""
    with file.open("rb") as opened:
        return file.stat().st_size - 8 - int.from_bytes(opened.read(8), "little")


def _onnx(file: Path) -> int:
    import onnx

    return sum(_tensor(tensor) for tensor in onnx.load(file, load_external_data=False).graph.initializer)


def _tensor(tensor) -> int:
    import onnx

    if tensor.data_location == onnx.TensorProto.EXTERNAL:
        return int(next(entry.value for entry in tensor.external_data if entry.key == "length"))
    itemsize = onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type).itemsize
    return len(tensor.raw_data) or math.prod(tensor.dims) * itemsize


def _openvino(file: Path) -> int:
    return file.with_suffix(".bin").stat().st_size
