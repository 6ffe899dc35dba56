"""`peer-sherpa-onnx` and `peer-sherpa-onnx-int8`: Bigfoot's own graphs, laid out for sherpa-onnx and run by it."""

from pathlib import Path
from typing import ClassVar

from pipeline.common.errors import BigfootError
from pipeline.exports import sherpa
from pipeline.models.description import describe
from pipeline.quantize.base import VNNI, Scheme
from pipeline.quantize.onnx import OnnxFp32, OnnxInt8
from pipeline.quantize.peers import Peer
from pipeline.recognition.runtimes import TOKENS


class PeerSherpaOnnx(Peer):
    """The layout `onnx` of fp32-onnx, run by sherpa-onnx: what phones and browsers that use it will hear.

    Lowers: nothing
    Granularity: none
    Hardware: any CPU
    Limits: models trained on normalized audio only; no scores, so the confidences of words mean nothing
    """

    runtime = "sherpa_onnx"
    file = "model.onnx"
    packages = ("torch", "transformers", "onnx", "onnxruntime")
    runs_on = ("sherpa_onnx",)
    extra = "peers"
    scheme: ClassVar[type[Scheme]] = OnnxFp32

    def write(self, model_folder: Path, corpus, out: Path) -> None:
        import onnx

        from pipeline.exports import graph

        info = {"variant": model_folder.name, **describe(model_folder)}
        if reason := sherpa.obstacle(info):
            raise BigfootError(f"sherpa-onnx can't run {model_folder.name}: {reason}: leave it out")
        self.scheme().write(model_folder, corpus, out)
        model = onnx.load(out / self.file, load_external_data=False)
        graph.rewire(model, info)
        onnx.save(model, out / self.file)
        (out / TOKENS).write_text(sherpa.tokens(info), encoding="utf-8")


class PeerSherpaOnnxInt8(PeerSherpaOnnx):
    """The layout `onnx` of int8-onnx, run by sherpa-onnx.

    Lowers: as int8-onnx
    Granularity: as int8-onnx
    Hardware: any CPU; faster with VNNI
    Limits: as peer-sherpa-onnx
    """

    scheme = OnnxInt8
    features, otherwise = VNNI, "int8 gains less, or nothing"
