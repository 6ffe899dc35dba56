"""A served variant answers audio with text, refuses the rest with a reason, and lives on."""

import base64
import io
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import soundfile
from hypothesis import strategies as st

from pipeline.common.errors import BigfootError
from pipeline.common.files import sealed, write_json
from pipeline.quantize import ngrams
from pipeline.quantize.run import quantize
from pipeline.recognition import decoding, seal, uploads
from pipeline.recognition.recognizer import Recognizer
from pipeline.speech import audio
from pipeline.tracking import closure, package
from tests import tiny
from tests.fuzz import counts, fuzz, mutated, shows
from tests.planted import ROOT
from tests.recordings import with_stated_frames

needs_library = pytest.mark.skipif(not decoding.is_installed(), reason="needs the extra lm: make lm")
LIMITS = uploads.Limits(files=3, mb=0.2, seconds=4)


def encoded(samples: np.ndarray, rate: int = 16_000, kind: str = "WAV") -> bytes:
    file = io.BytesIO()
    soundfile.write(file, samples, rate, format=kind)
    return file.getvalue()


def without_length(flac: bytes) -> bytes:
    return with_stated_frames(flac, 0)


def rated(wav: bytes, rate: int) -> bytes:
    """The WAV file with another rate in its header."""
    return wav[:24] + rate.to_bytes(4, "little") + wav[28:]


def flac_that_says(frames: int) -> bytes:
    """A FLAC file of 0.5 s whose header says another number of samples."""
    return with_stated_frames(encoded(tiny.speech(0.5), kind="FLAC"), frames)


@pytest.fixture(scope="module")
def variant(tmp_path_factory):

    folder = tmp_path_factory.mktemp("serving")
    quantize("fp32-onnx", {}, tiny.save_model(folder / "teacher"), None, folder / "teacher.fp32-onnx")
    return folder / "teacher.fp32-onnx"


@pytest.fixture(scope="module")
def saved(variant):
    """The variant as an MLflow model; logging it must not so much as open it."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(onnxruntime, "InferenceSession", lambda *_, **__: pytest.fail("logging a model ran it"))
        package.save(variant, "onnxruntime", variant.parent / "saved")
    return variant.parent / "saved"


@pytest.fixture(scope="module")
def foreign(tmp_path_factory):
    """A folder with another package called pipeline, which has nothing of Bigfoot's."""
    folder = tmp_path_factory.mktemp("foreign")
    (folder / "pipeline").mkdir()
    (folder / "pipeline" / "__init__.py").touch()
    return folder


@pytest.fixture
def model(saved, monkeypatch):
    import mlflow

    for limit in ("files", "mb", "seconds"):
        monkeypatch.setenv(f"BIGFOOT_SERVE_MAX_{limit.upper()}", str(getattr(LIMITS, limit)))
    return mlflow.pyfunc.load_model(str(saved))


def predict(model, *files):
    import pandas

    return model.predict(pandas.DataFrame({"audio": list(files)}))


def recognizer_class(model):
    """The class that a loaded model runs: its own copy, not this checkout's."""
    return type(model.unwrap_python_model().recognizer)


# ---------------------------------------------------------------- what is taken


