"""Where a project's files lie is spelled in project.py alone."""

import ast
from collections.abc import Iterator
from pathlib import Path

from pipeline.project import Project

ROOT = Path(__file__).parents[1]
BELOW = ROOT / "pipeline/common"  # may not import project.py; common/graph.py reads the dvc.yaml beside its own package


def names() -> set[str]:
    """The names of the files and folders that Project has as properties."""
    properties = [name for name, value in vars(Project).items() if isinstance(value, property)]
    return {part for name in properties if isinstance(path := getattr(Project(), name), Path) for part in path.parts}


def joined(file: Path) -> Iterator[tuple[int, str]]:
    """(line, text) of each text that a module joins to a path with /."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div) and isinstance(node.right, ast.Constant):
            yield node.lineno, str(node.right.value)


def test_no_other_module_spells_a_path_of_the_project():
    known = names()
    assert {"params.yaml", "dvc.lock", "reports", "comparison.json", "mlartifacts", "variants"} <= known
    files = [file for room in ("pipeline", "flows") for file in (ROOT / room).rglob("*.py") if BELOW not in file.parents]
    files.remove(ROOT / "pipeline/project.py")
    spelled = [f"{file}:{line}: {text}" for file in files for line, text in joined(file) if set(Path(text).parts) & known]
    assert not spelled


def test_a_slug_names_the_variant_that_it_is_short_for(tmp_path):
    (tmp_path / "variants/thin.int8-onnx+lm").mkdir(parents=True)
    project = Project(tmp_path)
    given = ("thin-int8-onnx-lm", "thin-int8-onnx", "thin.int8-onnx+lm", "thin")
    assert [project.variant_name(name) for name in given] == [
        "thin.int8-onnx+lm",
        "thin.int8-onnx",
        "thin.int8-onnx+lm",
        "thin",
    ]
