"""`peer-...`: other projects' ways to shrink the same model, as schemes, so that they are measured like Bigfoot's own.

Decision: a peer is used as its authors advise for this kind of model, and not as Bigfoot would do it, with one exception:
normalization of the waveform and greedy decoding are the same code for all (pipeline.recognition.recognizer), so that texts
differ by logits alone. Peers run transformers' plain forward pass, which padding changes, so a batch holds equal lengths. No
peer is ever promoted (pipeline.compare.rows). PyTorch's own two ways are not here: they are the schemes `fp32` and
`int8-torch`.
"""

import json
import shutil
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.common import host
from pipeline.common.errors import BigfootError
from pipeline.quantize import export
from pipeline.quantize.base import BF16, VNNI, Scheme
from pipeline.recognition import torch_model, torchao_model

if TYPE_CHECKING:
    from pipeline.params import Student


class Peer(Scheme):
    """What all peers have in common."""

    kind = "peer"
    padding = "exact"


class PeerTorchao(Peer):
    """torchao's quantize_ with Int8DynamicActivationInt8WeightConfig, eager.

    Lowers: every Linear, to int8; convolutions stay in float32
    Granularity: as int8-torchao, in all eight bits
    Hardware: CPUs with VNNI
    Limits: runs without torch.compile, which its authors advise: it needs a C++ compiler, and minutes again for some lengths
    """

    runtime = "torch"
    file = torchao_model.FILE
    packages = ("torch", "torchao", "transformers")
    runs_on = ("torchao",)
    features, otherwise = VNNI, "sums of eight-bit products may overflow"

    def write(self, model_folder: Path, corpus, out: Path) -> None:
        model = torch_model.load_float(model_folder)
        torchao_model.quantize_linears(model, reduce_range=False)
        torchao_model.save(model, out)
        shutil.copyfile(model_folder / "config.json", out / "config.json")


class PeerOnnxOptimum(Peer):
    """ONNX Runtime int8 as by Optimum's ORTQuantizer with its defaults, made by the calls that Optimum makes, because
    optimum-onnx 0.1.0 itself refuses transformers 5.

    Lowers: every operator that ONNX Runtime's dynamic int8 supports, including convolutions
    Granularity: weights symmetric, one scale per output; activations uint8, one range per call, computed at run time
    Hardware: the kind of CPU that makes it, by Optimum's avx512_vnni() or avx2(), as variant.json records
    Limits: ConvInteger is slower than a float convolution, and a group-norm feature encoder loses quiet sounds
    """

    runtime = "onnxruntime"
    file = "plain.onnx"
    packages = ("torch", "transformers", "onnx", "onnxruntime")

    def operators(self) -> list[str]:
        """The types of operators that are lowered."""
        from onnxruntime.quantization.registry import IntegerOpsRegistry

        return list(IntegerOpsRegistry)

    def write(self, model_folder: Path, corpus, out: Path) -> dict:
        from onnxruntime.quantization import QuantType, quantize_dynamic

        vnni = "avx512_vnni" in host.features()
        with export.hushed(), export.temporary(out) as full:
            _plain_onnx(model_folder, full)
            quantize_dynamic(
                full,
                out / self.file,
                op_types_to_quantize=self.operators(),
                per_channel=True,
                weight_type=QuantType.QInt8 if vnni else QuantType.QUInt8,
                use_external_data_format=export.is_large(full),
                extra_options={"WeightSymmetric": True, "ActivationSymmetric": False, "MatMulConstBOnly": False},
            )
        return {"optimum": "avx512_vnni" if vnni else "avx2"}


class PeerOnnxOptimumMatMul(PeerOnnxOptimum):
    """peer-onnx-optimum with operators_to_quantize=["MatMul"], as is usual for speech models.

    Lowers: every MatMul, to int8; convolutions stay in float32
    Granularity: as peer-onnx-optimum
    Hardware: as peer-onnx-optimum
    Limits: none known
    """

    def operators(self) -> list[str]:
        return ["MatMul"]