def test_any_format_and_rate_becomes_16_khz_mono():
    stereo = np.stack([tiny.speech(0.5), tiny.speech(0.5)], axis=1)
    for content in (encoded(stereo, 16_000), encoded(stereo, 16_000, "FLAC"), memoryview(encoded(stereo, 8_000)[:])):
        waveform = uploads.decode_upload(content, LIMITS)
        assert waveform.ndim == 1 and waveform.size in (8_000, 16_000)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("/etc/passwd", "paths and addresses"),
        ("https://example.com/a.wav", "paths and addresses"),
        (None, "NoneType, not bytes"),
        (b"", "0 bytes"),
        (b"not audio", "can't be read as WAV"),
        (encoded(tiny.speech(1.0))[:9_000], "cut off"),
        (bytes(200_001), "0.2 MB, more than the 0.2 MB"),
        (encoded(np.zeros(34_000, "float32"), 8_000), "4.2 s, more than the 4 s"),
        (flac_that_says(4 * 16_000 + 1), "4.0 s, more than the 4 s"),
        (flac_that_says(2**36 - 1), "1,193.0 h, more than the 24 h of audio"),
        (without_length(encoded(tiny.speech(4.1), kind="FLAC")), "4.1 s, more than the 4 s"),
        (rated(encoded(tiny.speech(0.5)), 8), "states 1 channels at 8 Hz"),
        (rated(encoded(tiny.speech(0.5)), 2**31 - 1), "states 1 channels at 2,147,483,647 Hz"),
        (b"\0\0\0\x1cftypM4A " + bytes(5_000), "can't be read as WAV"),
        (encoded(np.zeros((13_000, 30), "float32"), 44_100, "OGG"), "30 channels of 13000 samples"),
    ],
    ids="path url null empty junk cut large long lying absurd streamed slow fast m4a channels".split(),
)
def test_what_is_refused_has_a_reason(content, reason):
    with pytest.raises(BigfootError, match=reason) as raised:
        uploads.decode_upload(content, LIMITS)
    assert "\n" not in str(raised.value)


def test_what_is_too_long_or_too_large_is_never_decoded(monkeypatch):
    monkeypatch.setattr(soundfile.SoundFile, "read", lambda *_, **__: pytest.fail("it was decoded"))
    for content in (bytes(200_001), flac_that_says(2**36 - 1), encoded(np.zeros(34_000, "float32"), 8_000)):
        with pytest.raises(BigfootError):
            uploads.decode_upload(content, LIMITS)


def test_limits_are_the_environments_or_the_defaults(monkeypatch):
    assert uploads.Limits.from_environment() == uploads.Limits(files=16, mb=25, seconds=600)
    monkeypatch.setenv("BIGFOOT_SERVE_MAX_MB", "0.5")
    assert uploads.Limits.from_environment() == uploads.Limits(files=16, mb=0.5, seconds=600)
    for name, value in (("FILES", "1.5"), ("FILES", "0"), ("MB", "many"), ("SECONDS", "inf"), ("SECONDS", "nan")):
        monkeypatch.setenv(f"BIGFOOT_SERVE_MAX_{name}", value)
        with pytest.raises(BigfootError, match=f"BIGFOOT_SERVE_MAX_{name} is '{value}'"):
            uploads.Limits.from_environment()
        monkeypatch.delenv(f"BIGFOOT_SERVE_MAX_{name}")


# ---------------------------------------------------------------- the MLflow model


def test_a_loaded_model_answers_each_file_with_its_text_and_duration(model, variant):
    lengths = (0.5, 1.5, 1.0)
    recordings = [tiny.speech(seconds, seed) for seed, seconds in enumerate(lengths)]
    answers = predict(model, *map(encoded, recordings))
    alone = Recognizer.load(variant)
    assert list(answers["text"]) == [alone.transcribe(audio.read(encoded(recording))) for recording in recordings]
    assert list(answers["duration"]) == list(lengths) and len(set(answers["text"])) == 3


def test_one_bad_file_is_named_and_the_model_lives_on(model):
    from mlflow.exceptions import MlflowException

    good = encoded(tiny.speech(0.5))
    with pytest.raises(MlflowException, match="file 2 of 2: the audio can't be read") as raised:
        predict(model, good, b"not audio")
    assert raised.value.get_http_status_code() == 400
    with pytest.raises(MlflowException, match="4 files in one request, more than the 3") as raised:
        predict(model, *[good] * 4)
    assert raised.value.get_http_status_code() == 400
    assert len(predict(model, good)) == 1


def test_a_fault_of_the_server_is_not_called_the_clients(model, monkeypatch):
    from mlflow.exceptions import MlflowException

    monkeypatch.setattr(recognizer_class(model), "transcribe", lambda *_: 1 / 0)
    with pytest.raises(MlflowException, match="see the server's log") as raised:
        predict(model, encoded(tiny.speech(0.5)))
    assert raised.value.get_http_status_code() == 500


def test_a_recognizer_is_never_in_two_threads_at_once(model, monkeypatch):
    inside, most = [], []

    def transcribe(self, waveform, hot_words):
        inside.append(1)
        most.append(len(inside))
        time.sleep(0.02)
        inside.pop()
        return "words"

    monkeypatch.setattr(recognizer_class(model), "transcribe", transcribe)
    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda _: predict(model, encoded(tiny.speech(0.1))), range(8)))
    assert len(answers) == 8 and max(most) == 1


