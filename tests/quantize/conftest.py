"""Tiny models, one per kind of feature encoder, and every scheme's variant of each, made once when it is needed."""

import pytest

from pipeline.distill import fake_int8
from pipeline.quantize.run import quantize
from tests.tiny import Spoken, save_model


@pytest.fixture(scope="session")
def models(tmp_path_factory):
    """{'group': folder, 'layer': folder, 'narrow': folder}, all as if they had been trained for int8 convolutions.

    A narrow feature encoder's group norm computes its statistics in another way than a wide one's: pipeline.models.forward.
    """
    folder = tmp_path_factory.mktemp("models")
    made = {norm: save_model(folder / norm, norm, hidden=128, channels=32) for norm in ("group", "layer")}
    made["narrow"] = save_model(folder / "narrow", "group", hidden=128, channels=16)
    for model in made.values():
        fake_int8.save({f"conv_layers.{i}": {"low": -0.5, "high": 3.0} for i in range(1, 7)}, model)
    return made


@pytest.fixture(scope="session")
def variants(models, tmp_path_factory):
    """{(norm, scheme): folder}, each made when a test first needs it."""
    folder = tmp_path_factory.mktemp("variants")

    class Made(dict):
        def __missing__(self, key):
            norm, scheme = key
            settings = {"max_rise": 9.0} if scheme == "int8ac-openvino" else {}
            quantize(scheme, settings, models[norm], Spoken(["a word"]), folder / f"{norm}.{scheme}")
            return self.setdefault(key, folder / f"{norm}.{scheme}")

    return Made()