class PeerOpenvino(Peer):
    """OpenVINO float32 from the plain graph, weights uncompressed.

    Lowers: nothing
    Granularity: none
    Hardware: any CPU
    Limits: compiles convolutions for each new length
    """

    runtime = "openvino"
    file = "plain.xml"
    packages = ("torch", "transformers", "onnx", "openvino")

    def write(self, model_folder: Path, corpus, out: Path) -> None:
        import openvino

        with export.temporary(out) as full:
            _plain_onnx(model_folder, full)
            graph = openvino.Core().read_model(full)  # convert_model would do the same, and send usage data
            openvino.save_model(graph, out / self.file, compress_to_fp16=False)


class PeerOpenvinoBf16(PeerOpenvino):
    """The files of peer-openvino, run in bfloat16, which is OpenVINO's own choice on a CPU that has it.

    Lowers: computation, to bfloat16
    Granularity: none, each value by itself
    Hardware: CPUs with AVX512-BF16, AMX-BF16 or ARM's BF16
    Limits: elsewhere OpenVINO computes in float32
    """

    precision = "bf16"
    features, otherwise = BF16, "OpenVINO computes in float32"


class PeerCTranslate2(Peer):
    """CTranslate2, converted with quantization="int8".

    Lowers: Linear layers and convolutions, to int8
    Granularity: as CTranslate2 chooses
    Hardware: any CPU
    Limits: layer-norm feature encoders, pre-norm layers and positional convolutions of 128 frames in 16 groups only
    """

    runtime = "ctranslate2"
    file = "model.bin"
    packages = ("torch", "transformers", "ctranslate2")
    extra = "peers"

    def write(self, model_folder: Path, corpus, out: Path) -> None:
        from ctranslate2.converters import TransformersConverter

        config = json.loads((model_folder / "config.json").read_text(encoding="utf-8"))
        if reason := self.obstacle(config, None):
            raise BigfootError(f"peer-ctranslate2: {reason}")
        TransformersConverter(str(model_folder)).convert(str(out), quantization="int8", force=True)

    def obstacle(self, config: Mapping, student: "Student | None") -> str | None:
        supported = _supported(config) if config else None
        return f"CTranslate2's Wav2Vec2 supports {supported}: leave it out" if supported else None


def _supported(config: Mapping) -> str | None:
    """What CTranslate2's Wav2Vec2, written for the large models (lv60, XLS-R), supports where this model is another."""
    if config["model_type"] != "wav2vec2" or config.get("adapter_attn_dim"):
        kind = "has adapters" if config["model_type"] == "wav2vec2" else f"is {config['model_type']}"
        return f"wav2vec2 without adapters only, and this model {kind}"
    if config["feat_extract_norm"] != "layer":
        return "feature encoders with layer norm only, and this model's has group norm"
    if not config["do_stable_layer_norm"]:
        return "pre-norm layers only (do_stable_layer_norm), and this model's are post-norm"
    frames, groups = config["num_conv_pos_embeddings"], config["num_conv_pos_embedding_groups"]
    if (frames, groups) != (128, 16):
        return f"positional convolutions of 128 frames in 16 groups only, and this model's has {frames} in {groups}"
    return None


def _plain_onnx(model_folder: Path, path: Path) -> None:
    """Export an unchanged Wav2Vec2ForCTC in float32, as Optimum does: waveform [batch, samples] -> logits, opset 18."""
    import torch

    class Logits(torch.nn.Module):
        def __init__(self, model):
            super().__init__()
            self.model = model

        def forward(self, waveform):
            return self.model(waveform).logits

    graph = Logits(torch_model.load_float(model_folder, attention="eager")).eval()
    with warnings.catch_warnings(), torch.inference_mode():
        warnings.simplefilter("ignore", torch.jit.TracerWarning)
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.onnx.export(
            graph,
            (torch.zeros(2, 16_000),),
            str(path),
            dynamo=False,
            opset_version=18,
            input_names=["waveform"],
            output_names=["logits"],
            dynamic_axes={"waveform": {0: "batch", 1: "samples"}, "logits": {0: "batch", 1: "frames"}},
        )
