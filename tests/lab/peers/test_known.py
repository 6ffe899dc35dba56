"""Each peer's folder gives the logits of the model it was made of, to its precision; what it can't do it says in one line."""

from importlib.util import find_spec

import numpy as np
import pytest

from pipeline.common.errors import BigfootError
from pipeline.lab.peers import known
from tests.tiny import save_model, speech

FLOAT, INT8 = 1e-3, 0.35  # how far logits may move, as a share of their standard deviation, root mean square


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """{'group': ..., 'large': ...}: of the small models' kind, and as the large ones are built, which CTranslate2 takes."""
    place = tmp_path_factory.mktemp("models")
    large = save_model(place / "large", "layer", hidden=64, positions=(128, 16))
    return {"group": save_model(place / "group", hidden=64), "large": large}


@pytest.mark.parametrize("name", known.PEERS)
@pytest.mark.parametrize("kind", ["group", "large"])
def test_a_peer_hears_what_the_model_hears(models, name, kind, tmp_path):
    missing = [package for package in known.PEERS[name].packages if find_spec(package) is None]
    if missing:
        pytest.skip(f"no {missing[0]}: `make peers` installs it")
    if name == "ctranslate2-int8" and kind == "group":
        pytest.skip("refused, see below")
    heard, reference = [speech(1.5), speech(1.5, seed=1)], known.REFERENCE
    for peer in (reference, name):
        if not (tmp_path / peer).exists():
            known.prepare(peer, models[kind], tmp_path / peer)
    try:
        ear = known.load(tmp_path / name, threads=1)
    except BigfootError as error:
        assert name == "openvino-bf16" and "bfloat16" in str(error)
        pytest.skip("this CPU has no bfloat16")
    for one, wanted in zip(
        ear.batch_logits(heard), known.load(tmp_path / reference, threads=1).batch_logits(heard), strict=True
    ):
        assert one.shape == wanted.shape
        apart = np.sqrt(np.mean((one - wanted) ** 2)) / wanted.std()
        assert apart < (FLOAT if name.endswith("fp32") else INT8), apart
        assert apart > 1e-6 or name in (reference, "openvino-fp32"), "lower precision that changes nothing isn't there"
    assert not [path for path in (tmp_path / name).rglob("*") if path.suffix in (".pt", ".pth", ".pkl", ".ckpt")]


def test_a_package_that_is_not_installed_is_named(models, monkeypatch, tmp_path):
    monkeypatch.setattr(known, "find_spec", lambda package: None if package == "ctranslate2" else find_spec(package))
    with pytest.raises(BigfootError, match="^ctranslate2 is not installed: `make peers` installs it$"):
        known.prepare("ctranslate2-int8", models["large"], tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("shape", "reason"),
    [
        ({"norm": "group"}, "group norm"),
        ({"norm": "layer", "stable": False, "positions": (128, 16)}, "pre-norm layers only"),
        ({"norm": "layer", "positions": (16, 4)}, "128 frames in 16 groups only, this model's has 16 in 4"),
    ],
    ids=["group norm", "post-norm", "positions"],
)
def test_ctranslate2_says_which_models_it_cannot_take(shape, reason, tmp_path):
    with pytest.raises(BigfootError, match=reason):
        known.CTranslate2Int8().prepare(save_model(tmp_path / "model", hidden=64, **shape), tmp_path)


def test_openvino_sends_no_usage_data(models, monkeypatch, tmp_path):
    """Its telemetry works in a forked process, which outlived the run here."""
    import openvino_telemetry

    monkeypatch.setattr(openvino_telemetry.Telemetry, "send_event", lambda *_, **__: pytest.fail("usage data was sent"))
    known.prepare("openvino-fp32", models["group"], tmp_path / "out")


def test_every_peer_says_what_it_is():
    assert all(len(known.about(name)) > 30 and "\n" not in known.about(name) for name in known.PEERS)
