"""`write` lays a finished variant out as a folder that other runtimes open without Bigfoot.

    onnx      sherpa-onnx, transformers.js, onnxruntime-web, ONNX Runtime and Optimum: one folder for all

A layout is a function (variant folder, its variant.json, folder to write) -> what the card says of how to run it.
"""

import shutil
from collections.abc import Callable
from pathlib import Path

from pipeline.common.errors import BigfootError
from pipeline.exports import huggingface, usage
from pipeline.recognition import seal

Layout = Callable[[Path, dict, Path], str]


def write(variant: Path, out: Path, layout: str, card: str) -> None:
    """Write a layout's files into the folder `out`, and `card`, the variant's model card, with its section on use replaced.

    Raises BigfootError where the layout is unknown or not for this variant, or the variant was changed.
    """
    require(layout)
    info = seal.read(variant)
    seal.require_runnable(variant, info)
    if info["runtime"] != (runtime := RUNTIMES[layout]) or info.get("kind") == "peer":
        kind = "a peer" if info.get("kind") == "peer" else f"for {info['runtime']}"
        raise BigfootError(f"{info['variant']} is {kind}: layout {layout} takes Bigfoot's own variants for {runtime}")
    out.mkdir(parents=True, exist_ok=True)
    how = LAYOUTS[layout](variant, info, out)
    (out / "README.md").write_text(usage.replaced(card, how), encoding="utf-8")


def require(layout: str) -> None:
    """Raise BigfootError where there is no such layout."""
    if layout not in LAYOUTS:
        raise BigfootError(f"there is no layout '{layout}', known are: {', '.join(LAYOUTS)}")


def _onnx(variant: Path, info: dict, out: Path) -> str:
    """onnx/model.onnx (float) or onnx/model_quantized.onnx, Hugging Face's JSON files, and tokens.txt for sherpa-onnx."""
    import onnx

    from pipeline.exports import graph, sherpa

    names = huggingface.token_names(info)
    model = onnx.load(variant / info["file"], load_external_data=False)
    is_quantized = graph.is_quantized(model)
    file = out / "onnx" / ("model_quantized.onnx" if is_quantized else "model.onnx")
    channels = graph.channels(model, len(info["conv_kernels"]))
    graph.rewire(model, info)
    beside = graph.name_weights(model, f"{file.name}_data")
    file.parent.mkdir(exist_ok=True)
    onnx.save(model, file)
    if beside:
        shutil.copyfile(variant / beside, file.with_name(f"{file.name}_data"))
    huggingface.write(out, info, names, channels, is_quantized, bool(beside))
    if not (obstacle := sherpa.obstacle(info)):
        (out / "tokens.txt").write_text(sherpa.tokens(info), encoding="utf-8")
    return usage.onnx(file.relative_to(out).as_posix(), info, obstacle, huggingface.gap_name(info))


LAYOUTS: dict[str, Layout] = {"onnx": _onnx}
RUNTIMES = {"onnx": "onnxruntime"}  # of the variants that a layout takes
