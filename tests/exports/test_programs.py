"""Layouts `executorch` and `litert`: their files, and a card whose program is complete. What it writes: test_runtimes.py."""

import json
import re

import pytest

from pipeline.common.errors import BigfootError
from pipeline.common.files import sealed, write_json
from pipeline.exports import layouts
from pipeline.recognition import seal
from tests.exports.conftest import CARD

MADE = {"executorch": ("executorch", "model.pte"), "litert": ("ai_edge_litert", "model.tflite")}


@pytest.fixture(params=MADE)
def layout(request):
    return request.param


@pytest.fixture
def variant(layout, variants, tmp_path):
    """What peer-LAYOUT writes, but for the program, which the runtime's makers alone make and the layout doesn't read."""
    folder, info = tmp_path / f"v.peer-{layout}", seal.read_info(variants["group", True, "fp32-onnx"])
    runtime, file = MADE[layout]
    folder.mkdir()
    (folder / file).write_bytes(b"program")
    info |= {"kind": "peer", "runtime": runtime, "file": file, "longest": 480_000}
    write_json(folder / "variant.json", sealed(info | {"files": seal.seal(folder)}))
    return folder


def test_the_folder_holds_the_program_as_it_was_measured_its_tokens_and_how_to_run_it(layout, variant, tmp_path):
    layouts.write(variant, tmp_path / "out", layout, CARD)
    _, file = MADE[layout]
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"README.md", file, "vocab.json"}
    assert (tmp_path / "out" / file).read_bytes() == b"program"
    tokens = json.loads((tmp_path / "out/vocab.json").read_text())
    assert (tokens["<pad>"], tokens["|"], tokens["a"], len(tokens)) == (0, 4, 5, 32)
    card = (tmp_path / "out/README.md").read_text()
    assert card.startswith(CARD.partition("\nHow it was")[0])
    (program,) = re.findall(r"```python\n(.*?)```", card, re.DOTALL)
    compile(program, "program.py", "exec")
    assert file in program and "(len(samples) - 400) //" in program and "(samples - 400) // 320 are" in " ".join(card.split())


def test_what_the_layout_is_not_for_is_refused_in_one_line(layout, variants, variant, tmp_path):
    takes = f"layout {layout} takes the schemes peer-{layout} and"
    with pytest.raises(BigfootError, match=f"group_True.fp32-onnx is for onnxruntime: {takes}"):
        layouts.write(variants["group", True, "fp32-onnx"], tmp_path / "out", layout, CARD)
    with pytest.raises(BigfootError, match=r"v.fp16-onnx-cuda is for onnxruntime on a GPU: layout onnx takes Bigfoot's own"):
        layouts.require("onnx", "v.fp16-onnx-cuda", "onnxruntime", "gpu", searches=False)
    with pytest.raises(BigfootError, match=f"v.peer-{layout} is a peer for {MADE[layout][0]}: layout onnx takes Bigfoot's own"):
        layouts.write(variant, tmp_path / "out", "onnx", CARD)
    assert not (tmp_path / "out").exists()
