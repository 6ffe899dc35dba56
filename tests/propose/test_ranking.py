"""The shape of a student in a chain is the one that a single cut from the teacher gives."""

from transformers import Wav2Vec2Config

from pipeline.params import Student
from pipeline.propose.ranking import shape_of
from pipeline.propose.run import described
from pipeline.propose.shapes import whole


def student(parent: str, **keys) -> Student:
    return Student.model_validate({"from": parent, "training": None} | keys)


def test_a_chain_of_cuts_is_one_cut():
    students = {
        "half": student("teacher", layers=[0, 3], hidden=128, heads=4),
        "swift": student("half", hidden=96, conv_merge=[2, 2, 2, 1]),
        "dash": student("swift", layers=1, conv_merge=[2, 2], frame_rate=25),
        "twin": student("half", layers=2),
    }
    assert shape_of("half", students) == {"layers": 2, "hidden": 128, "heads": 4}
    assert shape_of("dash", students) == {"layers": 1, "hidden": 96, "heads": 4, "conv_merge": [4, 3], "frame_rate": 25.0}
    assert shape_of("twin", students) == {"layers": 2, "hidden": 128, "heads": 4}


def test_what_a_cut_leaves_is_as_in_the_teacher():
    config = Wav2Vec2Config(num_hidden_layers=4, hidden_size=192, num_attention_heads=4, intermediate_size=768)
    cut = shape_of("half", {"half": student("teacher", layers=2)})
    assert described(whole(config) | cut) == "2 layers x 192, 4 heads, 768 units, 512 channels"


def test_what_begins_with_new_weights_has_no_shape_to_rank():
    fresh = Student.model_validate({"from": "teacher", "init": "scratch", "training": {"steps": 10, "learning_rate": 1e-3}})
    assert shape_of("child", {"fresh": fresh, "child": student("fresh", layers=1)}) is None
