"""`bigfoot web` writes a page that needs nothing but a file server, with the variants that a browser can run."""

import gzip
import json
import re
import shutil
from html.parser import HTMLParser

import pytest

from pipeline.apps.web.build import PAGE, RUNTIME, build
from pipeline.common.errors import BigfootError
from tests import corpora
from tests.apps.web.conftest import TOKENS
from tests.planted import bigfoot


@pytest.fixture
def built(project, tmp_path):
    """A project with a runtime that nobody runs, and what `build` said."""
    root = tmp_path / "project"
    shutil.copytree(project, root, ignore=shutil.ignore_patterns("node_modules"))
    (root / RUNTIME).mkdir(parents=True)
    (root / RUNTIME / "ort.wasm.bundle.min.mjs").write_text("export {};")
    (root / RUNTIME / "ort-wasm-simd-threaded.wasm").write_bytes(b"\0asm" * 1000)
    return root, build(root, [], root / "web")


def about(root) -> dict:
    return json.loads((root / "web/models.json").read_text())


def listed(root) -> list[str]:
    """The service worker's list."""
    return json.loads(re.search(r"FILES = (\[.*?\]);", (root / "web/files.js").read_text(), re.DOTALL)[1])


def test_the_champion_is_first_and_each_model_is_an_export_with_its_card_and_figures(built):
    root, said = built
    half, thin = about(root)["models"]
    assert (half["name"], half["champion"]) == ("half.fp32-onnx", True) and (thin["name"], thin["champion"]) == (
        "thin.fp32-onnx",
        False,
    )
    assert half["rate"] == pytest.approx(20 / 500) and half["low"] < half["rate"] < half["high"]
    assert (half["tokens"], half["blank"], half["hop"], half["field"]) == (TOKENS, 0, 320, 400)
    file = root / "web" / half["file"]
    assert file.stat().st_size == half["bytes"] and "0.04" in (root / "web/exported/half.fp32-onnx/README.md").read_text()
    assert said[0].startswith("half.fp32-onnx: 0.0 MB")


def test_the_champion_is_first_whatever_its_size_and_gate(built):
    root, _ = built
    rows = json.loads((root / "reports/comparison.json").read_text())
    for row in rows:
        row["champion"] = row["variant"] == "thin.fp32-onnx"
    (root / "reports/comparison.json").write_text(json.dumps(rows))
    build(root, [], root / "web")
    assert [model["name"] for model in about(root)["models"]] == ["thin.fp32-onnx", "half.fp32-onnx"]


def test_named_variants_alone_are_in_the_page_in_their_order(built):
    root, _ = built
    said = build(root, ["thin.fp32-onnx"], root / "web")
    assert [model["name"] for model in about(root)["models"]] == ["thin.fp32-onnx"]
    assert not (root / "web/exported/half.fp32-onnx").exists() and "The champion, half.fp32-onnx, is not among them" in said
    with pytest.raises(BigfootError, match="teacher.fp32 is none of the compared variants in ONNX"):
        build(root, ["teacher.fp32"], root / "web")


def test_the_service_worker_stores_all_files_but_models_and_examples_that_come_later(built):
    root, _ = built
    files = {path.relative_to(root / "web").as_posix() for path in (root / "web").rglob("*") if path.is_file()}
    first = about(root)["models"][0]["file"]
    later = {name for name in files if name.startswith(("exported/", "examples/"))} - {first}
    assert set(listed(root)) == files - later - {"index.html", "sw.js", "files.js"} | {"./"}
    code = " ".join(path.read_text() for path in PAGE.glob("*.js")) + (PAGE / "index.html").read_text()
    needed = set(re.findall(r'"(?:\./)?([\w/]+\.(?:js|mjs|css|svg|gzip|json))"', code)) - {"sw.js", "files.js"}
    assert needed <= set(listed(root))


def test_another_build_of_other_files_has_another_version_and_the_same_files_the_same(built):
    root, _ = built
    before = (root / "web/files.js").read_text()
    build(root, [], root / "web")
    assert (root / "web/files.js").read_text() == before
    build(root, ["thin.fp32-onnx"], root / "web")
    assert (root / "web/files.js").read_text().splitlines()[0] != before.splitlines()[0]


