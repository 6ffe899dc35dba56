"""The parameters of a model are counted from its config.json alone, in all families."""

import json

import pytest

from pipeline.models.description import describe
from pipeline.models.tensors import tensors
from tests.tiny import FAMILIES, save_model


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("changes", [{}, {"norm": "layer"}, {"mask_time_prob": 0.0}, {"conv_bias": True}])
def test_tensors_counted_from_a_config_are_those_of_the_model(family, changes, tmp_path):
    folder = save_model(tmp_path / "model", layers=3, hidden=64, family=family, **changes)
    config = json.loads((folder / "config.json").read_text())
    assert tensors(config).numbers == describe(folder)["params"]
