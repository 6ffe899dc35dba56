"""What is chosen of many shapes, what is said where none fits, and what is written into params.yaml."""

import pytest

from pipeline.common.errors import BigfootError
from pipeline.lab.plan.probes import Remembered
from pipeline.models.tensors import tensors
from pipeline.params import Budget, Params, read
from pipeline.project import Project
from pipeline.propose import run, shapes, timing, written
from pipeline.propose.costs import Costs, Timed, parts
from pipeline.propose.machine import _step, offered, teacher_of
from pipeline.propose.quality import RUNGS, Kept
from pipeline.propose.run import FEWEST_TRIED, Candidate, _tried, by_frame_rate, fit, front, in_turn
from pipeline.propose.untrained import Untrained
from tests.planted import ROOT

SMALL = {"layers": 1, "hidden": 64, "heads": 2, "feed_forward": 64, "conv_channels": 16, "conv_merge": [2, 2, 2]}
LARGE = {"layers": 2, "hidden": 96, "heads": 3, "feed_forward": 192, "conv_channels": 32}
BUDGET = Budget(max_mb=1.0, max_ms=10.0)


def test_of_what_fits_all_is_kept_and_of_what_does_not_the_binding_limit_is_said():
    within, over = candidate(SMALL, 0.9, 9.0), candidate(LARGE, 2.0, 5.0)
    assert fit([within, over], BUDGET) == [within]
    with pytest.raises(BigfootError, match=r"nearest has 2\.00 MB and takes 5\.0 ms .*; max-mb binds, the smallest has 2\.00"):
        fit([over], BUDGET)
    with pytest.raises(BigfootError, match=r"max-ms binds, the fastest takes 30\.0 ms"):
        fit([candidate(SMALL, 0.5, 30.0)], BUDGET)
    with pytest.raises(BigfootError, match="each limit can be met, but not both"):
        fit([candidate(SMALL, 0.5, 30.0), over], BUDGET)


def test_the_front_has_what_nothing_else_exceeds_in_size_time_and_quality():
    small, fast, worse, good = (candidate(SMALL, mb, ms) for mb, ms in ((0.5, 9), (0.9, 3), (0.9, 9), (1.0, 9.5)))
    pairs = [(small, kept(0.5)), (fast, kept(0.5)), (worse, kept(0.6)), (good, kept(0.2))]
    assert [each for each, _ in front(pairs)] == [small, fast, good]


def test_each_frame_rate_is_ranked_alone_and_the_best_of_each_comes_first():
    half = SMALL | {"frame_rate": 25.0}
    slow, fast, other = candidate(half, 0.5, 5), candidate(SMALL, 0.5, 9), candidate(LARGE, 0.9, 9)
    assert by_frame_rate([slow, fast, other]) == [[fast, other], [slow]] and by_frame_rate([slow]) == [[slow]]
    own = [(fast, kept(0.9)), (Candidate(SMALL, "fp32-onnx", 1.0, 8, 80.0), kept(0.9)), (other, kept(1.0))]
    assert in_turn([own, [(slow, kept(0.5))]]) == [SMALL, half, LARGE]


def test_shapes_that_others_exceed_in_every_way_are_not_tried():
    wide = LARGE | {"layers": 1, "hidden": 128, "heads": 4}
    assert shapes.largest([SMALL, LARGE, wide]) == [LARGE, wide]


