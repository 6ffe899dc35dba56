"""The table of all schemes, the ways to make a variant from a model. `make` makes a scheme from its settings in params.yaml.

Every runtime has a float32 scheme too, so that the effects of runtime and precision can be separated.
"""

import re
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from pipeline.common.errors import BigfootError
from pipeline.quantize import decodings
from pipeline.quantize.base import Scheme
from pipeline.quantize.gpu import OnnxFp16Cuda, TorchBf16Cuda, TorchFp16Cuda
from pipeline.quantize.onnx import OnnxFp32, OnnxInt8, OnnxInt8Static
from pipeline.quantize.onnx_nbits import OnnxInt4Weights
from pipeline.quantize.openvino import OpenvinoBf16, OpenvinoFp32, OpenvinoInt4Weights, OpenvinoInt8
from pipeline.quantize.openvino_controlled import OpenvinoInt8Controlled
from pipeline.quantize.openvino_trained import OpenvinoInt8Trained
from pipeline.quantize.peers import (
    PeerCTranslate2,
    PeerOnnxOptimum,
    PeerOnnxOptimumMatMul,
    PeerOpenvino,
    PeerOpenvinoBf16,
    PeerTorchao,
)
from pipeline.quantize.peers_executorch import PeerExecutorch, PeerExecutorchInt8
from pipeline.quantize.peers_litert import PeerLitert, PeerLitertInt8
from pipeline.quantize.peers_sherpa import PeerSherpaOnnx, PeerSherpaOnnxInt8
from pipeline.quantize.torch_bf16 import TorchBf16
from pipeline.quantize.torch_fp32 import TorchFp32
from pipeline.quantize.torch_int8 import TorchInt8
from pipeline.quantize.torchao_int8 import TorchaoInt8
from pipeline.recognition import decoding, gpu

if TYPE_CHECKING:
    from pipeline.params import Params

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
    "int4w-openvino": OpenvinoInt4Weights,
    "int4w-onnx": OnnxInt4Weights,
    "fp16-cuda": TorchFp16Cuda,
    "bf16-cuda": TorchBf16Cuda,
    "fp16-onnx-cuda": OnnxFp16Cuda,
    "peer-torchao": PeerTorchao,
    "peer-onnx-optimum": PeerOnnxOptimum,
    "peer-onnx-optimum-matmul": PeerOnnxOptimumMatMul,
    "peer-openvino": PeerOpenvino,
    "peer-openvino-bf16": PeerOpenvinoBf16,
    "peer-ctranslate2": PeerCTranslate2,
    "peer-sherpa-onnx": PeerSherpaOnnx,
    "peer-sherpa-onnx-int8": PeerSherpaOnnxInt8,
    "peer-executorch": PeerExecutorch,
    "peer-executorch-int8": PeerExecutorchInt8,
    "peer-litert": PeerLitert,
    "peer-litert-int8": PeerLitertInt8,
}


def make(scheme: str, settings: Mapping | None = None) -> Scheme:
    """The scheme of that name with these settings; raises BigfootError where either is unknown or wrong.

    A setting `like` names another scheme: then `scheme` is a new name for that scheme with these settings. What follows a + in
    the name, and the setting `lm`, belong to a decoding (`decodings`), which isn't part of the scheme that is returned.
    """
    decodings.of(scheme, settings)
    settings = {key: value for key, value in (settings or {}).items() if key != "lm"}
    weights, _, decoded = scheme.partition(decodings.MARK)
    kind = settings.pop("like", weights)
    if not isinstance(kind, str) or kind not in SCHEMES:
        raise BigfootError(
            f"schemes.{scheme}{'' if kind == weights else '.like'}: there is no such scheme, known are {', '.join(SCHEMES)}"
        )
    if not all(re.fullmatch(NAME, part) for part in (weights, *([decoded] if decodings.MARK in scheme else []))):
        raise BigfootError(
            f"schemes.{scheme}: a scheme's name has only small letters, digits and dashes, such as int8-openvino-16, "
            "and what decodes it after a +, such as int8-onnx+lm"
        )
    if decoded and SCHEMES[kind].kind == "peer":
        raise BigfootError(f"schemes.{scheme}: a peer decodes greedily, as the other tool does: leave out +{decoded} and lm")
    if weights in SCHEMES and kind != weights:
        raise BigfootError(f"schemes.{scheme}.like: {weights} is a scheme itself: give the one like {kind} a name of its own")
    try:
        return SCHEMES[kind].model_validate(settings)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(["schemes", scheme, *map(str, first["loc"])])
        known = ", ".join(SCHEMES[kind].model_fields) or "none"
        raise BigfootError(f"{key}: {first['msg'].lower()} (settings of this scheme: {known})") from None


def check(params: "Params", configs: Callable[[], Mapping[str, Any]]) -> None:
    """Raise BigfootError for a variant whose scheme can't lower its model, as far as this is known before it is trained, or
    whose language model is not there.

    `configs` gives the config of each model, as far as they are known.
    """
    known: Mapping[str, Any] | None = None
    models: list[decodings.LanguageModelSettings] = []
    for variant in params.variants.values():
        scheme = make(variant.scheme, params.schemes[variant.scheme])
        if (settings := decodings.of(variant.scheme, params.schemes[variant.scheme])) and settings not in models:
            decodings.check(settings)
            models.append(settings)
        if type(scheme).obstacle is Scheme.obstacle:
            continue
        known = configs() if known is None else known
        config = known[variant.model].to_dict() if variant.model in known else {}
        if reason := scheme.obstacle(config, params.students.get(variant.model)):
            raise BigfootError(f"variants.{variant.slug}: {variant.scheme} can't lower {variant.model}: {reason}")


def not_timed_here(schemes: Mapping[str, Mapping | None]) -> list[str]:
    """A line for each reason why variants in these schemes, given with their settings, can't be timed on this machine."""
    reasons: dict[str, list[str]] = {}
    for name, settings in schemes.items():
        chosen = make(name, settings)
        if reason := gpu.obstacle({"device": chosen.device, "runtime": chosen.runtime}):
            reasons.setdefault(reason, []).append(name)
    return [f"{', '.join(names)}: won't be timed here, {reason}" for reason, names in reasons.items()]


def require_packages(scheme: str, settings: Mapping | None = None) -> None:
    """Raise BigfootError, with what to install, where a package that makes or runs the scheme is not installed."""
    chosen = make(scheme, settings)
    for package in (*chosen.packages, *chosen.runs_on):
        if find_spec(package) is None:
            cure = f"`make {chosen.extra}` installs the extra `{chosen.extra}`" if chosen.extra else "install requirements.lock"
            raise BigfootError(f"schemes.{scheme}: {package} is not installed: {cure}")
    if lacking := chosen.lacking():
        raise BigfootError(f"schemes.{scheme}: {lacking}")
    if decodings.of(scheme, settings):
        decoding.require_installed()
