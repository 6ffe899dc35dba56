"""A plan's hours follow from given rates exactly, and what is unknown is said."""

import shutil
import subprocess
from dataclasses import replace

import pytest

from pipeline.lab.plan import probes, run, speech
from pipeline.lab.plan.rates import Machine, Model, Rate
from pipeline.lab.plan.speech import Speech
from pipeline.lab.plan.stages import Plan
from pipeline.params import FolderSource, Variant
from pipeline.params.measuring import EvaluateLive
from pipeline.project import load_params
from pipeline.speech.shards import Utterance
from tests import corpora
from tests.planted import ROOT, bigfoot

CONFIG = {
    "model_type": "wav2vec2", "conv_dim": [8, 8], "conv_kernel": [10, 2], "conv_stride": [160, 2], "hidden_size": 16,
    "num_hidden_layers": 4, "num_conv_pos_embeddings": 16, "num_conv_pos_embedding_groups": 4, "intermediate_size": 32,
    "vocab_size": 30,
}  # fmt: skip
# Utterances of 2 s.
AUDIO = Speech({"train": 2.0, "dev": 0.5, "test": 0.25}, {"train": 3600, "dev": 900, "test": 450}, 30, "corpus.json")


def rate(seconds: float) -> Rate:
    """The same for any number of layers."""
    return Rate(seconds, 1.0, 0.0)


@pytest.fixture
def plan() -> Plan:
    """The quickstart on a machine whose rates are powers of two, so that sums are exact."""
    ratios = {"torch": 1.0, "onnxruntime": 0.5, "openvino": 0.25}
    model = Model(CONFIG, 1e6, rate(0.125), 0.0, rate(0.0625), rate(0.25), ratios, int8=0.5, export=2.0)
    models = dict.fromkeys(("teacher", "half", "thin"), model)
    starts = {"torch": 8.0, "light": 1.0, "nncf": 2.0, "mlflow": 4.0}
    return Plan(load_params(ROOT / "profiles/quickstart.yaml"), AUDIO, Machine(2, models, starts, 0.0, 0.5, 0.0))


def with_params(plan: Plan, **sections) -> Plan:
    return replace(plan, params=plan.params.model_copy(update=sections))


def test_training_takes_its_steps_times_a_batch_and_its_measurements_on_dev(plan):
    # half: 300 steps of 5 utterances of 2 s in a batch of 10 s, two measurements on 1,800 s of dev
    assert plan.of("student@half").seconds == 8 + 300 * 10 * 0.125 + 2 * 1800 * 0.0625
    half = plan.params.students["half"]
    longer = half.model_copy(update={"training": half.training.model_copy(update={"steps": 600, "accumulate": 2})})
    more = with_params(plan, students=plan.params.students | {"half": longer})
    assert more.of("student@half").seconds == 8 + 600 * 2 * 10 * 0.125 + 4 * 1800 * 0.0625
    beside = longer.model_copy(update={"distillation": longer.distillation.model_copy(update={"teacher": "online"})})
    online = with_params(plan, students={"half": beside})
    assert online.of("student@half").seconds == more.of("student@half").seconds + 600 * 2 * 10 * 0.0625
    assert plan.of("student@half").gigabytes == 0.004 and plan.of("student@half").scratch == 0.024


def test_a_shallow_start_of_the_teacher_is_cheaper(plan):
    deep = plan.machine.models["teacher"]
    per_mac = 0.125 / deep.macs()  # so that all layers take 0.125 s
    models = {**plan.machine.models, "teacher": replace(deep, training=Rate(0.125, deep.macs(), per_mac))}
    growing = replace(plan, machine=replace(plan.machine, models=models))
    shallow = 0.125 * deep.macs(2) / deep.macs()  # of the quickstart's teacher: 700 steps with 2 layers, 2,300 with all 4
    expected = 8 + 8 * (700 * shallow + 2300 * 0.125) + 2 * 1800 * 0.0625
    assert growing.of("teacher").seconds == pytest.approx(expected) and shallow < 0.12


