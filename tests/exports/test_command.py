"""`bigfoot export --for`: what docs/deploy.md promises, and what is refused in one line."""

import json

import pytest
from typer.testing import CliRunner

from pipeline import cli
from pipeline.common.errors import BigfootError
from pipeline.compare.run import compare
from tests import planted
from tests.docs import pages
from tests.tiny import save_model

FIGURES = {name.replace("half.int8-openvino", "thin.int8-onnx"): figures for name, figures in planted.FIGURES.items()}


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A compared project in which thin.int8-onnx is a real variant."""
    folder = tmp_path_factory.mktemp("project")
    params = planted.plant(folder, FIGURES)
    planted.plant_variant(folder, "thin.int8-onnx", save_model(tmp_path_factory.mktemp("model") / "thin"))
    compare(params, folder, folder / "reports")
    return folder


def export(*arguments: str):
    return CliRunner().invoke(cli.app, ["export", *arguments])


def test_the_command_of_the_page_lays_a_variant_out(project, monkeypatch):
    monkeypatch.chdir(project)
    page = next(page for page in pages.pages() if page.name == "deploy.md")
    (words,) = [words for block in pages.blocks(page) if block.language == "console" for words in pages.commands(block.text)]
    assert words[:2] == ["bigfoot", "export"]
    done = export(*words[2:], "--license", "apache-2.0")
    assert done.exit_code == 0 and done.output == "thin.int8-onnx with its card is in out/thin\n"
    assert (project / "out/thin/onnx/model_quantized.onnx").is_file()
    card = (project / "out/thin/README.md").read_text()
    assert "license: apache-2.0" in card and "## Metrics" in card and "sherpa_onnx" in card
    assert json.loads((project / "out/thin/config.json").read_text())["model_type"] == "wav2vec2"


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (["thin", "new", "--for", "onnx"], "thin is a model: --for takes a variant, such as thin.int8-onnx"),
        (
            ["thin.int8-onnx", "new", "--for", "onyx"],
            "thin.int8-onnx: there is no layout 'onyx', known are: onnx, openvino, onnx-asr, executorch, litert",
        ),
        (["thin.int8-onnx", "new", "--for", "coreml"], "thin.int8-onnx: coreml is for Apple's systems alone"),
        (["thin.int8-onnx", "new", "--for", "openvino"], "thin.int8-onnx is for onnxruntime: layout openvino takes"),
        (["thin.int8-onnx", "models", "--for", "onnx"], "models is not empty: name another folder"),
    ],
)
def test_what_can_not_be_exported_is_one_line_and_leaves_nothing(project, monkeypatch, arguments, error):
    monkeypatch.chdir(project)
    done = export(*arguments)
    assert done.exit_code == 1 and isinstance(done.exception, BigfootError) and str(done.exception).startswith(error)
    assert "\n" not in str(done.exception) and not (project / "new").exists()
