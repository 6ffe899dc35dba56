"""docs/add/: the student, scheme, source and figure of these pages, put into a fresh clone, do what the pages say."""

import json

import pytest

from tests.docs import pages, shell
from tests.docs.conftest import SHORT, own_audio

PAGES = {name: f"docs/add/{name}.md" for name in ("student", "scheme", "source", "figure")}


@pytest.fixture(scope="module")
def project(own):
    """The own-data guide's profile in use, with its students' stages not yet run."""
    profile = pages.story("docs/own-data.md", "own-data", SHORT).split("bigfoot check")[0]
    shell.run(profile.replace("bigfoot use own", "cp profiles/own.yaml params.yaml"), own)
    shell.commit(own)
    return own


@pytest.mark.parametrize("page", sorted((pages.ROOT / "docs/add").glob("*.md")), ids=pages.name)
def test_each_page_is_one_screen(page):
    """Lines that a reader sees: without marks, fences and blank lines."""
    lines = [line for line in page.read_text(encoding="utf-8").splitlines() if line.strip()]
    assert 0 < len([line for line in lines if not line.startswith(("```", "<!--"))]) < 40


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_a_student_is_two_entries_in_params(project):
    short = {"params.yaml": {"steps: 400": "steps: 2", "evaluate_every: 100": "evaluate_every: 1"}}
    shell.run(pages.story(PAGES["student"], "student", short), project)
    assert json.loads((project / "models/slim/config.json").read_text())["intermediate_size"] == 256
    sets = json.loads((project / "scores/slim.int8-onnx.json").read_text())["sets"]
    assert sets["dev"]["words"] + sets["gate"]["words"] == 8


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_a_scheme_is_a_class_and_an_entry(project):
    output = shell.run(pages.story(PAGES["scheme"], "scheme"), project)
    assert "int8full-onnx" in output and "per_channel" in output  # as bigfoot schemes lists it
    info = json.loads((project / "variants/teacher.int8full-onnx/variant.json").read_text())
    assert info["settings"] == {"per_channel": False} and info["runtime"] == "onnxruntime"
    sizes = {path.name: path.stat().st_size for path in (project / "variants/teacher.int8full-onnx").iterdir()}
    assert sizes["model.onnx"] < 0.5 * (project / "models/teacher/model.safetensors").stat().st_size
    from pipeline.recognition.recognizer import Recognizer  # of this checkout: a variant needs nothing of what made it

    Recognizer.load(project / "variants/teacher.int8full-onnx")


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_a_figure_is_an_entry_and_a_line(project):
    shell.run(pages.story(PAGES["figure"], "figure"), project)
    row = json.loads((project / "reports/comparison.json").read_text())[0]
    assert row["bits_per_weight"] == pytest.approx(8e6 * row["disk_mb"] / row["params"])
    assert "Bits per weight" in (project / "reports/comparison.md").read_text()


@pytest.mark.slow
def test_a_source_is_a_module_its_settings_and_an_entry(tmp_path):
    folder = shell.clone(tmp_path / "bigfoot")
    voices = folder / "data/voices"
    own_audio(voices)
    (voices / "audio").rename(voices / "clips")
    for split in ("train", "dev", "test"):
        lines = (voices / f"{split}.csv").read_text().splitlines()[1:]
        rows = [(f"{split}-{i}.wav", f"s{i}", 2 - (i == 0), "Two six.") for i in range(len(lines))]
        text = ["path\tclient_id\tup_votes\tsentence", *("\t".join(map(str, row)) for row in rows)]
        (voices / f"{split}.tsv").write_text("\n".join(text) + "\n")
    shell.run(pages.story(PAGES["source"], "source"), folder)
    info = json.loads((folder / "corpora/voices/corpus.json").read_text())
    assert info["splits"]["train"]["utterances"] == 11  # the clip with a single vote is left out
    assert info["about"].startswith("Sentences read aloud") and info["source"] == "commonvoice"