def test_stages_that_hear_the_corpus_grow_with_its_hours(plan):
    twice = replace(plan, speech=replace(AUDIO, hours={split: 2 * hours for split, hours in AUDIO.hours.items()}))
    beside = {"prepare": 1.0, "teacher_logits": 8.0, "evaluate@teacher-fp32": 8.0, "evaluate@thin-int8-openvino": 1.0}
    for stage, start in beside.items():
        assert twice.of(stage).seconds - start == 2 * (plan.of(stage).seconds - start) > 0
    assert plan.of("prepare").seconds == 1 + 3600 * 2.75 * 0.5 / 2
    assert plan.of("teacher_logits").seconds == 8 + 7200 * 0.0625
    assert plan.of("teacher_logits").gigabytes == 7200 * 50 * 30 * 2 / 1e9
    assert plan.of("evaluate@teacher-fp32").seconds == 8 + 2700 * 0.25
    assert plan.of("evaluate@teacher-int8-onnx").seconds == 1 + 2700 * 0.25 * 0.5 * 0.5


def test_scoring_hears_the_first_test_set_again_with_noise_and_live(plan):
    settings = plan.params.evaluate.model_copy(
        update={"noise_snr_db": [20.0, 10.0], "live": EvaluateLive(chunk=0.5, left=1.0, right=[0.0, 0.5])}
    )
    more = with_params(plan, evaluate=settings).of("evaluate@teacher-fp32").seconds - plan.of("evaluate@teacher-fp32").seconds
    assert more == (2 + (1.5 + 2.0) / 0.5) * 900 * 0.25  # a test set of 900 s


def test_the_likeliest_tokens_alone_take_less_room(plan):
    few = with_params(plan, logits=plan.params.logits.model_copy(update={"top_k": 5}))
    assert few.of("teacher_logits").gigabytes == 7200 * 50 * (4 * 5 + 2) / 1e9


def test_an_export_of_a_variant_with_a_language_model_is_foretold(plan):
    variant = Variant(model="half", scheme="int8-onnx+lm")
    schemes = plan.params.schemes | {"int8-onnx+lm": {"lm": {"order": 2}}}
    named = with_params(plan, variants={variant.slug: variant}, schemes=schemes, exports={variant.name: ["onnx"]})
    assert named.of(f"export@{variant.name}").gigabytes == 1.4 * 1e6 / 1e9


def test_quantizing_takes_what_the_scheme_loads_exports_and_calibrates(plan):
    assert plan.of("quantize@teacher-fp32").seconds == 1, "a copy"
    assert plan.of("quantize@teacher-int8-onnx").seconds == 8 + 2
    assert plan.of("quantize@thin-int8-openvino").seconds == 8 + 2 + 2 + 64 * 2 * 4 * 0.25


def test_the_benchmark_grows_with_variants_and_rounds(plan):
    whole = plan.of("benchmark").seconds
    kept = {key: variant for key, variant in plan.params.variants.items() if key != "thin-int8-openvino"}
    fewer = with_params(plan, variants=kept).of("benchmark").seconds
    again = with_params(plan, variants=kept | {"again": plan.params.variants["thin-int8-openvino"]}).of("benchmark").seconds
    assert fewer < whole == again
    assert (plan.of("compare").seconds, with_params(plan, variants=kept).of("compare").seconds) == (4 + 6, 4 + 5)
    short = plan.params.benchmark.model_copy(update={"lengths": []})
    longer = [short.model_copy(update={"max_rounds": short.most_rounds + more}) for more in (0, 2, 4)]  # two rounds per start
    hearing = 0.25 * (1 + 0.5 + 0.5 * 0.5 * 3 + 0.25 * 0.5)  # fp32, fp32-onnx, three int8-onnx, int8-openvino
    # Two turns of 7 utterances of 2 s, 12 untimed before, with two threads and with one, half as long again; and two
    # batches of 8. Two processes start at a time. Every second start is followed by one that chooses.
    start, chooses = (8 + 5 * 1) / 2 + 2 * hearing * (2.5 * (14 + 12) + 2 * 8), (8 + 5 * 1) / 2 + 2 * hearing * (28 + 24)
    ten, eleven, twelve = (with_params(plan, benchmark=settings).of("benchmark").seconds for settings in longer)
    assert (eleven - ten, twelve - eleven) == (pytest.approx(start), pytest.approx(start + chooses))
    one_second = with_params(plan, benchmark=longer[0].model_copy(update={"lengths": [1]})).of("benchmark").seconds
    assert one_second - ten == pytest.approx(2 * 2.5 * hearing * short.restarts)  # once untimed, once timed