def test_every_shape_of_the_grid_can_be_cut_and_is_no_wider_than_the_teacher():
    teacher = config()
    grid = shapes.grid(teacher)
    assert len(grid) > 100 and {len(shape.get("conv_merge", [])) for shape in grid} == {0, 6, 4}
    for shape in grid[:: len(grid) // 50]:
        found = shapes.config_of(teacher, shape)
        assert found["hidden_size"] == shape["hidden"] <= 128 and found["intermediate_size"] <= 512
    assert shapes.design(teacher, grid, 8) == shapes.design(teacher, grid, 8)  # the same in every run


@pytest.mark.parametrize(("hidden", "heads"), [(192, 4), (240, 3), (512, 8), (96, 3)])
def test_the_grid_reaches_the_width_of_the_teacher_whatever_its_heads(hidden, heads):
    """Heads of 48, 80, 64 and 32 channels."""
    teacher = config(hidden_size=hidden, num_attention_heads=heads, intermediate_size=2 * hidden)
    grid = shapes.grid(teacher)
    assert shapes.whole(teacher) in grid and min(shape["hidden"] for shape in grid) < hidden / 2
    assert all(shapes.config_of(teacher, shape)["num_attention_heads"] <= heads for shape in grid[::50])


def test_of_large_shapes_fewer_are_tried_since_they_are_in_memory(monkeypatch):
    teacher = config(hidden_size=768, num_attention_heads=12, intermediate_size=3072, num_hidden_layers=12)
    sizes = [(tensors(shapes.config_of(teacher, shape)).numbers, shape) for shape in shapes.grid(teacher)[::2]]
    fitting = [candidate(shape, 1.0, 1.0) for numbers, shape in sizes if numbers < 9e6]
    assert len(_tried(teacher, fitting)) > FEWEST_TRIED
    monkeypatch.setattr(run, "IN_MEMORY", 9e6)
    assert len(_tried(teacher, fitting)) == FEWEST_TRIED


def test_half_of_few_frames_per_second_is_not_proposed():
    assert shapes.rates(config()) == [None, 25.0]
    slow = config(conv_stride=(10, 4, 4, 2, 2, 2, 2))  # 12.5 frames per second
    assert shapes.rates(slow) == [None]
    assert shapes.config_of(config(conv_stride=(10, 2, 2, 2, 2, 5, 2)), {"frame_rate": 10.0}) and shapes.LEAST_RATE == 10


@pytest.mark.parametrize("step", [1, 8000])
def test_costs_that_are_a_sum_over_parts_are_foretold_exactly(step):
    teacher, prices = config(), [0.2, 0.0, 0.1, 0.3, 0.05] + 10 * [0.01]
    timed = []
    for shape in shapes.design(teacher, shapes.grid(teacher), 30):
        found = shapes.config_of(teacher, shape)
        ms = {s: sum(p * amount for p, amount in zip(prices, parts(found, s, step), strict=False)) for s in (1.0, 3.2, 10.0)}
        timed.append(Timed(found, 1.0, ms, 80.0))
    costs = Costs(timed[1:], step)
    for seconds in (1.0, 3.2, 10.0):
        assert costs.ms(timed[0].config, seconds) == pytest.approx(timed[0].ms[seconds], rel=0.03)
    assert costs.ram_mb(timed[0].config, 1.0) == pytest.approx(80, rel=0.02)
    assert (costs.ms(timed[0].config, 0.6) == costs.ms(timed[0].config, 1.0)) == (step == 8000)


def test_what_is_timed_for_one_teacher_is_not_taken_for_another(tmp_path, monkeypatch):
    """Two that differ in their activation alone."""
    gelu, relu = (shapes.config_of(config(hidden_act=act), {"layers": 1}) for act in ("gelu", "relu"))
    times = iter((0.001, 0.002))
    monkeypatch.setattr(timing._Bench, "beside", lambda self, config: [1.0, 80.0, next(times)])
    remembered, untrained = Remembered(tmp_path / "costs.json"), Untrained(None, None, {"int8-onnx": {}}, tmp_path)
    found = [timing.timed([each], "int8-onnx", 1, [1.0], remembered, untrained, tmp_path) for each in (gelu, relu, gelu)]
    assert [of.ms[1.0] for (of,) in found] == [1.0, 2.0, 1.0]


def test_proposals_are_written_as_students_and_variants_and_every_other_line_stays(tmp_path):
    file, text = tmp_path / "params.yaml", (ROOT / "params.yaml").read_text()
    file.write_text(text)
    line = written.write(
        file, read(file, Params), [("propose_1", SMALL, "int8-onnx"), ("propose_1", SMALL, "fp32-onnx")], BUDGET
    )
    assert "propose_1, with 2 variants" in line
    params = read(file, Params)
    assert params.students["propose_1"].conv_merge == [2, 2, 2] and params.students["propose_1"].training
    assert params.variants["propose_1-int8-onnx"].model == "propose_1"
    line = written.write(file, params, [("propose_2", LARGE, "int8-onnx")], BUDGET)
    assert "in place of propose_1" in line and "propose_1" not in file.read_text()
    left, changed = file.read_text().splitlines(), ("gate:", "threads:")
    assert len(left) - len(text.splitlines()) == 10
    rest = iter(left)
    assert all(line in rest for line in text.splitlines() if not any(key in line for key in changed))  # each, in this order


def test_the_budget_is_written_with_what_has_to_be_measured_and_judged_for_it(tmp_path):
    asked = Budget(max_mb=2, max_ms=10, length=4, threads=1, max_wer_rise=1.5)
    text = (ROOT / "params.yaml").read_text()
    start = text.index("benchmark:")
    end = text.index("\nexports:")
    in_lines = "benchmark:   # how\n  threads: 2   # cores\n  utterances: 60\ngate:\n  max_rise: 0.03\n  confidence: 0.95\n"
    for content in (text, text[:start] + in_lines + text[end:], text[:start] + "benchmark: {}\ngate: {}" + text[end:]):
        file = tmp_path / "params.yaml"
        file.write_text(content)
        for _ in range(2):  # the second time in place of the first
            line = written.write(file, read(file, Params), [("propose_1", SMALL, "int8-onnx")], asked)
            params = read(file, Params)
            assert params.gate.budget == asked and params.gate.max_rise == 0.015
            assert params.benchmark.threads == 1 and 4 in params.benchmark.lengths
    assert "sets gate.budget, gate.max_rise; next" in line
    written_lines = file.read_text().splitlines()
    (line,) = (line for line in written_lines if "budget:" in line)
    assert "budget: {max_mb: 2.0, max_ms: 10.0, length: 4.0, threads: 1, runtime: any, max_wer_rise: 1.5}" in line


def test_earlier_proposals_go_whole_and_students_with_names_like_theirs_stay(tmp_path):
    file = tmp_path / "params.yaml"
    file.write_text((ROOT / "params.yaml").read_text().replace("thin", "propose_mine"))
    written.write(file, read(file, Params), [("propose_1", LARGE, "int8-onnx")], BUDGET)
    text = file.read_text().replace("    feed_forward: 192\n", "    feed_forward: 192\n\n# mine\n    few_bits: {bits: 4}\n", 1)
    file.write_text(text)
    assert read(file, Params).students["propose_1"].few_bits
    line = written.write(file, read(file, Params), [("propose_2", SMALL, "int8-onnx")], BUDGET)
    params = read(file, Params)
    assert "in place of propose_1" in line
    assert list(params.students) == ["propose_2", "half", "propose_mine"] and "# mine" not in file.read_text()
    assert not any(student.few_bits for student in params.students.values())
    file.write_text(file.read_text().replace("  propose_2:\n", "  propose_2: {\n").replace("  half:", "  }\n  half:", 1))
    before = file.read_text()
    with pytest.raises(BigfootError):
        written.write(file, params, [("propose_1", SMALL, "int8-onnx")], BUDGET)
    assert file.read_text() == before


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("lengths: [1, 5, 10, 20]", "lengths:\n  - 1\n  - 5", "benchmark.lengths can't be written: put each on one line"),
        ("gate:", '"gate":', "gate.budget can't be written: begin a line with gate:, without quotes"),
    ],
)
def test_what_cannot_be_written_is_said_before_anything_is_timed(tmp_path, old, new, said):
    file, text = tmp_path / "params.yaml", (ROOT / "params.yaml").read_text()
    start, end = text.index("benchmark:"), text.index("\ngate:")
    lengths = "benchmark:\n  threads: 1\n  lengths: [1, 5, 10, 20]\n"
    file.write_text((text[:start] + lengths + text[end:]).replace(old, new))
    before = file.read_text()
    with pytest.raises(BigfootError, match=said):
        written.require_room(file, read(file, Params), BUDGET)
    assert file.read_text() == before and [each.name for each in tmp_path.iterdir()] == ["params.yaml"]


