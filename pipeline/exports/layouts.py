"""`write` lays a finished variant out as a folder that other runtimes open without Bigfoot.

    onnx        sherpa-onnx, transformers.js, onnxruntime-web, ONNX Runtime and Optimum: one folder for all
    openvino    Optimum Intel's OVModelForCTC, and OpenVINO in any language
    onnx-asr    onnx-asr, once a release has its model type wav2vec2-ctc
    executorch  ExecuTorch
    litert      LiteRT

A layout is a function (variant folder, its variant.json, folder to write) -> what the card says of how to run it.
"""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.common.errors import BigfootError
from pipeline.common.files import write_json
from pipeline.exports import huggingface, usage
from pipeline.recognition import seal

if TYPE_CHECKING:
    import onnx

Layout = Callable[[Path, dict, Path], str]


def write(variant: Path, out: Path, layout: str, card: str) -> None:
    """Write a layout's files into the folder `out`, and `card`, the variant's model card, with its section on use replaced.

    Raises BigfootError where the layout is unknown or not for this variant, or the variant was changed or is of an older
    Bigfoot.
    """
    info = seal.read(variant)
    require(layout, variant.name, info["runtime"], info.get("kind", "own"), "decoding" in info)
    if info.get("version", 1) < seal.VERSION:
        raise BigfootError(f"{variant} is of an older Bigfoot: quantize the model again")
    seal.require_runnable(variant, info)
    out.mkdir(parents=True, exist_ok=True)
    how = LAYOUTS[layout](variant, info, out)
    (out / "README.md").write_text(usage.replaced(card, how), encoding="utf-8")


def require(layout: str, variant: str, runtime: str, kind: str, searches: bool) -> None:
    """Raise BigfootError where there is no such layout, or it isn't for a variant of this runtime and kind.

    `searches`: its texts are those of a beam search with a language model, which no layout holds.
    """
    known = f"known are: {', '.join(LAYOUTS)}"
    if layout in REFUSED:
        raise BigfootError(f"{variant}: {layout} {REFUSED[layout]}; of layouts {known}")
    if layout not in LAYOUTS:
        raise BigfootError(f"{variant}: there is no layout '{layout}', {known}")
    if searches:
        raise BigfootError(f"{variant} has a language model, which layouts leave out: take {variant.partition('+')[0]}")
    wanted, peers = TAKES[layout]
    if runtime != wanted or kind != ("peer" if peers else "own"):
        found = {"peer": f"a peer for {runtime}", "gpu": f"for {runtime} on a GPU"}.get(kind, f"for {runtime}")
        takes = peers or f"Bigfoot's own variants for {wanted}"
        raise BigfootError(f"{variant} is {found}: layout {layout} takes {takes}")


def _onnx(variant: Path, info: dict, out: Path) -> str:
    """onnx/model.onnx (float) or onnx/model_quantized.onnx, Hugging Face's JSON files, and tokens.txt for sherpa-onnx."""
    from pipeline.exports import graph, sherpa

    names = huggingface.token_names(info)
    model, is_quantized = _read(variant, info)
    weights = [(tensor.name, list(tensor.dims)) for tensor in model.graph.initializer]
    channels = graph.channels(weights, len(info["conv_kernels"]))
    graph.rewire(model, info)
    file = out / "onnx" / ("model_quantized.onnx" if is_quantized else "model.onnx")
    is_large = _save(model, variant, file)
    defaults = {"dtype": "q8" if is_quantized else "fp32", "use_external_data_format": is_large}
    huggingface.write(out, info, names, channels, {"transformers.js_config": defaults})
    if not (obstacle := sherpa.obstacle(info)):
        (out / "tokens.txt").write_text(sherpa.tokens(info), encoding="utf-8")
    return usage.onnx(file.relative_to(out).as_posix(), info, obstacle, huggingface.gap_name(info))


def _onnx_asr(variant: Path, info: dict, out: Path) -> str:
    """model.onnx (float) or model.int8.onnx, vocab.txt and config.json."""
    from pipeline.exports import onnx_asr, sherpa

    if mangled := sherpa.mangled(info):
        raise BigfootError(f"{info['variant']}: onnx-asr would not print the token {mangled!r} as it is")
    settings = onnx_asr.config(info)
    model, is_quantized = _read(variant, info)
    onnx_asr.rewire(model, info)
    _save(model, variant, out / ("model.int8.onnx" if is_quantized else "model.onnx"))
    (out / "vocab.txt").write_text(sherpa.tokens(info), encoding="utf-8")
    write_json(out / "config.json", settings)
    return usage.onnx_asr(is_quantized)


def _read(variant: Path, info: dict) -> "tuple[onnx.ModelProto, bool]":
    """A variant's graph, without weights that lie beside it, and whether it is in int8."""
    import onnx

    from pipeline.exports import graph

    model = onnx.load(variant / info["file"], load_external_data=False)
    return model, graph.is_quantized(model)


def _save(model: "onnx.ModelProto", variant: Path, file: Path) -> bool:
    """Write a graph, and beside it the weights of a large one; returns whether it is one."""
    import onnx

    from pipeline.exports import graph

    file.parent.mkdir(exist_ok=True)
    beside = graph.name_weights(model, f"{file.name}_data")
    onnx.save(model, file)
    if beside:
        shutil.copyfile(variant / beside, file.with_name(f"{file.name}_data"))
    return bool(beside)


def _openvino(variant: Path, info: dict, out: Path) -> str:
    """openvino_model.xml and .bin, and Hugging Face's JSON files."""
    import openvino

    from pipeline.exports import openvino_graph

    names = huggingface.token_names(info)
    model, channels = openvino_graph.rewired(variant / info["file"], info)
    openvino.save_model(model, out / "openvino_model.xml", compress_to_fp16=False)
    huggingface.write(out, info, names, channels, {})
    return usage.openvino(info, huggingface.gap_name(info))


def _executorch(variant: Path, info: dict, out: Path) -> str:
    """model.pte and vocab.json."""
    return usage.executorch(info, _as_it_is(variant, info, out))


def _litert(variant: Path, info: dict, out: Path) -> str:
    """model.tflite and vocab.json."""
    return usage.litert(info, _as_it_is(variant, info, out))


def _as_it_is(variant: Path, info: dict, out: Path) -> str:
    """Copy a program that was made for its runtime, and write its tokens; returns the name of the one between words."""
    names = huggingface.token_names(info)
    shutil.copyfile(variant / info["file"], out / info["file"])
    write_json(out / "vocab.json", {name: index for index, name in enumerate(names)})
    return huggingface.gap_name(info)


LAYOUTS: dict[str, Layout] = {
    "onnx": _onnx,
    "openvino": _openvino,
    "onnx-asr": _onnx_asr,
    "executorch": _executorch,
    "litert": _litert,
}
TAKES = {  # the runtime of the variants that a layout takes, and their schemes where they are peers
    "onnx": ("onnxruntime", ""),
    "openvino": ("openvino", ""),
    "onnx-asr": ("onnxruntime", ""),
    "executorch": ("executorch", "the schemes peer-executorch and peer-executorch-int8"),
    "litert": ("ai_edge_litert", "the schemes peer-litert and peer-litert-int8"),
}
REFUSED = {  # and why
    "coreml": "is for Apple's systems alone, on which Bigfoot was never run, so nothing would show that its texts are right"
}
