"""Real peers of a tiny model take turns; what can't run is a row with its reason, and the others are measured all the same."""

import json
import shutil

import pytest

from pipeline.benchmark import processes
from pipeline.common.errors import BigfootError
from pipeline.lab.peers import known, measure, table
from pipeline.quantize.run import quantize
from pipeline.speech import audio
from pipeline.speech.corpus import Corpus
from tests.tiny import noise_corpus, save_model

SETTINGS = measure.Settings(rounds=3, threads=1, seconds=(1, 2), clips=2, batch=2, limit=3, resamples=200)
DIES = "openvino-fp32"
TAKES_PART = ["torch-fp32", "ort-int8-optimum-matmul", DIES, "ctranslate2-int8"]  # all others: test_known.py


@pytest.fixture(scope="module")
def corpus(tmp_path_factory) -> Corpus:
    return noise_corpus(tmp_path_factory.mktemp("corpora") / "noise", "one two")


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """models/teacher, a variant of it, and one of another training of it."""
    place = tmp_path_factory.mktemp("project")
    model = save_model(place / "models/teacher", hidden=64)
    quantize("int8-onnx", {}, model, None, place / "variants/teacher.int8-onnx")
    stale = shutil.copytree(place / "variants/teacher.int8-onnx", place / "variants/teacher.int8-stale")
    about = json.loads((stale / "variant.json").read_text())
    (stale / "variant.json").write_text(json.dumps({**about, "training": {"train_hours": 1.0}}))
    return place


@pytest.fixture(scope="module")
def found(place, corpus, tmp_path_factory) -> dict:
    """One run of all, in which one peer dies in the middle."""
    ask, turns = processes.Process.ask, []

    def fatal(self, command, **arguments):
        if self.name == DIES and command == "turn":
            turns.append(self)
            if len(turns) == 3:
                self.process.kill()
                self.process.wait()
        return ask(self, command, **arguments)

    out = tmp_path_factory.mktemp("out")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(processes.Process, "ask", fatal)
        patch.setattr(known, "PEERS", {name: known.PEERS[name] for name in TAKES_PART})
        facts = measure.measure(place / "models/teacher", place / "variants", corpus, SETTINGS, out)
    assert json.loads((out / "peers.json").read_text()) == facts
    assert (out / "peers.md").read_text() == table.page(facts)
    assert sorted(path.name for path in out.iterdir()) == ["peers.json", "peers.md"], "what was prepared is gone"
    return facts


def rows_of(facts: dict) -> dict[str, dict]:
    return {row["name"]: row for row in facts["rows"]}


@pytest.mark.slow
def test_every_peer_that_ran_has_every_figure_with_its_spread(found):
    rows = rows_of(found)
    ran = {name for name, row in rows.items() if row["reason"] is None}
    assert ran == {"torch-fp32", "ort-int8-optimum-matmul", "teacher.int8-onnx"}
    for name in ran:
        row = rows[name]
        assert set(row["latency"]) == {"1", "2"} and row["disk_mb"] > 0 and row["ram_mb"] > 0, name
        for one in row["latency"].values():
            assert 0 < one["ms_q25"] <= one["ms"] <= one["ms_q75"], name
            assert 0 < one["speedup_low"] <= one["speedup"] <= one["speedup_high"], name
        assert 0 < row["throughput"]["rtfx_q25"] <= row["throughput"]["rtfx"] <= row["throughput"]["rtfx_q75"], name
        assert row["wer_delta"] == pytest.approx(row["wer"] - rows["torch-fp32"]["wer"]) and row["wer_low"] <= row["wer"]
    assert rows["torch-fp32"]["shrink"] == 1 and rows["ort-int8-optimum-matmul"]["shrink"] > 1.1
    assert all(one["speedup"] == 1 for one in rows["torch-fp32"]["latency"].values())


@pytest.mark.slow
def test_whose_a_row_is_and_what_it_was_measured_on_stand_beside_it(found):
    rows = rows_of(found)
    assert rows["teacher.int8-onnx"]["who"] == "Bigfoot" and rows["torch-fp32"]["who"] == "peer"
    assert found["threads"] == 1 and found["rounds"] == 3 and found["host"]["cpu"] and found["versions"]["openvino"]
    assert found["corpus"]["utterances"] == 3 and found["corpus"]["words"] == 6
    assert found["batch"] == {"size": 2, "seconds": 0.8}


@pytest.mark.slow
def test_what_cannot_be_made_dies_or_is_stale_has_its_reason_and_stops_nobody(found):
    rows = rows_of(found)
    assert "status -9" in rows[DIES]["reason"]
    assert rows["ctranslate2-int8"]["reason"].count("\n") == 0
    assert any(why in rows["ctranslate2-int8"]["reason"] for why in ("is not installed: `make peers`", "group norm"))
    assert rows["teacher.int8-stale"]["reason"].startswith("made of another training")


@pytest.mark.slow
def test_the_table_shows_medians_spread_and_reasons(found):
    page = table.page(found)
    lines = {line.split(" | ")[0].removeprefix("| "): line for line in page.splitlines() if line.startswith("| ")}
    assert len(lines) == 1 + len(found["rows"]) and len({line.count("|") for line in lines.values()}) == 1
    row = rows_of(found)["ort-int8-optimum-matmul"]
    one, batch = row["latency"]["2"], row["throughput"]
    assert f"{one['ms']:.1f} [{one['ms_q25']:.1f}, {one['ms_q75']:.1f}]" in lines[row["name"]]
    assert f"{one['speedup']:.2f}x [{one['speedup_low']:.2f}, {one['speedup_high']:.2f}]" in lines[row["name"]]
    assert f"{batch['rtfx']:.0f} [{batch['rtfx_q25']:.0f}, {batch['rtfx_q75']:.0f}]" in lines[row["name"]]
    assert "can't run: its process ended with status -9" in lines[DIES]
    assert "3 shuffled rounds" in page and found["host"]["cpu"] in page and "the fastest of Bigfoot's variants is" in page


def test_all_hear_the_same_samples_of_the_right_length(corpus, tmp_path):
    utterances = corpus.utterances("test")
    for again in ("a", "b"):
        (tmp_path / again).mkdir()
        sample = measure._sample(corpus, utterances, tmp_path / again, SETTINGS)
    for key in ("1", "2"):
        assert [audio.read(sample.files[i]).size for i in sample.plan[key]] == [int(key) * 16_000] * SETTINGS.clips
    assert len({audio.read(sample.files[i]).size for i in sample.plan["batch"]}) == 1
    first, second = (sorted((tmp_path / again).iterdir()) for again in ("a", "b"))
    assert [one.read_bytes() for one in first] == [one.read_bytes() for one in second]


def test_a_folder_that_is_no_model_is_an_error_before_anything_is_made(corpus, tmp_path):
    with pytest.raises(BigfootError, match="not a model folder"):
        measure.measure(tmp_path, tmp_path, corpus, SETTINGS, tmp_path / "out")
    assert not (tmp_path / "out").exists()