@needs_library
def test_a_request_may_have_hot_words_and_what_is_wrong_with_them_is_said(model, variant):
    import pandas
    from mlflow.exceptions import MlflowException

    recording, alone = encoded(tiny.speech(2.0)), Recognizer.load(variant)
    recordings, words = pandas.DataFrame({"audio": [recording]}), ["anna", "bob marley"]
    plain, expected = (alone.transcribe(audio.read(recording), hot_words) for hot_words in ([], words))
    assert model.predict(recordings, params={"hot_words": words})["text"][0] == expected != plain
    assert model.predict(recordings)["text"][0] == model.predict(recordings, params={"hot_words": []})["text"][0] == plain
    for given, reason in (
        (["x"] * 101, "101 hot words, more than the 100 accepted"),
        (["x" * 51], "1 to 50 letters"),
        (["é"], "doesn't write 'é'"),
        ("anna", "hot_words"),
        ([1], "hot_words"),
    ):
        with pytest.raises(MlflowException, match=reason) as raised:
            model.predict(recordings, params={"hot_words": given})
        assert raised.value.get_http_status_code() == 400
    assert model.predict(recordings)["text"][0] == plain


@needs_library
def test_a_variant_that_searches_carries_its_language_model_and_requires_the_library(variant, tmp_path):
    import mlflow
    import pandas

    folder = tmp_path / "teacher.fp32-onnx+lm"
    shutil.copytree(variant, folder)
    words = Recognizer.load(variant).transcribe(tiny.speech(2.0)).split()
    ngrams.estimate([" ".join(words[::2])], 2).write(folder / "lm.arpa.gz")
    info = json.loads((folder / "variant.json").read_text())
    info |= {"decoding": {"file": "lm.arpa.gz", "alpha": 0.5, "beta": 0.0, "beam": 8}, "files": seal.seal(folder)}
    del info["files"]["variant.json"]
    write_json(folder / "variant.json", sealed({key: value for key, value in info.items() if key != "sha256"}))
    package.save(folder, "onnxruntime", tmp_path / "saved")
    assert f"ctc_beam_decoder=={version('ctc_beam_decoder')}" in (tmp_path / "saved/requirements.txt").read_text().split()
    served = mlflow.pyfunc.load_model(str(tmp_path / "saved"))
    recording = encoded(tiny.speech(2.0))
    text = served.predict(pandas.DataFrame({"audio": [recording]}))["text"][0]
    assert text == Recognizer.load(folder).transcribe(audio.read(recording)) != " ".join(words)


def test_signature_and_example_are_there_and_the_example_is_what_the_model_takes(saved, model):
    assert model.metadata.signature.inputs.to_dict() == [{"type": "binary", "name": "audio", "required": True}]
    assert model.metadata.signature.outputs.input_names() == ["text", "duration"]
    assert list(predict(model, model.input_example["audio"][0])["duration"]) == [0.5]
    posted = json.loads((saved / "serving_input_example.json").read_text())
    assert base64.b64decode(posted["dataframe_split"]["data"][0][0]) == package.example()


def test_a_request_that_is_too_late_gives_up_before_its_turn_and_between_windows(model, monkeypatch):
    from mlflow.exceptions import MlflowException

    served, recording = model.unwrap_python_model(), encoded(tiny.speech(0.1))
    monkeypatch.setattr(served, "seconds", 0.05)
    with served.lock, pytest.raises(MlflowException, match="longer than this server waits") as raised:
        predict(model, recording)
    assert raised.value.get_http_status_code() == 503
    monkeypatch.setattr(recognizer_class(model), "waveform", lambda self, samples: time.sleep(0.1) or samples)
    with pytest.raises(MlflowException, match="longer than this server waits"):
        predict(model, recording)
    monkeypatch.setattr(served, "seconds", 60.0)
    assert len(predict(model, recording)) == 1


# ---------------------------------------------------------------- MLflow's server, in this process


