"""What `bigfoot check` says of memory before anything runs: one line per training, of the shapes that training would make."""

import re

import pytest

from pipeline.common.errors import BigfootError
from pipeline.distill import memory
from pipeline.project import load_params
from tests import tones
from tests.tiny import save_model


def written(folder, change) -> list[str]:
    """The lines for a project whose utterances are short."""

    def short(chosen: dict) -> None:
        chosen["corpus"]["limits"] = {"max_seconds": 2}
        change(chosen)

    return list(memory.lines(load_params(tones.project(folder, steps=20, change=short) / "params.yaml"), folder))


def lines(folder, change=lambda chosen: None) -> dict[str, tuple[float, float, float]]:
    """{model: MB in all, MB of its parameters, MB per second} as the lines say."""
    size = r"([\d,.]+) MB"
    found = {}
    for line in written(folder, change):
        name, *sizes = re.fullmatch(
            rf"memory: (\w+) needs at most {size} .*: {size} for its .*, and {size} for each .*", line
        ).groups()
        found[name] = tuple(float(size.replace(",", "")) for size in sizes)
    return found


def wide(chosen: dict) -> None:
    """A teacher whose need shows in megabytes."""
    chosen["teacher"]["config"] |= {"hidden_size": 512, "intermediate_size": 2048, "conv_dim": [256] * 7}


def test_every_training_has_a_line_and_its_parts_make_the_whole(tmp_path):
    found = lines(tmp_path, wide)
    assert list(found) == ["teacher", "half", "thin"]
    for whole, fixed, per_second in found.values():
        assert whole == round(fixed + 3 * per_second)


def test_a_longer_utterance_is_a_batch_by_itself_and_longer_still_at_a_slower_speed(tmp_path):
    def long(chosen: dict) -> None:
        wide(chosen)
        chosen["corpus"]["limits"]["max_seconds"] = 18
        chosen["teacher"]["training"]["augment"]["speed"] = [0.9, 1.1]
        chosen["students"]["half"]["distillation"] = {}  # from logits that are stored at a speed of 0.9, too

    found = lines(tmp_path, long)
    for name, seconds in (("teacher", 20), ("half", 20), ("thin", 20)):
        whole, fixed, per_second = found[name]
        assert whole == pytest.approx(fixed + seconds * per_second, abs=1 + 0.1 * per_second)  # up to a STEP more


def test_where_longer_utterances_are_kept_the_line_says_that_they_need_more(tmp_path):
    def kept(chosen: dict) -> None:
        chosen["corpus"]["checks"] = {"too_long": "report"}

    for change, said in ((wide, False), (kept, True)):
        assert all(("too_long: report keeps, need more" in line) == said for line in written(tmp_path, change))


def test_a_student_with_fewer_frames_needs_less_per_second(tmp_path):
    def slow(chosen: dict) -> None:
        wide(chosen)
        chosen["students"]["half"]["frame_rate"] = 25

    assert lines(tmp_path / "b", slow)["half"][2] < 0.95 * lines(tmp_path / "a", wide)["half"][2]


def test_what_is_not_trained_has_none(tmp_path):
    def untrained(chosen: dict) -> None:
        chosen["students"]["half"]["training"] = None
        chosen["students"]["half"]["distillation"] = {}

    assert list(lines(tmp_path, untrained)) == ["teacher", "thin"]


@pytest.mark.parametrize(
    "change",
    [
        {"gradient_checkpointing": True},
        {"freeze_feature_encoder_steps": 20},
        {"precision": "bf16"},
    ],
)
def test_what_saves_memory_is_counted(tmp_path, change):
    def changed(chosen: dict) -> None:
        wide(chosen)
        chosen["teacher"]["training"] |= change

    assert lines(tmp_path / "b", changed)["teacher"][2] < lines(tmp_path / "a", wide)["teacher"][2]


def test_a_teacher_beside_its_student_is_counted(tmp_path):
    def stored(chosen: dict) -> None:
        wide(chosen)
        chosen["students"]["thin"]["distillation"] = {}
        chosen["students"]["thin"]["training"]["augment"] = {}

    online, alone = lines(tmp_path / "a", wide)["thin"], lines(tmp_path / "b", stored)["thin"]
    assert online[1] > alone[1] + 4 * 10 and online[2] > alone[2]


def test_a_teacher_that_is_taken_as_it_is_without_students_needs_no_shape(tmp_path):
    def alone(chosen: dict) -> None:
        chosen["teacher"] |= {
            "init": "pretrained",
            "data": "data/nowhere",
            "alphabet": "model",
            "config": {},
            "finetune": False,
        }
        chosen["teacher"]["training"] = None
        chosen |= {"students": {}, "variants": {"teacher-fp32": {"model": "teacher", "scheme": "fp32"}}}

    assert lines(tmp_path, alone) == {}


def pretrained(chosen: dict) -> None:
    chosen["teacher"] |= {"init": "pretrained", "data": "data/base", "alphabet": "model", "config": {}}
    chosen["teacher"]["training"].pop("grow")


def test_a_student_that_does_not_fit_into_a_pretrained_teacher_is_refused_before_anything_runs(tmp_path):
    save_model(tmp_path / "data/base", heads=2)
    with pytest.raises(BigfootError, match=r"students.thin: a student can't be wider than its parent: heads 4 > 2"):
        lines(tmp_path, pretrained)


def test_a_pretrained_teachers_shape_is_read_from_its_folder_and_of_the_hubs_once_it_is_here(tmp_path):
    save_model(tmp_path / "a/data/base", hidden=64, heads=4)
    assert "teacher" in lines(tmp_path / "a", pretrained)

    def on_the_hub(chosen: dict) -> None:
        pretrained(chosen)
        chosen["teacher"] |= {"name": "nobody/nothing-of-this-name", "data": "data/none"}

    params = load_params(tones.project(tmp_path / "b", steps=20, change=on_the_hub) / "params.yaml")
    assert [*memory.lines(params, tmp_path)] == [
        "memory: the shape of nobody/nothing-of-this-name is known once the stage teacher has fetched it"
    ]