def test_no_file_names_another_host_and_the_policy_forbids_them(built):
    root, _ = built
    texts = [path for path in (root / "web").glob("*") if path.is_file()]
    found = {address for path in texts for address in re.findall(r"(?:https?:)?//[\w.-]+\.\w+[^\s\"')]*", path.read_text())}
    assert found == {"http://www.w3.org/2000/svg"}  # a name, not an address that is asked
    assert "default-src 'self'" in (root / "web/index.html").read_text()


def test_the_runtime_is_compressed_since_a_file_server_does_not(built):
    root, _ = built
    packed = (root / "web/runtime/ort.wasm.gzip").read_bytes()
    assert gzip.decompress(packed) == b"\0asm" * 1000 and len(packed) < 200
    assert about(root)["runtime_bytes"] == len(packed) + len("export {};")


def test_the_worst_utterances_are_examples_unless_the_corpus_is_proprietary(built):
    root, said = built
    worst = [row["id"] for row in json.loads((root / "reports/worst.json").read_text())][:5]
    assert worst and len(about(root)["examples"]) == 5 and said[-1].startswith("5 recordings of the test set")
    assert (root / "web" / about(root)["examples"][0]["file"]).read_bytes().startswith(b"fLaC")
    folder = next((root / "corpora").iterdir())
    corpora.rewrite(folder, lambda splits: None)
    info = json.loads((folder / "corpus.json").read_text())
    (folder / "corpus.json").write_text(json.dumps(info | {"license": "proprietary"}))
    assert build(root, [], root / "web")[-1] == "No recording of the test set: the corpus is proprietary"
    assert about(root)["examples"] == [] and not (root / "web/examples").exists()


def test_a_folder_with_something_else_is_left_alone_and_a_missing_runtime_is_named(built):
    root, _ = built
    (root / "notes").mkdir()
    (root / "notes/mine.txt").write_text("mine")
    with pytest.raises(BigfootError, match="something other than the page"):
        build(root, [], root / "notes")
    shutil.rmtree(root / "node_modules")
    before = (root / "web/files.js").read_text()
    with pytest.raises(BigfootError, match="run `make web`, which installs it with npm"):
        build(root, [], root / "web")
    assert (root / "web/files.js").read_text() == before and not list((root / ".bigfoot").glob("web-*"))


def test_the_command_builds_the_page_and_says_how_to_see_it(built):
    root, _ = built
    shutil.rmtree(root / "web")
    done = bigfoot("web", "half.fp32-onnx", cwd=root)
    assert done.returncode == 0, done.stderr
    assert "half.fp32-onnx: 0.0 MB" in done.stdout and "python -m http.server -d web" in done.stdout
    assert (root / "web/index.html").is_file()


# ---------------------------------------------------------------- readable by all


class Labels(HTMLParser):
    """Which controls have a name that a screen reader says."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.inside_label, self.labelled, self.controls = False, set(), []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list) -> None:
        values = dict(attrs)
        if tag == "label":
            self.inside_label = True
            self.labelled.add(values.get("for"))
        if tag in ("input", "textarea", "select"):
            self.controls.append((values["id"], self.inside_label))
        if tag == "section":
            assert "aria-label" in values or "aria-labelledby" in values

    def handle_endtag(self, tag: str) -> None:
        self.inside_label = self.inside_label and tag != "label"


def test_every_control_has_a_label_and_every_section_a_name():
    found = Labels((PAGE / "index.html").read_text())
    assert found.controls and all(inside or name in found.labelled for name, inside in found.controls)


@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
def test_text_stands_out_from_what_is_behind_it(scheme):
    style = (PAGE / "style.css").read_text()
    block = re.findall(r":root \{(.*?)\}", style, re.DOTALL)[scheme]
    colors = dict(re.findall(r"--([\w-]+): (#\w{6})", block))
    for text in ("ink", "less", "wrong", "champion"):
        for behind in ("back", "front"):
            assert contrast(colors[text], colors[behind]) >= 4.5, (text, behind)
    assert contrast(colors["on-main"], colors["main"]) >= 4.5


def contrast(first: str, second: str) -> float:
    """WCAG 2.2's ratio."""

    def luminance(color: str) -> float:
        parts = [int(color[at : at + 2], 16) / 255 for at in (1, 3, 5)]
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    high, low = sorted((luminance(first), luminance(second)), reverse=True)
    return (high + 0.05) / (low + 0.05)