@pytest.fixture
def client(saved, monkeypatch):
    """What `mlflow models serve` runs, without the network."""
    import mlflow.pyfunc
    from fastapi.testclient import TestClient
    from mlflow.pyfunc import scoring_server

    monkeypatch.setattr(scoring_server, "invocations", scoring_server.invocations)  # takes the guard off again
    for limit in ("files", "mb", "seconds"):
        monkeypatch.setenv(f"BIGFOOT_SERVE_MAX_{limit.upper()}", str(getattr(LIMITS, limit)))
    return TestClient(scoring_server.init(mlflow.pyfunc.load_model(str(saved))), raise_server_exceptions=False)


JSON = {"Content-Type": "application/json"}
DEEP = b'{"dataframe_records": ' + b"[" * 5_000 + b"]" * 5_000 + b"}"
DEEPER = b'{"dataframe_records": ' + b"[" * 200_000 + b"]" * 200_000 + b"}"


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        (DEEP, JSON, 400),
        (DEEPER, JSON, 400),
        (b'{"dataframe_records": [{"audio": ' + b"9" * 5_000 + b"}]}", JSON, 400),
        (b'{"dataframe_records": [{"audio": ' + b"9" * 50 + b"}]}", JSON, 400),
        (b'{"dataframe_records": [{"audio": NaN}]}', JSON, 400),
        (b'{"dataframe_records": [{"audio": 1e999}]}', JSON, 400),
        (b'{"dataframe_records": [{"audio": null}]}', JSON, 400),
        (b'{"dataframe_records": [{"audio": ["a"]}]}', JSON, 400),
        (b'{"dataframe_split": {"columns": ["audio"], "data": [[]]}}', JSON, 400),
        (b'{"dataframe_split": {"index": [1, 2], "columns": ["audio"], "data": [["AAAA"]]}}', JSON, 400),
        (b'{"dataframe_records": [{' + b",".join(b'"%d": 1' % n for n in range(50_000)) + b"}]}", JSON, 400),
        (b'{"inputs": {"audio": [[["AAAA"]]]}}', JSON, 400),
        (b'{"instances": [{"audio": 5}]}', JSON, 400),
        (b'{"messages": [{"role": "user", "content": "x"}]}', JSON, 400),
        (b'{"dataframe_records": [{"audio": "\\ud800"}]}', JSON, 400),
        (b"\xff\xfe", JSON, 400),
        (b'{"params": 5, "dataframe_records": [{"audio": "AAAA"}]}', JSON, 400),
        (bytes(1_000_000), JSON, 413),
        (b"audio\nAAAA\n", {"Content-Type": "text/csv"}, 415),
        (b"PAR1", {"Content-Type": "application/x-parquet"}, 415),
        (b"RIFF", {"Content-Type": "audio/wav"}, 415),
        (b"{}", {"Content-Type": ""}, 415),
        (b"{}", {"Content-Type": "application/json; charset=utf-16"}, 415),
        (b"{}", {"Content-Type": "application/json; =;;"}, 415),
    ],
)
def test_what_the_server_can_not_parse_is_4xx_soon_and_without_a_traceback(client, body, headers, status):
    started = time.monotonic()
    answer = client.post("/invocations", content=body, headers=headers)
    assert answer.status_code == status, answer.text[:500]
    assert "Traceback" not in answer.text and "stack_trace" not in answer.text and len(answer.text) < 5_000
    assert time.monotonic() - started < 10
    good = client.post("/invocations", json={"dataframe_records": [{"audio": base64.b64encode(package.example()).decode()}]})
    assert good.status_code == 200 and good.json()["predictions"][0]["duration"] == 0.5


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
    | st.sampled_from(["audio", *(base64.b64encode(package.example()[:end]).decode() for end in (200, None))]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["audio", "text"]), inner, max_size=3),
    max_leaves=6,
)  # fmt: skip
FORMS = [
    "dataframe_records",
    "dataframe_split",
    "instances",
    "inputs",
    "params",
    "messages",
    "columns",
    "data",
    "index",
    "audio",
]
BODIES = st.dictionaries(st.sampled_from(FORMS) | st.text(max_size=5), VALUES, max_size=3).map(json.dumps).map(str.encode)
JSON_BODIES = (
    BODIES
    | VALUES.map(json.dumps).map(str.encode)
    | mutated(st.just(package.example()), 200).map(
        lambda content: json.dumps({"dataframe_records": [{"audio": base64.b64encode(content).decode()}]}).encode()
    )
)
KINDS = ["application/json"] * 8 + ["text/csv", "application/json; charset=latin-1", "a;b=c", ";", ""]


