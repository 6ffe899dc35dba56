"""Each peer's variant gives the logits of the model it was made from, to its precision; others are refused in one line."""

import json
from collections.abc import Iterable
from importlib.util import find_spec

import numpy as np
import pytest

from pipeline.benchmark.worker import Worker
from pipeline.common.errors import BigfootError
from pipeline.quantize import peers_litert, schemes
from pipeline.quantize.run import quantize
from pipeline.quantize.schemes import SCHEMES
from pipeline.recognition import runtimes
from pipeline.recognition.recognizer import Recognizer
from pipeline.speech import audio
from tests.exports.conftest import folded
from tests.planted import ROOT, bigfoot
from tests.tiny import save_model, speech

FLOAT, LOWERED = 1e-3, 0.35  # how far logits may move: root mean square, as a part of their standard deviation
FLOATS = ("peer-openvino", "peer-executorch", "peer-litert")
PROGRAMS = ("peer-executorch", "peer-litert")
PEERS = [name for name, scheme in SCHEMES.items() if scheme.kind == "peer"]
SHERPA = {"peer-sherpa-onnx": "fp32-onnx", "peer-sherpa-onnx-int8": "int8-onnx"}  # and whose graph it runs


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """{'group': ..., 'large': ...}: built as the small models are, and as the large ones are, which CTranslate2 supports."""
    place = tmp_path_factory.mktemp("models")
    large = save_model(place / "large", "layer", hidden=64, positions=(128, 16))
    return {"group": save_model(place / "group", hidden=64), "large": large}


def slow(schemes: Iterable[str]) -> list:
    """The schemes as parameters; programs, whose makers' converters take a minute, marked as slow."""
    return [pytest.param(name, marks=[pytest.mark.slow] if name.startswith(PROGRAMS) else []) for name in schemes]


def require(scheme: str) -> None:
    """Skip where what makes a peer is not installed."""
    try:
        schemes.require_packages(scheme)
    except BigfootError as error:
        pytest.skip(str(error))


def test_openvino_hears_what_comes_after_a_single_frame_as_ever(folders, tmp_path):
    quantize("peer-openvino", {}, folders["large"], None, tmp_path / "large.peer-openvino")
    first, again = (Recognizer.load(tmp_path / "large.peer-openvino", threads=1) for _ in range(2))
    wanted = again.logits(speech(1.0))
    first.logits(speech(0.025))
    assert np.abs(first.logits(speech(1.0)) - wanted).max() < 1e-3 * wanted.std()


def test_peers_are_named_and_marked_as_such():
    assert [name for name in SCHEMES if name.startswith("peer-")] == PEERS and len(PEERS) == 12
    assert all(SCHEMES[name].padding == "exact" for name in PEERS)


@pytest.mark.parametrize("scheme", slow(scheme for scheme in PEERS if scheme not in SHERPA))
@pytest.mark.parametrize("shape", ["group", "large"])
def test_a_peer_gives_the_models_logits_to_its_precision(folders, scheme, shape, tmp_path):
    if (scheme, shape) == ("peer-ctranslate2", "group"):
        pytest.skip("it refuses this model: see below")
    require(scheme)
    info = quantize(scheme, {}, folders[shape], None, tmp_path / f"{shape}.{scheme}")
    quantize("fp32", {}, folders[shape], None, tmp_path / "fp32")
    assert info["kind"] == "peer"
    audios = [speech(1.5), speech(1.5, seed=1), speech(0.7)]  # two in one batch, the third by itself
    peer, exact = (Recognizer.load(tmp_path / name, threads=1) for name in (f"{shape}.{scheme}", "fp32"))
    for logits, wanted in zip(peer.batch_logits(audios), exact.batch_logits(audios), strict=True):
        assert logits.shape == wanted.shape
        expected = folded(wanted) if scheme.startswith(PROGRAMS) else wanted  # they are deployed as they are
        apart = np.sqrt(np.mean((logits - expected) ** 2)) / wanted.std()
        assert apart < (FLOAT if scheme in FLOATS else LOWERED), apart
        assert apart > 1e-6 or scheme in (*FLOATS, "peer-openvino-bf16"), "a lower precision has to change something"
    assert not [path for path in tmp_path.rglob("*") if path.suffix in (".pt", ".pth", ".pkl", ".ckpt")]