def test_a_long_training_is_written_with_a_line_per_key_and_a_short_one_in_braces():
    training = {"steps": 6000, "learning_rate": 0.0012, "augment": {"noise_probability": 0.5, "noise_snr_db": [10.0, 40.0]}}
    assert written._yaml({"propose_1": {"layers": 2, "conv_merge": [2, 1], "training": training}}) == [
        "propose_1:", "  layers: 2", "  conv_merge: [2, 1]", "  training:", "    steps: 6000", "    learning_rate: 0.0012",
        "    augment: {noise_probability: 0.5, noise_snr_db: [10.0, 40.0]}",
    ]  # fmt: skip
    long = {f"a_long_name_{n}": n for n in range(9)}
    assert written._yaml({"training": long}) == ["training:", *(f"  a_long_name_{n}: {n}" for n in range(9))]
    assert written._yaml({"training": {"steps": 10, "config": {}}}) == ["training:", "  steps: 10", "  config: {}"]


def test_the_first_proposal_of_a_project_without_students_opens_the_section(tmp_path):
    file = tmp_path / "params.yaml"
    text = (ROOT / "params.yaml").read_text()
    start, end = text.index("students:"), text.index("schemes:")
    text = f"{text[:start]}students: {{}}   # none yet\n\n{text[end:]}"
    file.write_text("".join(line for line in text.splitlines(True) if "model: half" not in line and "model: thin" not in line))
    written.write(file, read(file, Params), [("propose_1", SMALL, "int8-onnx")], BUDGET)
    params = read(file, Params)
    assert list(params.students) == ["propose_1"] and params.students["propose_1"].training.steps == written.STEPS
    assert "students:   # none yet\n" in file.read_text()