@counts(2_000, "requests to a served model, in process", few=10)
def test_any_request_is_answered_with_200_or_4xx(client, saved, count, record_property):
    posted = (saved / "serving_input_example.json").read_bytes()

    def check(given: tuple[bytes, str]) -> None:
        body, kind = given
        answer = client.post("/invocations", content=body, headers={"Content-Type": kind})
        assert answer.status_code in (200, 400, 413, 415), answer.text[:500]
        assert "Traceback" not in answer.text and "stack_trace" not in answer.text
        if answer.status_code != 200:
            raise BigfootError(str(answer.status_code))

    bodies = JSON_BODIES | mutated(st.just(posted), 200) | st.binary(max_size=50)
    fuzz(count, st.tuples(bodies, st.sampled_from(KINDS)), check, 300, record_property)


def test_a_request_without_a_content_type_is_4xx(client):
    request = client.build_request("POST", "/invocations", content=b"{}")
    request.headers.pop("content-type", None)
    assert client.send(request).status_code == 415


def test_a_variant_with_a_flipped_bit_is_neither_logged_nor_served(saved, variant, tmp_path):
    import mlflow

    served, logged = shutil.copytree(saved, tmp_path / "saved"), shutil.copytree(variant, tmp_path / variant.name)
    mlflow.pyfunc.load_model(str(served))  # from now on it is known to be whole
    for file in (*served.rglob("model.onnx"), logged / "model.onnx"):
        content, then = bytearray(file.read_bytes()), file.stat()
        content[len(content) // 2] ^= 1
        file.write_bytes(content)
        os.utime(file, ns=(then.st_atime_ns, then.st_mtime_ns))  # as a failing disk would
    with pytest.raises(Exception, match=r"model\.onnx has the size but not the content"):  # of the model's own BigfootError
        mlflow.pyfunc.load_model(str(served))
    with pytest.raises(BigfootError, match=r"model\.onnx has the size but not the content"):
        package.save(logged, "onnxruntime", tmp_path / "again")
    assert not (tmp_path / "again").exists()


# ---------------------------------------------------------------- the code it carries


def carried(saved: Path) -> list[str]:
    """The files of code in a saved model, named without the hash in their package's name."""
    files = [path.relative_to(saved).as_posix() for path in (*saved.glob("*.py"), *saved.glob("code/**/*.*"))]
    return sorted(re.sub("bigfoot_[0-9a-f]{12}/", "bigfoot/", name) for name in files)


ALWAYS_CARRIED = [
    "code/bigfoot/__init__.py", "code/bigfoot/common/__init__.py", "code/bigfoot/common/errors.py",
    "code/bigfoot/common/files.py", "code/bigfoot/common/shapes.py",
    "code/bigfoot/common/sums.py", "code/bigfoot/recognition/__init__.py", "code/bigfoot/recognition/decoding.py",
    "code/bigfoot/recognition/gpu.py",
    "code/bigfoot/recognition/language_model.py", "code/bigfoot/recognition/live.py",
    "code/bigfoot/recognition/recognizer.py",
    "code/bigfoot/recognition/runtimes.py", "code/bigfoot/recognition/seal.py", "code/bigfoot/recognition/uploads.py",
    "code/bigfoot/speech/__init__.py", "code/bigfoot/speech/audio.py", "code/bigfoot/speech/headers.py",
    "code/bigfoot/speech/level.py", "code/bigfoot/speech/live.py", "code/bigfoot/speech/mp3.py",
    "code/bigfoot/speech/sndfile.py", "code/bigfoot/speech/text.py", "code/bigfoot/tracking/__init__.py",
    "code/bigfoot/tracking/requests.py", "pyfunc.py",
]  # fmt: skip
PYTORCH = [
    "code/bigfoot/models/__init__.py", "code/bigfoot/models/bf16.py", "code/bigfoot/models/families.py",
    "code/bigfoot/models/folder.py", "code/bigfoot/models/forward.py", "code/bigfoot/models/int8_ranges.py",
    "code/bigfoot/models/wavlm.py",
    "code/bigfoot/recognition/torch_half.py", "code/bigfoot/recognition/torch_model.py",
    "code/bigfoot/recognition/torchao_model.py",
]  # fmt: skip


@pytest.mark.parametrize(
    ("runtime", "modules", "libraries"),
    [
        ("onnxruntime", [], {"onnxruntime"}),
        ("openvino", [], {"openvino"}),
        ("torch", PYTORCH, {"torch", "torchao", "transformers", "safetensors"}),
    ],
)
def test_a_model_carries_what_runs_it_and_no_more(variant, tmp_path, runtime, modules, libraries):
    package.save(variant, runtime, tmp_path / "saved")
    assert carried(tmp_path / "saved") == sorted(ALWAYS_CARRIED + modules)
    requirements = (tmp_path / "saved" / "requirements.txt").read_text().split()
    names = {line.partition("==")[0] for line in requirements}
    assert names == {"mlflow", "pandas", "numpy", "soundfile", "soxr"} | libraries


@pytest.mark.parametrize("line", ["import pipeline.speech.text", "from . import seal"])
def test_an_import_that_can_not_be_renamed_is_refused(tmp_path, monkeypatch, line):
    changed_checkout(tmp_path, "recognition/runtimes.py", "import numpy as np\n", f"import numpy as np\n{line}\n")
    monkeypatch.setattr(closure, "ROOT", tmp_path)
    with pytest.raises(ValueError, match=r"runtimes.py, line \d+: write `from pipeline"):
        closure.closure.__wrapped__("openvino", searches=False).write(
            tmp_path / "out"
        )  # without what it remembers of this checkout


@pytest.mark.parametrize(
    ("scheme", "runtime"), [("fp32-onnx", "onnxruntime"), pytest.param("int8-torch", "torch", marks=pytest.mark.slow)]
)
def test_a_model_runs_beside_a_foreign_package_called_pipeline_without_bigfoot(variant, foreign, tmp_path, scheme, runtime):
    if scheme != "fp32-onnx":
        teacher, variant = variant.parent / "teacher", tmp_path / scheme
        quantize(scheme, {}, teacher, None, variant)
    package.save(variant, runtime, tmp_path / "saved")
    (tmp_path / "a.wav").write_bytes(encoded(tiny.speech(1.0)))
    program = (
        "import sys, pathlib, mlflow, pandas, pipeline\n"
        "recordings = pandas.DataFrame({'audio': [pathlib.Path('a.wav').read_bytes()]})\n"
        "print(mlflow.pyfunc.load_model('saved').predict(recordings)['text'][0])\n"
        "print(pipeline.__file__)\n"
        "print([name for name in sys.modules if name.startswith('pipeline.')], 'torch' in sys.modules)"
    )
    environment = {**os.environ, "PYTHONPATH": str(foreign)}
    command = [sys.executable, "-P", "-c", program]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, env=environment, check=True)
    text, package_file, modules = done.stdout.splitlines()
    assert text == Recognizer.load(variant).transcribe(audio.read(tmp_path / "a.wav"))
    assert Path(package_file).is_relative_to(foreign)
    assert modules == f"[] {runtime == 'torch'}"