@pytest.mark.parametrize("shape", ["group", "large"])
@pytest.mark.parametrize("scheme", SHERPA)
def test_sherpa_onnx_writes_what_the_graph_that_it_runs_writes(folders, scheme, shape, tmp_path):
    pytest.importorskip("sherpa_onnx", reason="`make peers` installs it")
    for name in (scheme, SHERPA[scheme]):
        quantize(name, {}, folders[shape], None, tmp_path / name)
    assert {path.name for path in (tmp_path / scheme).iterdir()} == {"model.onnx", "tokens.txt", "variant.json"}
    peer, own = (Recognizer.load(tmp_path / name, threads=1) for name in (scheme, SHERPA[scheme]))
    for seconds in (0.01, 0.7, 1.5):  # in windows of a longer one it would normalize each by itself
        audio = speech(seconds)
        scores = peer.logits(audio)
        assert scores.shape == own.logits(audio).shape and peer.text(scores) == own.transcribe(audio)


def test_sherpa_onnx_is_refused_for_a_model_that_it_would_hear_wrongly(tmp_path, monkeypatch):
    monkeypatch.setattr(schemes, "find_spec", lambda package: True)
    model = save_model(tmp_path / "model")
    settings = json.loads((model / "processor_config.json").read_text())
    settings["feature_extractor"]["do_normalize"] = False
    (model / "processor_config.json").write_text(json.dumps(settings))
    with pytest.raises(BigfootError, match="sherpa-onnx can't run model: it normalizes all audio"):
        quantize("peer-sherpa-onnx", {}, model, None, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("scheme", slow(PROGRAMS))
@pytest.mark.parametrize("normalize", [True, False])
def test_a_program_takes_raw_audio_with_any_padding(scheme, normalize, tmp_path):
    require(scheme)
    model = save_model(tmp_path / "model")
    settings = json.loads((model / "processor_config.json").read_text())
    settings["feature_extractor"]["do_normalize"] = normalize
    (model / "processor_config.json").write_text(json.dumps(settings))
    for name in (scheme, "fp32"):
        quantize(name, {}, model, None, tmp_path / name)
    program = runtimes.start(tmp_path / scheme, SCHEMES[scheme].runtime, SCHEMES[scheme].file)
    exact = Recognizer.load(tmp_path / "fp32")
    for seconds in (0.01, 0.3, 4.0, 12.0):  # LiteRT's in three signatures
        audio = 0.3 + 2 * speech(seconds)  # loud, and not around zero
        wanted = folded(exact.logits(audio))
        for padding in (0, 5000):
            logits = program(np.pad(audio, (0, padding))[None], np.array([audio.size]))[0]
            np.testing.assert_allclose(logits[: len(wanted)], wanted, atol=1e-3)


TIMED = ["peer-onnx-optimum-matmul", "peer-openvino", "peer-ctranslate2", "peer-sherpa-onnx-int8", *PROGRAMS]


@pytest.mark.parametrize("scheme", slow(TIMED))
def test_a_peer_is_timed_and_profiled_as_any_variant(folders, scheme, tmp_path):
    require(scheme)
    quantize(scheme, {}, folders["large"], None, tmp_path / "variant")
    audio.write(tmp_path / "a.flac", speech(1.0))
    worker = Worker()
    assert worker.idle(SCHEMES[scheme].runtime)["peak_mb"] > 0
    worker.open(str(tmp_path / "variant"), 1, [str(tmp_path / "a.flac")])
    assert worker.turn([0])["seconds"][0] > 0 and worker.batched(2)["rtfx"] > 0
    assert set(worker.profile()) == {"cnn_ms", "encoder_ms", "int8_share"}


@pytest.mark.parametrize(
    ("shape", "reason"),
    [
        ({"norm": "group"}, "group norm"),
        ({"norm": "layer", "stable": False, "positions": (128, 16)}, "pre-norm layers only"),
        ({"norm": "layer", "positions": (16, 4)}, "128 frames in 16 groups only, and this model's has 16 in 4"),
    ],
    ids=["group norm", "post-norm", "positions"],
)
def test_ctranslate2s_error_names_what_it_does_not_support(shape, reason, tmp_path):
    pytest.importorskip("ctranslate2")
    model = save_model(tmp_path / "model", hidden=64, **shape)
    with pytest.raises(BigfootError, match=reason):
        quantize("peer-ctranslate2", {}, model, None, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_package_that_is_not_installed_is_named_with_its_extra(folders, monkeypatch, tmp_path):
    peers = {name: SCHEMES[name].runtime for name in ("peer-ctranslate2", "peer-sherpa-onnx", *PROGRAMS)}
    for module in (schemes, runtimes):
        monkeypatch.setattr(module, "find_spec", lambda package: None if package in peers.values() else find_spec(package))
    (tmp_path / "model").touch()
    for scheme, package in peers.items():
        error = f"^schemes.{scheme}: {package} is not installed: `make peers` installs the extra `peers`$"
        with pytest.raises(BigfootError, match=error):
            quantize(scheme, {}, folders["large"], None, tmp_path / "out")
        assert not (tmp_path / "out").exists()
        with pytest.raises(BigfootError, match=f"{package}, which runs it, .*`make peers` installs the extra `peers`"):
            runtimes.start(tmp_path, package, "model")


def test_a_converter_that_is_not_installed_is_named_before_anything_is_made(monkeypatch, tmp_path):
    monkeypatch.setattr(schemes, "find_spec", lambda package: True)
    monkeypatch.setattr(peers_litert, "PYTHON", tmp_path / "none")
    with pytest.raises(BigfootError, match="^schemes.peer-litert: .*litert-torch, is not installed: `make litert` "):
        quantize("peer-litert", {}, tmp_path / "model", None, tmp_path / "out")


@pytest.mark.skipif(find_spec("ctranslate2") is not None, reason="it is installed, so nothing is refused")
def test_check_refuses_a_variant_whose_package_is_not_installed_before_anything_runs(tmp_path):
    text = (ROOT / "profiles/quickstart.yaml").read_text()
    text = text.replace("  fp32-onnx: {}\n", "  fp32-onnx: {}\n  peer-ctranslate2: {}\n")
    (tmp_path / "params.yaml").write_text(text)
    assert bigfoot("check", cwd=tmp_path).returncode == 0, "no variant uses it"
    variant = "  thin-int8-onnx: {model: thin, scheme: int8-onnx}\n"
    added = f"{variant}  thin-peer-ctranslate2: {{model: thin, scheme: peer-ctranslate2}}\n"
    (tmp_path / "params.yaml").write_text(text.replace(variant, added))
    done = bigfoot("check", cwd=tmp_path)
    assert done.returncode == 1 and len(done.stderr.splitlines()) == 1 and "the extra `peers`" in done.stderr


def test_optimums_choice_for_the_cpu_is_recorded_in_variant_json(folders, monkeypatch, tmp_path):
    made = {}
    for features in (["avx2"], ["avx2", "avx512_vnni"]):
        monkeypatch.setattr("pipeline.common.host.features", lambda features=features: features)
        quantize("peer-onnx-optimum-matmul", {}, folders["group"], None, tmp_path / features[-1])
        made[features[-1]] = json.loads((tmp_path / features[-1] / "variant.json").read_text())
    assert [info["optimum"] for info in made.values()] == ["avx2", "avx512_vnni"]
    assert made["avx2"]["files"] != made["avx512_vnni"]["files"]
