"""Layout `executorch`: its files, and a card whose program is complete. What it writes: test_runtimes.py."""

import json
import re

import pytest

from pipeline.common.errors import BigfootError
from pipeline.common.files import sealed, write_json
from pipeline.exports import layouts
from pipeline.recognition import seal
from tests.exports.conftest import CARD


@pytest.fixture
def variant(variants, tmp_path):
    """What peer-executorch writes, but for the program, which ExecuTorch alone makes and the layout doesn't read."""
    folder, info = tmp_path / "v.peer-executorch", seal.read_info(variants["group", True, "fp32-onnx"])
    folder.mkdir()
    (folder / "model.pte").write_bytes(b"program")
    info |= {"kind": "peer", "runtime": "executorch", "file": "model.pte"}
    write_json(folder / "variant.json", sealed(info | {"files": seal.seal(folder)}))
    return folder


def test_the_folder_holds_the_program_as_it_was_measured_its_tokens_and_how_to_run_it(variant, tmp_path):
    layouts.write(variant, tmp_path / "out", "executorch", CARD)
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"README.md", "model.pte", "vocab.json"}
    assert (tmp_path / "out/model.pte").read_bytes() == b"program"
    tokens = json.loads((tmp_path / "out/vocab.json").read_text())
    assert (tokens["<pad>"], tokens["|"], tokens["a"], len(tokens)) == (0, 4, 5, 32)
    card = (tmp_path / "out/README.md").read_text()
    assert card.startswith(CARD.partition("\nHow it was")[0])
    (program,) = re.findall(r"```python\n(.*?)```", card, re.DOTALL)
    compile(program, "program.py", "exec")
    assert "hop, longest = 320, 480000" in program and "(samples - 400) // 320" in card


def test_what_the_layout_is_not_for_is_refused_in_one_line(variants, variant, tmp_path):
    takes = "layout executorch takes the schemes that executorch runs, peer-executorch"
    with pytest.raises(BigfootError, match=f"group_True.fp32-onnx is for onnxruntime: {takes}"):
        layouts.write(variants["group", True, "fp32-onnx"], tmp_path / "out", "executorch", CARD)
    with pytest.raises(BigfootError, match="v.peer-executorch is a peer for executorch: layout onnx takes Bigfoot's own"):
        layouts.write(variant, tmp_path / "out", "onnx", CARD)
    assert not (tmp_path / "out").exists()
