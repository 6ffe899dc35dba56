"""Two tiny models, one a kind of front end, and every scheme's variant of both, made once and as needed."""

import pytest

from pipeline.schemes import quantise
from tests.tiny import Spoken, save_model


@pytest.fixture(scope="session")
def models(tmp_path_factory):
    """{'group': folder, 'layer': folder}."""
    folder = tmp_path_factory.mktemp("models")
    return {norm: save_model(folder / norm, norm, hidden=128) for norm in ("group", "layer")}


@pytest.fixture(scope="session")
def variants(models, tmp_path_factory):
    """{(norm, scheme): folder}, each made when a test first asks for it."""
    folder = tmp_path_factory.mktemp("variants")

    class Made(dict):
        def __missing__(self, key):
            norm, scheme = key
            settings = {"max_wer_rise": 9.0} if scheme == "int8ac-openvino" else {}
            quantise(scheme, settings, models[norm], Spoken(["a word"]), folder / f"{norm}.{scheme}")
            return self.setdefault(key, folder / f"{norm}.{scheme}")

    return Made()