def test_the_table_has_a_row_per_kind_and_sums_them(plan):
    stages = ["prepare", "student@half", "student@thin", "evaluate@teacher-fp32"]
    lines = run.written(stages, plan).splitlines()
    assert [line.split()[:2] for line in lines[2:6]] == [["prepare", "1"], ["student", "2"], ["evaluate", "1"], ["all", "4"]]
    hours = sum(plan.of(stage).seconds for stage in stages) / 3600
    assert lines[5].split()[3] == f"{hours:.2f}" and "Hours of audio: train 2.00, dev 0.50, test 0.25" in "\n".join(lines)
    assert "nothing else runs on this machine" in lines[-1]


def test_a_corpus_of_unknown_hours_is_said_and_not_counted(plan):
    unknown = replace(plan, speech=Speech({}, {}, 30, "data/none is empty"))
    table = run.written(["prepare", "teacher", "evaluate@teacher-fp32"], unknown)
    assert "hours are unknown until `dvc repro prepare` ran (data/none is empty): 2 stages are not counted" in table
    assert table.splitlines()[2].split() == ["prepare", "1", "-", "-", "-", "-"]
    assert unknown.of("teacher").seconds == 8 + 3000 * 8 * 0.125


def test_hours_are_those_of_the_source_until_the_corpus_is_prepared(tmp_path):
    settings = load_params(ROOT / "profiles/digits.yaml").corpus
    missing = speech.of(settings, tmp_path / "none", tmp_path / "data")
    assert not missing.hours and "data" in missing.source
    synthetic = load_params(ROOT / "profiles/quickstart.yaml").corpus
    sampled = speech.of(synthetic, tmp_path / "none", tmp_path)
    assert sampled.utterances == {"train": 3200, "dev": 200, "gate": 200, "test": 150}
    assert sampled.hours["train"] == pytest.approx(1.29, rel=0.25)  # as its corpus.json had it
    row = (Utterance("a", "ab", "", 1800.0), b"")
    made = corpora.write(tmp_path / "made", {"train": [row, row], "dev": [row], "test": []})
    assert speech.of(synthetic, made, tmp_path).hours == {"train": 1.0, "dev": 0.5, "gate": 0.5, "test": 0.0}
    assert speech.of(synthetic, made, tmp_path, is_current=False).hours == sampled.hours
    left = speech.of(settings, made, tmp_path / "data", is_current=False)
    assert left.hours["train"] == 1.0 and left.source.startswith("corpus.json, which prepare is about to replace: ")


def test_audio_that_is_not_there_leaves_the_hours_unknown_and_says_why(tmp_path):
    settings = load_params(ROOT / "profiles/quickstart.yaml").corpus
    tables = {"train": "train.jsonl", "dev": "dev.jsonl", "test": {"test": "test.jsonl"}}
    source = FolderSource(kind="folder", **tables)
    for split in ("train", "dev", "test"):
        (tmp_path / f"{split}.jsonl").write_text('{"audio": "gone.wav", "text": "one"}\n')
    missing = speech.of(settings.model_copy(update={"source": source}), tmp_path / "none", tmp_path)
    assert not missing.hours and missing.source.startswith("train/") and "gone.wav is missing" in missing.source


def test_what_was_measured_is_remembered_and_a_damaged_memory_is_measured_anew(tmp_path):
    file, calls = tmp_path / "rates.json", []

    def measure() -> list[float]:
        calls.append(1)
        return [0.5]

    for expected in (1, 1):
        assert probes.Remembered(file).of(("probe", 1), measure) == [0.5] and len(calls) == expected
    probes.Remembered(file).of(("probe", 2), measure)
    assert len(calls) == 2
    for content in ("{", "[]", "null"):
        file.write_text(content)
        assert probes.Remembered(file).of(("probe", 1), measure) == [0.5]
    assert len(calls) == 5


@pytest.mark.slow
def test_check_plans_the_quickstart_on_this_machine(tmp_path):
    for name in ("dvc.yaml", ".dvc", "pipeline", "data"):
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, tmp_path / name)
    shutil.copy(ROOT / "profiles/quickstart.yaml", tmp_path / "params.yaml")
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    done = bigfoot("check", "--plan", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    rows = [line.split() for line in done.stdout.splitlines()]
    assert ["all", "19"] in [row[:2] for row in rows] and (tmp_path / ".bigfoot/rates.json").is_file()
