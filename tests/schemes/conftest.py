"""Two tiny models, one a kind of front end, and every scheme's variant of both, made once."""

import pytest

from pipeline.schemes import SCHEMES, quantise
from tests.tiny import TrainingAudio, save_model


@pytest.fixture(scope="session")
def models(tmp_path_factory):
    """{'group': folder, 'layer': folder}."""
    folder = tmp_path_factory.mktemp("models")
    return {norm: save_model(folder / norm, norm, hidden=128) for norm in ("group", "layer")}


@pytest.fixture(scope="session")
def variants(models, tmp_path_factory):
    """{(norm, scheme): folder}."""
    folder = tmp_path_factory.mktemp("variants")
    made = {}
    for norm, model in models.items():
        for scheme in SCHEMES:
            made[norm, scheme] = folder / f"{norm}.{scheme}"
            quantise(scheme, {}, model, TrainingAudio(), made[norm, scheme])
    return made
