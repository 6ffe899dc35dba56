"""The layers that settings ask for are chosen, and settings that do not fit the parent are refused by name."""

import pytest

from pipeline.common.errors import BigfootError
from pipeline.distill.surgery import student
from tests.distill.surgery.parents import parent, settings


@pytest.mark.parametrize(
    ("wanted", "choose", "kept"),
    [(4, "even", [0, 4, 7, 11]), (1, "even", [6]), (3, "first", [0, 1, 2]), (2, "last", [10, 11]),
     ([1, 5], "even", [1, 5]), (None, "even", list(range(12)))],
)  # fmt: skip
def test_layers_are_chosen_as_asked(wanted, choose, kept):
    assert student.kept_layers(12, settings(layers=wanted, choose=choose)) == kept


def test_spans_of_specaugment_may_be_of_any_length_where_it_is_off():
    off = {"apply_spec_augment": False, "mask_feature_prob": 0.1, "mask_feature_length": 25}
    assert student.build(parent(), settings(hidden=24, config=off))


@pytest.mark.parametrize(
    ("changes", "named"),
    [({"hidden": 96}, "hidden 96 > 48"), ({"layers": 9}, "has 4"), ({"layers": [3, 1]}, "rising"),
     ({"heads": 2}, "hidden / heads"), ({"hidden": 22, "heads": 4}, "not a multiple"),
     ({"config": {"hiden_dropout": 0.1}}, "hiden_dropout"), ({"conv_merge": [7]}, "keep two convolutions or more"),
     ({"conv_channels": 17}, "conv_channels 17 > 16"),
     ({"hidden": 24, "config": {"mask_feature_prob": 0.1, "mask_feature_length": 25}}, "from 1 to the model's hidden_size, 24"),
     ({"config": {"mask_time_prob": 0.1, "mask_time_length": 0}}, "mask_time_length is 0: it has to be 1 or more")],
)  # fmt: skip
def test_impossible_students_are_refused_by_name(changes, named):
    with pytest.raises(BigfootError, match=named):
        student.build(parent(), settings(**changes))