def test_models_of_two_bigfoot_versions_in_one_process_give_their_own_texts(model, variant, tmp_path):
    import mlflow

    changed_checkout(tmp_path, "recognition/recognizer.py", "self.transcribe_batch([audio], hot_words)[0]", '"changed"')
    program = f"from pathlib import Path; from pipeline.tracking import package; package.save(Path({str(variant)!r}), "
    program += "'onnxruntime', Path('saved'))"
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    subprocess.run([sys.executable, "-P", "-c", program], cwd=tmp_path, env=environment, check=True)
    other, recording = mlflow.pyfunc.load_model(str(tmp_path / "saved")), encoded(tiny.speech(1.0))
    expected = Recognizer.load(variant).transcribe(audio.read(recording))
    for _ in range(2):
        assert list(predict(model, recording)["text"]) == [expected]
        assert list(predict(other, recording)["text"]) == ["changed"] != [expected]


def changed_checkout(folder: Path, module: str, old: str, new: str) -> None:
    """A copy of pipeline/ in `folder` with one change: another version of Bigfoot."""
    shutil.copytree(ROOT / "pipeline", folder / "pipeline", ignore=shutil.ignore_patterns("__pycache__"))
    source = (folder / "pipeline" / module).read_text()
    assert source.count(old) == 1
    (folder / "pipeline" / module).write_text(source.replace(old, new))


