"""`peer-litert` and `peer-litert-int8`: .tflite files, which LiteRT runs on phones and small devices.

Decision: LiteRT computes fast at fixed lengths only, so a file has one signature for each of LENGTHS, and audio runs in the
shortest that holds it; they share their weights. The converter, litert-torch, wants an older typing_extensions than Bigfoot's
packages do, so it has an environment of its own, inside the one in which this runs.
"""

import subprocess
import sys
import tempfile
import warnings
from pathlib import Path
from typing import ClassVar

from pipeline.common.errors import BigfootError
from pipeline.models.description import describe
from pipeline.quantize import raw_audio
from pipeline.quantize.peers import Peer
from pipeline.recognition import torch_model

LENGTHS = (3, 10, 30)  # seconds; the last is the recognizer's window
PYTHON = Path(sys.prefix) / "litert" / "bin" / "python"
CONVERTER = Path(__file__).with_name("litert_converter.py")


class PeerLitert(Peer):
    """LiteRT, as litert-torch converts, in float32.

    Lowers: nothing
    Granularity: none
    Hardware: any CPU
    Limits: audio of up to 30 s in one pass, padded to 3, 10 or 30 s; a recording at a time; needs `make litert` to be made
    """

    runtime = "ai_edge_litert"
    file = "model.tflite"
    packages = ("torch", "transformers", "ai_edge_litert")
    runs_on = ("ai_edge_litert",)
    extra = "peers"
    lowered: ClassVar[str] = "float"

    def lacking(self) -> str | None:
        return None if PYTHON.is_file() else "its converter, litert-torch, is not installed: `make litert` installs it"

    def write(self, model_folder: Path, corpus, out: Path) -> dict:
        with tempfile.TemporaryDirectory() as scratch:
            programs = [f"seconds_{seconds}={_exported(model_folder, seconds, Path(scratch))}" for seconds in LENGTHS]
            command: list[str | Path] = [PYTHON, "-I", CONVERTER, out / self.file, self.lowered, *programs]
            done = subprocess.run(command, cwd=scratch, capture_output=True, text=True)
        if done.returncode:
            reason = (done.stderr.strip() or "no message").splitlines()[-1][:300]
            raise BigfootError(f"litert-torch can't convert {model_folder.name}: {reason}")
        return {"converter": done.stdout.splitlines()[-1]}


class PeerLitertInt8(PeerLitert):
    """LiteRT with the dynamic int8 of ai-edge-quantizer.

    Lowers: every Linear, to int8; convolutions stay in float32
    Granularity: weights symmetric, one scale per output; activations int8, set at run time
    Hardware: any CPU
    Limits: as peer-litert
    """

    lowered = "int8"


def _exported(model_folder: Path, seconds: int, folder: Path) -> Path:
    """The program of a model for audio of one length, as a file that PyTorch opens."""
    import torch

    info = describe(model_folder)
    module = raw_audio.module(torch_model.load_float(model_folder, attention="eager"), info)
    samples = seconds * info["sample_rate"]
    inputs = {"audio": torch.zeros(1, samples), "length": torch.tensor([samples], dtype=torch.int32)}
    path = folder / f"{seconds}.pt2"
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        graph = torch.export.export(module, (), inputs).module()
        _compute_constants(graph)
        torch.export.save(torch.export.export(graph, (), inputs), path)
    return path


def _compute_constants(graph) -> None:
    """Put values in place of the operations that read nothing, such as arange and eye, which LiteRT lacks."""
    import torch

    for number, node in enumerate(list(graph.graph.nodes)):
        if node.op == "call_function" and not node.all_input_nodes and isinstance(node.target, torch._ops.OpOverload):
            graph.register_buffer(f"constant_{number}", node.target(*node.args, **node.kwargs))
            with graph.graph.inserting_before(node):
                node.replace_all_uses_with(graph.graph.get_attr(f"constant_{number}"))
            graph.graph.erase_node(node)
    graph.recompile()
