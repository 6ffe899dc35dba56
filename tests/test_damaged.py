"""Every file of ours, damaged in every way: what reads it names it in one line, and never ends in a traceback."""

import json
from copy import deepcopy
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoModelForCTC, AutoProcessor

from flows import show
from pipeline import cli
from pipeline.common.errors import BigfootError
from pipeline.common.files import sealed
from pipeline.compare import comparison
from pipeline.distill.logits.store import LogitsStore
from pipeline.distill.logits.write import store_logits
from pipeline.lab import publish
from pipeline.models.description import describe
from pipeline.models.folder import load_model, save_model
from pipeline.params import Logits
from pipeline.quantize.openvino_trained import _ranges
from pipeline.speech.corpus import open_corpus
from pipeline.speech.shards import Utterance
from pipeline.stages import compare
from pipeline.tracking import sync
from tests import corpora, tiny
from tests.planted import plant, write

DAMAGES = {
    "null": b"null",
    "a list": b"[]",
    "an object": b"{}",
    "a string": b'"x"',
    "too large a number": b'{"version": 1e999}',
    "nothing": b"",
    "not UTF-8": b"\xff\xfe",
    "nested too deep": b"[" * 100_000,
}
READERS = {
    "compare": lambda folder: compare.main(),
    "gate": lambda folder: cli.app(["gate"], standalone_mode=False),
    "table": lambda folder: cli.app(["table"], standalone_mode=False),
    "track": lambda folder: comparison.read_headline(folder / "reports/metrics.json"),
    "results": lambda folder: publish.results_page([folder / "results/quickstart"]),
    "flow": lambda folder: show.comparison(folder, "quickstart", "bigfoot"),
    "train": lambda folder: load_model(folder / "models/real"),
    "quantize": lambda folder: describe(folder / "models/real"),
    "quantize as trained": lambda folder: _ranges(folder / "models/real"),
    "student": lambda folder: _logits(folder),
}
FILES = {
    "scores/half.int8-openvino.json": "compare",
    "timings.json": "compare",
    "variants/half.int8-openvino/variant.json": "compare",
    "corpora/quickstart/corpus.json": "compare",
    "corpora/quickstart/report/dropped.jsonl": "compare",
    "corpora/quickstart/test/test/split.json": "compare",
    "corpora/quickstart/test/test/00000.arrow": "compare",
    "models/half/metrics.json": "compare",
    "models/half/curve.jsonl": "compare",
    "reports/comparison.json": "gate",
    "reports/params.json": "gate",
    "reports/metrics.json": "track",
    "reports/table.json": "flow",
    "results/quickstart/comparison.json": "results",
    "models/real/config.json": "train",
    "models/real/vocab.json": "train",
    "models/real/processor_config.json": "quantize",
    "models/real/tokenizer_config.json": "quantize",
    "models/real/SHA256SUMS": "train",
    "models/real/model.safetensors": "quantize",
    "models/real/int8_ranges.json": "quantize as trained",
    "logits/teacher/index.json": "student",
    "logits/teacher/00000.safetensors": "student",
}
WITHOUT_SUMS = ["config.json", "vocab.json", "processor_config.json", "tokenizer_config.json", "model.safetensors"]


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A compared project with a model, its logits and published results."""
    folder = tmp_path_factory.mktemp("damaged")
    plant(folder, utterances=30)
    corpus = folder / "corpora/quickstart"
    write(corpus / "corpus.json", json.loads((corpus / "corpus.json").read_text()) | {"dropped": 1})
    (corpus / "report/dropped.jsonl").write_text('{"id": "a", "split": "train", "check": "nan", "why": "all of it"}\n')
    for file in (folder / "timings.json", *folder.glob("scores/*.json")):
        write(file, sealed(json.loads(file.read_text())))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr(sync, "sync", lambda params, root: True)
        compare.main()
        (folder / "results/quickstart").mkdir(parents=True)
        for name in ("comparison.json", "comparison.md"):
            (folder / "results/quickstart" / name).write_bytes((folder / "reports" / name).read_bytes())
        plain = tiny.save_model(folder / "plain")
        save_model(AutoModelForCTC.from_pretrained(plain), AutoProcessor.from_pretrained(plain), folder / "models/real")
        write(folder / "models/real/int8_ranges.json", {"conv_layers.1": {"low": -0.5, "high": 3.0}})
        spoken = [(Utterance(f"u{i}", "a", "", 0.5), tiny.speech(0.5, seed=i)) for i in range(2)]
        noise = open_corpus(corpora.write(folder / "corpora/noise", {"train": spoken, "dev": []}))
        store_logits(Logits(speeds=[1.0]), folder / "models/real", noise, folder / "checkpoints", folder / "logits/teacher")
        yield folder


def _logits(folder: Path) -> None:
    """As a student reads the logits of its utterances."""
    corpus = open_corpus(folder / "corpora/noise")
    store = LogitsStore(folder / "logits/teacher", corpus)
    for utterance in corpus.utterances("train"):
        store.logits(utterance)


@pytest.fixture
def undamaged(project):
    """The bytes of a file, which is given them back after the test."""
    kept: dict[Path, bytes] = {}

    def of(name: str) -> bytes:
        return kept.setdefault(project / name, (project / name).read_bytes())

    yield of
    for path, content in kept.items():
        path.write_bytes(content)


def refusal(project: Path, reader: str) -> str:
    with pytest.raises(BigfootError) as refused:
        READERS[reader](project)
    line = str(refused.value)
    assert "\n" not in line and len(line) < 600
    return line


@pytest.mark.shows("damaged", f"{len(FILES)} files, each {', '.join(DAMAGES)}, cut off", "the file is named, with what to do")
@pytest.mark.parametrize("damage", [*DAMAGES, "cut off"])
@pytest.mark.parametrize("name", FILES)
def test_a_damaged_file_is_named_in_one_line_with_what_to_do(project, undamaged, name, damage, record_property):
    whole = undamaged(name)
    (project / name).write_bytes(whole[: len(whole) * 2 // 3] if damage == "cut off" else DAMAGES[damage])
    line = refusal(project, FILES[name])
    assert Path(name).name in line and line.partition(": ")[2], line
    assert Path(name).parent.name in line or "logits" in name, line
    record_property("refused", 1)


@pytest.mark.parametrize("damage", [*DAMAGES, "cut off"])
@pytest.mark.parametrize("reader", ["train", "quantize"])
@pytest.mark.parametrize("name", WITHOUT_SUMS)
@pytest.mark.shows(
    "damaged",
    "the same in a model without SHA256SUMS",
    "the folder is named, or defaults are taken",
)
def test_a_damaged_model_that_has_no_sums_is_named_too(project, undamaged, name, reader, damage, record_property):
    whole, _ = undamaged(f"models/real/{name}"), undamaged("models/real/SHA256SUMS")
    (project / "models/real/SHA256SUMS").unlink()
    (project / "models/real" / name).write_bytes(whole[: len(whole) * 2 // 3] if damage == "cut off" else DAMAGES[damage])
    try:
        READERS[reader](project)
    except BigfootError as error:
        assert "models/real" in str(error) and "\n" not in str(error)
        record_property("refused", 1)
    else:  # transformers takes a processor's empty JSON file for one that keeps all defaults
        assert name in ("processor_config.json", "tokenizer_config.json", "vocab.json")


@pytest.mark.shows("damaged", "an edited figure in timings.json or a score", "the file is named")
@pytest.mark.parametrize("name", ["timings.json", "scores/half.int8-openvino.json"])
def test_an_edited_figure_is_found(project, undamaged, name, record_property):
    content = json.loads(undamaged(name))
    if name == "timings.json":
        content["variants"]["half.int8-openvino"]["speedup"] *= 100
    else:
        content["sets"]["test"]["wer_high"] /= 2
    write(project / name, content)
    assert f"{name} was changed after it was made" in refusal(project, "compare")
    record_property("refused", 1)


@pytest.mark.shows("damaged", "a flipped bit in a model's weights, config or vocabulary, by two readers", "the file is named")
@pytest.mark.parametrize("name", ["model.safetensors", "config.json", "vocab.json"])
def test_a_flipped_bit_in_a_model_is_found_wherever_it_is_read(project, undamaged, name, record_property):
    content = bytearray(undamaged(f"models/real/{name}"))
    content[len(content) // 2] ^= 1
    (project / "models/real" / name).write_bytes(content)
    for reader in ("train", "quantize"):
        assert f"{name} is cut off or damaged" in refusal(project, reader)
    record_property("tried", 2)
    record_property("refused", 2)


VALUES = st.one_of(
    st.none(), st.booleans(), st.sampled_from([-1, 0, 10**30, 0.5, "", "x", [], {}, [[]], [None], {"a": {"b": [1]}}, "\ud800"])
)  # fmt: skip
JSON_FILES = [name for name in FILES if name.endswith((".json", ".jsonl")) and "real" not in name]


def places(content: object, where: tuple = ()) -> list[tuple]:
    """The way to every value of a JSON document; of a long list to the first two."""
    items = content.items() if isinstance(content, dict) else enumerate(content[:2]) if isinstance(content, list) else ()
    return [place for key, value in items for place in ((*where, key), *places(value, (*where, key)))]


@st.composite
def changed(draw: st.DrawFn, whole: list | dict) -> list | dict:
    """The content of a JSON file with one value replaced or taken out."""
    inside = content = deepcopy(whole)
    *way, last = draw(st.sampled_from(places(content)))
    for key in way:
        inside = inside[key]
    if draw(st.booleans()):
        inside[last] = draw(VALUES)
    else:
        del inside[last]
    return content


@pytest.mark.slow
@pytest.mark.shows("damaged", f"{len(JSON_FILES)} JSON files, a value replaced or gone", "one line, or it does no harm")
@pytest.mark.parametrize("name", JSON_FILES)
def test_a_value_of_another_kind_is_one_line_or_does_no_harm(project, undamaged, name, record_property):
    """Without its seal, so that only types and what belongs together are checked."""
    lines = name.endswith(".jsonl")
    whole = [json.loads(line) for line in undamaged(name).splitlines()] if lines else json.loads(undamaged(name))
    if isinstance(whole, dict):
        whole.pop("sha256", None)
    outcomes: list[str] = []

    @given(changed(whole))
    @settings(max_examples=25)
    def run(content: list | dict) -> None:
        (project / name).write_text("".join(json.dumps(row) + "\n" for row in content) if lines else json.dumps(content))
        try:
            if FILES[name] != "flow":  # which needs a server where the file is whole
                READERS[FILES[name]](project)
            outcomes.append("taken")
        except BigfootError as error:
            assert "\n" not in str(error)
            outcomes.append("refused")

    run()
    record_property("tried", len(outcomes))
    record_property("refused", outcomes.count("refused"))