# ---------------------------------------------------------------- over HTTP


class Server:
    """`mlflow models serve` of a registered model, by its alias; small limits, so that tests can go beyond them."""

    def __init__(self, saved: Path, folder: Path, foreign: Path):
        from mlflow import MlflowClient

        store = f"sqlite:///{folder}/mlflow.db"
        client = MlflowClient(store, store)
        client.create_registered_model("bigfoot-tiny")
        client.create_model_version("bigfoot-tiny", str(saved))
        client.set_registered_model_alias("bigfoot-tiny", "champion", "1")
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.address = f"http://127.0.0.1:{free.getsockname()[1]}"
        self.log = folder / "server.log"
        environment = {
            **os.environ, "MLFLOW_TRACKING_URI": store, "BIGFOOT_SERVE_MAX_FILES": "8", "BIGFOOT_SERVE_MAX_MB": "0.2",
            "BIGFOOT_SERVE_MAX_SECONDS": "4", "UVICORN_LIMIT_CONCURRENCY": "12",
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        }  # fmt: skip
        environment["PYTHONPATH"] = str(foreign)
        command = "-m mlflow models serve -m models:/bigfoot-tiny@champion --env-manager local --host 127.0.0.1 --port"
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                [sys.executable, *command.split(), self.address.rpartition(":")[2]],
                cwd=folder, env=environment, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip

    def wait(self) -> None:
        deadline = time.monotonic() + 180
        while time.monotonic() < deadline and self.process.poll() is None:
            try:
                urllib.request.urlopen(f"{self.address}/ping", timeout=2).close()
                return
            except OSError:
                time.sleep(0.5)
        raise AssertionError(self.log.read_text()[-2000:])

    def post(self, body: object) -> tuple[int, dict]:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        request = urllib.request.Request(f"{self.address}/invocations", data, {"Content-Type": "application/json"})
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            return error.code, json.load(error)

    def transcribe(self, *files: bytes | str) -> tuple[int, dict]:
        coded = [file if isinstance(file, str) else base64.b64encode(file).decode() for file in files]
        return self.post({"dataframe_records": [{"audio": content} for content in coded]})

    def stop(self) -> None:
        os.killpg(self.process.pid, 15)
        self.process.wait(30)


@pytest.fixture(scope="module")
def server(saved, foreign, tmp_path_factory):
    running = Server(saved, tmp_path_factory.mktemp("server"), foreign)
    try:
        running.wait()
        yield running
    finally:
        running.stop()


@pytest.fixture(scope="module")
def alone(variant):
    recognizer, lock = Recognizer.load(variant), threading.Lock()

    def answer(content: bytes) -> dict:
        waveform = audio.read(content)
        with lock:
            return {"text": recognizer.transcribe(waveform), "duration": waveform.size / 16_000}

    return answer


@pytest.mark.slow
def test_http_one_file_three_files_and_the_example(server, saved, alone):
    files = [encoded(tiny.speech(0.5 + i / 2, seed=i)) for i in range(3)]
    assert server.transcribe(files[0]) == (200, {"predictions": [alone(files[0])]})
    assert server.transcribe(*files) == (200, {"predictions": [alone(file) for file in files]})
    status, answer = server.post((saved / "serving_input_example.json").read_bytes())
    assert (status, answer) == (200, {"predictions": [alone(package.example())]})