def test_a_student_that_comes_from_an_earlier_proposal_is_not_left_without_a_parent(tmp_path):
    file = tmp_path / "params.yaml"
    file.write_text((ROOT / "params.yaml").read_text())
    written.write(file, read(file, Params), [("propose_2", LARGE, "int8-onnx")], BUDGET)
    before = file.read_text().replace("from: half", "from: propose_2").replace("hidden: 128", "hidden: 64")
    before = before.replace("heads: 4\n    feed_forward: 512\n    conv_channels: 48", "heads: 2\n    feed_forward: 64")
    file.write_text(before)
    with pytest.raises(BigfootError, match="unknown parent 'propose_2'"):
        written.require_room(file, read(file, Params), BUDGET)
    with pytest.raises(BigfootError, match="unknown parent 'propose_2'"):
        written.write(file, read(file, Params), [("propose_1", SMALL, "int8-onnx")], BUDGET)
    assert file.read_text() == before and not list(tmp_path.glob(".*"))


def test_without_a_teacher_or_a_scheme_the_remedy_is_said(tmp_path):
    with pytest.raises(BigfootError, match="run `dvc repro teacher` first"):
        teacher_of(Project(tmp_path), "any")
    with pytest.raises(BigfootError, match="none is for the runtime openvino: add"):
        offered({"fp32": {}, "int8-onnx": {}, "int8ac-openvino": {}}, "openvino")
    taken = {"int8-onnx": {}, "int8-onnx+lm": {"lm": {}}, "fp16-onnx-cuda": {}, "int8-openvino": {}, "fp32": {}}
    assert list(offered(taken, "any")) == [
        "int8-onnx",
        "int8-openvino",
    ]


def test_schemes_with_names_of_their_own_have_the_step_of_their_runtime():
    assert _step("mine", {"like": "int8-openvino"}) == 8000 and _step("int8-onnx", {}) == 1


def candidate(shape: dict, mb: float, ms: float) -> Candidate:
    return Candidate(shape, "int8-onnx", mb, ms, 80.0)


def kept(loss: float) -> Kept:
    return Kept(2.0, loss, RUNGS[-1])


def config(**other):
    from transformers import Wav2Vec2Config

    settings = dict(
        vocab_size=32, hidden_size=128, num_hidden_layers=4, num_attention_heads=2, intermediate_size=512, conv_dim=(64,) * 7,
        num_conv_pos_embeddings=32, num_conv_pos_embedding_groups=16, architectures=["Wav2Vec2ForCTC"],
    )  # fmt: skip
    return Wav2Vec2Config(**settings | other)
