"""Schemes: the ways in which a model becomes a variant. `quantise` makes one; SCHEMES lists them all.

A variant folder is written whole or not at all, needs nothing of what made it, and holds no pickle: safetensors, ONNX
or OpenVINO IR, beside variant.json, which says how to run it and what these files were (pipeline.sealed). Every runtime
has a float32 scheme too, so that what a runtime gives and what precision gives can be told apart.
"""

import json
import re
import shutil
import tempfile
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import ValidationError

from pipeline import examples, sealed
from pipeline.errors import BigfootError
from pipeline.schemes.base import Scheme
from pipeline.schemes.model_folder import describe
from pipeline.schemes.onnx import OnnxFp32, OnnxInt8, OnnxInt8Static
from pipeline.schemes.openvino import OpenvinoBf16, OpenvinoFp32, OpenvinoInt4Weights, OpenvinoInt8, OpenvinoInt8Weights
from pipeline.schemes.openvino_controlled import OpenvinoInt8Controlled
from pipeline.schemes.openvino_trained import OpenvinoInt8Trained
from pipeline.schemes.torch_bf16 import TorchBf16
from pipeline.schemes.torch_fp32 import TorchFp32
from pipeline.schemes.torch_int8 import TorchInt8
from pipeline.schemes.torchao_int8 import TorchaoInt8

if TYPE_CHECKING:
    from pipeline.corpus.manifest import Corpus

NAME = r"[a-z0-9]+(-[a-z0-9]+)*"
SCHEMES: dict[str, type[Scheme]] = {
    "fp32": TorchFp32,
    "fp32-onnx": OnnxFp32,
    "fp32-openvino": OpenvinoFp32,
    "bf16": TorchBf16,
    "bf16-openvino": OpenvinoBf16,
    "int8-torch": TorchInt8,
    "int8-torchao": TorchaoInt8,
    "int8-onnx": OnnxInt8,
    "int8-onnx-static": OnnxInt8Static,
    "int8-openvino": OpenvinoInt8,
    "int8ac-openvino": OpenvinoInt8Controlled,
    "int8qat-openvino": OpenvinoInt8Trained,
    "int8w-openvino": OpenvinoInt8Weights,
    "int4w-openvino": OpenvinoInt4Weights,
}


def make(scheme: str, settings: Mapping | None = None) -> Scheme:
    """The scheme of that name with these settings; BigfootError where either is unknown or wrong.

    A setting `like` names the scheme that this one is a further set of settings of, under a name of its own.
    """
    settings = dict(settings or {})
    kind = settings.pop("like", scheme)
    if kind not in SCHEMES:
        raise BigfootError(
            f"schemes.{scheme}{'' if kind == scheme else '.like'}: there is no such scheme, known are {', '.join(SCHEMES)}"
        )
    if kind != scheme and not re.fullmatch(NAME, scheme):
        raise BigfootError(f"schemes.{scheme}: a scheme's name has small letters, digits and dashes alone: int8-openvino-16")
    try:
        return SCHEMES[kind].model_validate(settings)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(["schemes", scheme, *map(str, first["loc"])])
        known = ", ".join(SCHEMES[kind].model_fields) or "none"
        raise BigfootError(f"{key}: {first['msg'].lower()} (settings of this scheme: {known})") from None


def quantise(
    scheme: str, settings: Mapping | None, model_folder: str | Path, corpus: "Corpus | None", out_folder: str | Path
) -> dict:
    """Make a variant of the model in `model_folder` and write it to `out_folder`; returns its variant.json.

    `corpus` is needed where the scheme calibrates and may be None otherwise. What was at `out_folder`
    is replaced, and only once the new variant is complete. Raises BigfootError for an unknown scheme or setting, or a
    model that is no wav2vec 2.0 CTC recogniser.
    """
    chosen = make(scheme, settings)
    model_folder, out_folder = Path(model_folder), Path(out_folder)
    described = describe(model_folder)
    info = {
        "variant": f"{model_folder.name}.{scheme}",
        "model": model_folder.name,
        "scheme": scheme,
        "settings": chosen.model_dump(),
        "runtime": chosen.runtime,
        "file": chosen.file,
        "padding": chosen.padding,
        "precision": chosen.precision,
        **described,
        "versions": {package: version(package) for package in chosen.packages},
    }
    out_folder.parent.mkdir(parents=True, exist_ok=True)
    half_done = Path(tempfile.mkdtemp(prefix=f".{out_folder.name}.", dir=out_folder.parent))
    try:
        half_done.chmod(0o755)
        info |= chosen.write(model_folder, corpus, half_done) or {}
        if (example := examples.text(chosen.runtime, chosen.file)) is not None:
            (half_done / "example.py").write_text(example, encoding="utf-8")
        info["files"] = sealed.seal(half_done)
        text = json.dumps(info, indent=1, ensure_ascii=False)
        (half_done / "variant.json").write_text(text + "\n", encoding="utf-8")
        if out_folder.exists():
            shutil.rmtree(out_folder)
        half_done.rename(out_folder)
    finally:
        shutil.rmtree(half_done, ignore_errors=True)
    return info