@pytest.mark.slow
@needs_library
def test_http_hot_words_come_with_a_request(server, variant):
    recording = encoded(tiny.speech(2.0))
    rows = [{"audio": base64.b64encode(recording).decode()}]
    status, answer = server.post({"dataframe_records": rows, "params": {"hot_words": ["anna", "bob"]}})
    assert status == 200, answer
    assert answer["predictions"][0]["text"] == Recognizer.load(variant).transcribe(audio.read(recording), ["anna", "bob"])
    status, answer = server.post({"dataframe_records": rows, "params": {"hot_words": ["é"]}})
    assert status == 400 and "the model doesn't write" in answer["message"]


@pytest.mark.slow
def test_http_eight_requests_at_once_are_all_right(server, alone):
    files = [encoded(tiny.speech(0.5 + i / 4, seed=i)) for i in range(8)]
    expected = [(200, {"predictions": [alone(file)]}) for file in files]
    with ThreadPoolExecutor(8) as threads:
        for _ in range(3):
            assert list(threads.map(server.transcribe, files)) == expected


@pytest.mark.slow
@pytest.mark.parametrize(
    ("files", "reason"),
    [
        ([b"not audio"], "can't be read as WAV"),
        ([encoded(tiny.speech(1.0))[:9_000]], "cut off"),
        (["/etc/passwd"], "audio"),
        (["/etc/hostname.wav"], "paths and addresses"),
        (["file:///etc/passwd"], "audio"),
        (["https://example.com/a.wav"], "audio"),
        ([bytes(200_001)], "more than the 0.2 MB"),
        ([encoded(np.zeros(34_000, "float32"), 8_000)], "more than the 4 s"),
        ([flac_that_says(2**36 - 1)], "more than the 24 h"),
        ([encoded(tiny.speech(0.5)), b"not audio"], "file 2 of 2"),
        ([encoded(tiny.speech(0.1))] * 9, "9 files in one request"),
    ],
    ids="junk cut path longer-path file-url url large long lying second many".split(),
)
def test_http_bad_input_is_4xx_with_a_reason_and_the_server_stays_up(server, files, reason):
    status, answer = server.transcribe(*files)
    assert status == 400 and reason in answer["message"], (status, answer)
    assert "stack_trace" not in answer and "root:" not in str(answer)
    status, answer = server.transcribe(encoded(tiny.speech(0.5)))
    assert status == 200 and server.process.poll() is None


@pytest.mark.slow
@pytest.mark.parametrize(
    "body",
    [
        *(b"not json", b"[]", {"nothing": 1}, {"dataframe_records": [{"sound": "x"}]}, {"inputs": 5}, {"dataframe_records": 5}),
        *(DEEP, DEEPER, b'{"dataframe_records": [{"audio": ' + b"9" * 5_000 + b"}]}"),
    ],
)
def test_http_what_is_no_request_is_4xx(server, body):
    status, answer = server.post(body)
    assert status == 400 and answer["message"]
    assert server.transcribe(encoded(tiny.speech(0.5)))[0] == 200


@pytest.mark.slow
def test_http_more_requests_than_the_queue_holds_are_turned_away_at_once_and_the_rest_answered(server):
    """Forty at once where twelve may be under way. Those that are held open count too, so fewer may be answered."""
    body = json.dumps({"dataframe_records": [{"audio": base64.b64encode(encoded(tiny.speech(4.0))).decode()}] * 8}).encode()

    def ask(_) -> int:
        request = urllib.request.Request(f"{server.address}/invocations", body, JSON)
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return answer.status
        except urllib.error.HTTPError as error:
            return error.code
        except OSError:  # the server closed the connection of a request that it had turned away
            return 503

    with ThreadPoolExecutor(40) as threads:
        statuses = list(threads.map(ask, range(40)))
    assert set(statuses) == {200, 503}
    assert server.transcribe(encoded(tiny.speech(0.5)))[0] == 200


@pytest.mark.slow
@shows("requests to a served model, over HTTP")
def test_http_any_request_is_answered_with_200_or_4xx(server, record_property):
    def check(body: bytes) -> None:
        status, answer = server.post(body)
        assert status in (200, 400) and "stack_trace" not in answer, (status, answer)
        if status == 400:
            raise BigfootError("400")

    fuzz(200, JSON_BODIES, check, 300, record_property)
    assert server.transcribe(encoded(tiny.speech(0.5)))[0] == 200 and "Traceback" not in server.log.read_text()
