"""The paper's scale on a tiny teacher: what is made is measured, nothing is made twice, and all is called UNTRAINED."""

import json
from dataclasses import replace

import pytest
from ruamel.yaml import YAML

from pipeline.common.errors import BigfootError
from pipeline.lab import publish
from pipeline.lab.paper import published, report, scale, settings, sound
from pipeline.models.folder import load_model
from pipeline.speech.corpus import open_corpus
from tests.planted import ROOT, bigfoot

TINY = {
    "feat_extract_norm": "layer", "conv_bias": True, "do_stable_layer_norm": True, "conv_dim": [32] * 7, "hidden_size": 64,
    "num_hidden_layers": 4, "num_attention_heads": 4, "intermediate_size": 128, "num_conv_pos_embeddings": 16,
    "num_conv_pos_embedding_groups": 4,
}  # fmt: skip
WORK = ".bigfoot/paper_scale"
VARIANTS = ["teacher.fp32", "quarter.fp32", "small.int8-onnx", "small_whole.int8-onnx"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A project's folder with the paper's profile, its shapes made tiny, and settings for them."""
    folder, yaml = tmp_path_factory.mktemp("project"), YAML()
    profile = yaml.load(ROOT / "profiles/paper.yaml")
    training = profile["students"]["half"]["training"]
    profile["students"] = {
        "quarter": {"from": "half", "layers": 1, "training": training},  # before its parent, which has to be made first
        "half": {"from": "teacher", "layers": 2, "training": training},
        "small": {"from": "half", "hidden": 32, "heads": 2, "conv_channels": 16, "training": training},
    }
    profile["variants"] = {"teacher-fp32": {"model": "teacher", "scheme": "fp32"}}
    yaml.dump(profile, folder / "profile.yaml")
    chosen = {
        "profile": str(folder / "profile.yaml"), "teacher": TINY, "whole_front_end": "small",
        "variants": [name.replace(".", "-", 1) for name in VARIANTS],
        "audio": {"seconds": 1, "calibration": 1},
        "benchmark": {"threads": 1, "utterances": 2, "rounds": 2, "max_rounds": 2, "turn": 1, "batch": 1, "lengths": [],
                      "cold_starts": 0, "energy_seconds": 0},
    }  # fmt: skip
    yaml.dump(chosen, folder / "paper_scale.yaml")
    return folder


def plan_of(folder, **changed) -> settings.Plan:
    yaml = YAML()
    yaml.dump(yaml.load(folder / "paper_scale.yaml") | changed, folder / "changed.yaml")
    return settings.load(folder / "changed.yaml")


@pytest.fixture(scope="module")
def result(folder) -> dict:
    """What the command has found in a process of its own, as a user runs it."""
    done = bigfoot("paper-scale", cwd=folder)
    assert done.returncode == 0 and "UNTRAINED" in done.stdout, done.stderr
    return json.loads((folder / "results/paper/paper_scale.json").read_text())


@pytest.fixture
def measured(result, folder, monkeypatch) -> list[list[str]]:
    """For tests of everything but the benchmark: it gives the figures it has given, and this lists what it was asked for."""
    asked = []

    def benchmark(folders, *_):
        asked.append([one.name for one in folders])
        assert all((one / "variant.json").is_file() for one in folders)
        return json.loads((folder / WORK / "timings.json").read_text())

    monkeypatch.setattr(scale, "benchmark", benchmark)
    return asked


@pytest.fixture
def page(result, folder) -> str:
    return (folder / "results/paper/paper_scale.md").read_text()


@pytest.mark.slow
def test_every_variant_is_measured_and_the_profile_says_its_shape(result):
    rows = {row["variant"]: row for row in result["variants"]}
    assert list(rows) == VARIANTS
    for row in rows.values():
        assert row["disk_mb"] > 0 and row["latency_p50_ms"] > 0 and row["ram_mb"] > 0 and row["untrained"] is True
    assert rows["quarter.fp32"]["shape"]["layers"] == 1 and rows["small_whole.int8-onnx"]["shape"]["conv_channels"] == 32
    assert rows["teacher.fp32"]["shrink"] == 1 and rows["small.int8-onnx"]["shrink"] > rows["quarter.fp32"]["shrink"] > 1


@pytest.mark.slow
def test_memory_is_the_variants_own_and_not_that_of_making_them(result):
    rows = {row["variant"]: row for row in result["variants"]}
    assert rows["small.int8-onnx"]["ram_mb"] < rows["teacher.fp32"]["ram_mb"] / 2


@pytest.mark.slow
def test_the_teacher_is_the_configs_and_has_the_papers_tokens(result, folder):
    model, processor = load_model(folder / WORK / "models/teacher")
    assert all(getattr(model.config, key) == value for key, value in TINY.items())
    assert model.config.vocab_size == len(processor.tokenizer) == 32 and processor.feature_extractor.return_attention_mask


@pytest.mark.slow
def test_a_student_is_cut_from_its_parent_and_learns_nothing(result, folder):
    def name(layer: int) -> str:
        return f"wav2vec2.encoder.layers.{layer}.attention.k_proj.weight"

    half, quarter = (load_model(folder / WORK / "models" / model)[0].state_dict() for model in ("half", "quarter"))
    assert quarter[name(0)].equal(half[name(1)])


@pytest.mark.slow
def test_a_second_run_makes_nothing_anew_and_measures_again(measured, folder, monkeypatch, caplog):
    def refuse(self, *_):
        raise AssertionError(f"{self.what} is made again")

    monkeypatch.setattr(scale.Step, "run", refuse)
    caplog.set_level("INFO")
    scale.measure(plan_of(folder), folder / WORK, folder / "again")
    assert measured == [VARIANTS] and "10 of 10 things are there already" in caplog.text


def missing(folder, **changed) -> set[str]:
    return {step.what for step in scale.all_steps(plan_of(folder, **changed), folder / WORK) if not step.is_made()}


@pytest.mark.slow
def test_what_decides_a_thing_makes_it_and_what_follows_anew_and_nothing_else(result, folder):
    assert missing(folder) == set()
    assert missing(folder, benchmark={"threads": 2, "utterances": 3}) == {"audio"}
    assert missing(folder, whole_front_end="quarter", variants=["teacher-fp32", "quarter_whole-fp32"]) == {
        "model quarter_whole", "variant quarter_whole.fp32",
    }  # fmt: skip
    everything = {step.what for step in scale.all_steps(plan_of(folder), folder / WORK)}
    assert missing(folder, teacher=TINY | {"intermediate_size": 160}) == everything - {"audio"}


@pytest.mark.slow
def test_what_was_stopped_half_way_is_made_again(result, folder):
    step = next(step for step in scale.all_steps(plan_of(folder), folder / WORK) if step.what == "model small")

    def here(make, folder):
        make(folder)

    def stopped(half_done):
        half_done.mkdir()
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        replace(step, make=stopped).run(here)
    assert not step.is_made()
    step.run(here)
    assert step.is_made()


@pytest.mark.slow
def test_it_says_what_it_makes_and_how_much_time_is_left(measured, folder, tmp_path, caplog):
    caplog.set_level("INFO")
    scale.measure(plan_of(folder, variants=["teacher-fp32"]), tmp_path / "work", tmp_path)
    assert "1 of 3, audio; about" in caplog.text and "3 of 3, variant teacher.fp32; about" in caplog.text
    assert "benchmark of 1 variants; about" in caplog.text and "min left" in caplog.text and "UNTRAINED" in caplog.text


@pytest.mark.slow
def test_untrained_is_said_everywhere_and_no_wer_of_ours_anywhere(result, page):
    assert page.startswith("# Paper scale: UNTRAINED weights\n") and result["untrained"] is True
    headings = [line for line in page.splitlines() if line.startswith("|") and "MB" in line]
    assert len(headings) == 2 and all("UNTRAINED" in line for line in headings)
    measured, theirs = page.split("### Beside the paper's figures")
    assert "WER" not in measured and "UNTRAINED" in theirs and "UNTRAINED" in report.verdict(result)
    assert not [key for row in result["variants"] for key in row if "wer" in key]
    assert theirs.count("WER") == 1 and "theirs, trained" in theirs


@pytest.mark.slow
def test_the_papers_figures_come_from_one_place(result, folder, monkeypatch):
    monkeypatch.setattr(published, "FIGURES", [replace(published.FIGURES[2], shrink=98.76)])
    changed = result | {"published": published.as_data()}
    theirs = report.markdown(changed).split("### Beside the paper's figures")[1]
    row = next(row for row in result["variants"] if row["variant"] == "quarter.fp32")
    assert f"| 98.76 / {row['shrink']:.2f} |" in theirs and "4.84" not in theirs and published.SOURCE in theirs
    told = [path for path in (ROOT / "pipeline").rglob("*.py") if "4.84" in path.read_text()]
    assert told == [ROOT / "pipeline/lab/paper/published.py"]


@pytest.mark.slow
def test_the_verdict_names_what_is_small_and_fast_enough_or_what_comes_nearest(result):
    def said(**figures: tuple[float, float]) -> str:
        rows = [{"variant": name, "shrink": shrink, "speedup": speedup} for name, (shrink, speedup) in figures.items()]
        return report.verdict({"goal": 30.0, "variants": [{"variant": "teacher.fp32", "shrink": 1, "speedup": 1}, *rows]})

    assert said(a=(31, 90), b=(40, 40), c=(99, 29)) == (
        "At least 30x smaller and 30x faster than teacher.fp32: `b` 40.0x smaller, 40.0x faster; `a` 31.0x smaller, 90.0x "
        "faster. UNTRAINED."
    )
    nothing = said(a=(31, 5), b=(20, 6))
    assert nothing.startswith("No variant is 30x") and "The nearest: `b`" in nothing


@pytest.mark.slow
def test_the_front_ends_are_compared(result):
    page = report.markdown(result)
    assert "- Front end of 32 channels in 7 convolutions, `small_whole.int8-onnx`:" in page
    assert "; of 16 channels in 7 convolutions, `small.int8-onnx`:" in page
    assert "`teacher.fp32` " in page.split("Front end's share")[1].splitlines()[0]


@pytest.mark.slow
def test_noise_is_called_noise(result, tmp_path, monkeypatch):
    monkeypatch.setattr("pipeline.lab.paper.sound.find_spec", lambda name: None)
    sound.make(settings.Audio(seconds=1, calibration=1), 2, tmp_path)
    made = open_corpus(tmp_path)
    assert made.info["about"].startswith("noise, no speech at all") and len(made.audio(made.utterances("test")[1])) == 16_000
    assert "**Audio**: noise" in report.markdown(result | {"audio": made.info["about"]})


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"variants": ["half-fp32"]}, "variants: teacher-fp32 is missing"),
        ({"variants": ["teacher-fp32", "third-fp32"]}, "unknown model 'third', known: teacher, quarter, half"),
        ({"variants": ["teacher-fp32", "half-int3"]}, "half-int3 is no MODEL-SCHEME"),
        ({"variants": ["teacher"]}, "variants"),
        ({"whole_front_end": "slim"}, "has no student 'slim'"),
        ({"teacher": TINY | {"num_hidden_layers": 1}}, "students.half.layers: 2, its parent has 1"),
        ({"gaol": 30}, "gaol: is no parameter"),
        ({"profile": "nowhere.yaml"}, "nowhere.yaml is missing"),
    ],
)
def test_a_mistake_in_the_settings_is_one_line(folder, changed, said):
    with pytest.raises(BigfootError) as told:
        plan_of(folder, **changed)
    assert said in str(told.value) and "\n" not in str(told.value)


def test_the_command_ends_with_one_line_and_status_1_for_a_broken_file(tmp_path):
    (tmp_path / "broken.yaml").write_text("teacher: [")
    done = bigfoot("paper-scale", "broken.yaml", cwd=tmp_path)
    assert done.returncode == 1 and done.stderr.startswith("error: broken.yaml is not valid YAML")
    assert len(done.stderr.splitlines()) == 1


def test_the_settings_that_ship_are_the_papers_shapes():
    plan = settings.load(ROOT / "paper_scale.yaml")
    assert plan.shape("teacher") == {
        "layers": 24,
        "hidden": 1024,
        "heads": 16,
        "feed_forward": 4096,
        "conv_channels": 512,
        "convolutions": 7,
    }
    assert plan.shape("half")["layers"] == 12 and plan.shape("quarter")["layers"] == 4
    assert plan.shape("tiny_whole") == plan.shape("tiny") | {"conv_channels": 512, "convolutions": 7}
    assert plan.students["tiny_whole"].parent == "teacher"
    assert {figure.variant for figure in published.FIGURES} <= {variant.name for variant in plan.variants}


@pytest.mark.slow
def test_results_gets_a_section_from_the_kept_file_alone(result, page, tmp_path):
    kept = tmp_path / publish.PAPER_SCALE
    (tmp_path / "README.md").write_text(f"{publish.BEGIN}{publish.END}")
    kept.parent.mkdir(parents=True)
    publish.write(tmp_path)
    assert "UNTRAINED" not in (tmp_path / "RESULTS.md").read_text()
    kept.write_text(json.dumps(result).replace(f'"goal": {result["goal"]}', '"goal": 77.0'))
    publish.write(tmp_path)
    section = (tmp_path / "RESULTS.md").read_text()
    assert "\n## Paper scale: UNTRAINED weights\n" in section and "77x smaller" in section and "make paper-scale" in section
    assert section.count("| small.int8-onnx |") == page.count("| small.int8-onnx |") == 1
    assert "small" not in (tmp_path / "README.md").read_text()
