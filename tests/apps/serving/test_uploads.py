"""`/v1/audio/transcriptions` answers as OpenAI's does, refuses the rest with a reason, and the server stops well."""

import http.client
import io
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import requests
import soundfile

from pipeline.apps.serving import foreign
from pipeline.apps.transcription import transcribe_file
from pipeline.apps.transcription.formats import FORMATS, Transcript
from tests import tiny
from tests.apps.serving.conftest import ROOT, Served
from tests.apps.serving.test_streams import until
from tests.media import media

AUDIO = tiny.speech(2.0)


def file(audio: np.ndarray, rate: int = 16_000, kind: str = "WAV") -> bytes:
    content = io.BytesIO()
    soundfile.write(content, audio, rate, format=kind)
    return content.getvalue()


@pytest.fixture(scope="module")
def expected(variant, tmp_path_factory) -> Transcript:
    path = tmp_path_factory.mktemp("file") / "a.wav"
    path.write_bytes(file(AUDIO))
    return transcribe_file(variant, path)


def test_each_format_is_that_of_transcribe_and_json_that_of_openai(server, expected):
    assert server.post(file(AUDIO), model="tiny.fp32-onnx").json() == {"text": expected.text} and expected.text
    for ours, theirs in (("txt", "text"), ("srt", "srt"), ("vtt", "vtt")):
        answer = server.post(file(AUDIO), response_format=theirs)
        assert (answer.status_code, answer.text) == (200, FORMATS[ours](expected))
    verbose = server.post(file(AUDIO), response_format="verbose_json", temperature="0").json()
    assert (verbose["task"], verbose["duration"], verbose["text"]) == ("transcribe", 2.0, expected.text)
    assert [(word["word"], word["start"], word["end"]) for word in verbose["words"]] == [
        (word.word, word.start, word.end) for word in expected.words
    ]
    assert " ".join(segment["text"] for segment in verbose["segments"]) == expected.text


def test_flac_of_another_rate_is_taken(server):
    assert server.post(file(np.repeat(AUDIO, 3), 48_000, "FLAC"), "a.flac").status_code == 200


@pytest.mark.parametrize("suffix", [".m4a", ".mp4", ".webm"])
def test_what_phones_and_browsers_record_is_taken(server, variant, suffix, tmp_path):
    path = media(tmp_path / f"a{suffix}", AUDIO, 16_000)
    answer = server.post(path.read_bytes(), path.name, model="tiny.fp32-onnx")
    assert answer.status_code == 200 and answer.json() == {"text": transcribe_file(variant, path).text}
    too_long = media(tmp_path / f"b{suffix}", tiny.speech(61.0), 16_000)
    assert "61." in server.post(too_long.read_bytes()).json()["error"]["message"]


@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        (
            "raise ImportError",
            "the audio is M4A, MP4, MOV, 3GP, WebM, Matroska, AMR, AAC or WMA: `pip install",
        ),
        ("import os; os.abort()", "the audio can't be decoded, it is damaged or needs too much memory"),
        ("bytearray(3 << 30)", "the audio can't be decoded, it is damaged or needs too much memory"),
    ],
    ids="absent crash memory".split(),
)
def test_without_a_decoder_that_works_m4a_is_refused_and_the_server_goes_on(variant, broken, reason, tmp_path):
    (tmp_path / "av.py").write_text(broken)
    content = media(tmp_path / "a.m4a", AUDIO, 16_000).read_bytes()
    served = Served(variant, PYTHONPATH=f"{tmp_path}:{ROOT}")
    answer = served.post(content, "a.m4a")
    assert answer.status_code == 400 and answer.json()["error"]["message"].startswith(reason)
    assert served.post(file(AUDIO)).status_code == 200
    status, logged = served.stop()
    assert status == 0 and ("a file's decoder ended with status" in logged) == ("can't be decoded" in reason)
    assert logged.count("\n") <= 1, "one line says why"


def test_a_decoder_takes_no_module_from_the_folder_that_the_server_was_started_in(tmp_path, monkeypatch):
    content = media(tmp_path / "a.m4a", AUDIO, 16_000).read_bytes()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    for name in ("pipeline.py", "struct.py"):
        Path(name).write_text("raise SystemExit(9)")
    assert abs(foreign.decode(content)).max() > 0


@pytest.mark.parametrize(
    ("content", "fields", "status", "named"),
    [
        (b"no audio", {}, 400, "can't be read"),
        (b"", {}, 400, "0 bytes"),
        (b"\0\0\0\x1cftypM4A " + bytes(5_000), {}, 400, "can't be read as M4A"),
        (file(AUDIO)[:9_000], {}, 400, "cut off"),
        (file(np.zeros(61 * 8_000, "float32"), 8_000), {}, 400, "61.0 s"),
        (bytes(2_000_001), {}, 400, "MB"),
        (bytes(2_200_000), {}, 413, "2 MB"),
        (file(AUDIO), {"model": "whisper-1"}, 404, "tiny.fp32-onnx"),
        (file(AUDIO), {"response_format": "xml"}, 400, "verbose_json"),
        (file(AUDIO), {"prompt": "names"}, 400, "prompt"),
        (file(AUDIO), {"temperature": "0.4"}, 400, "temperature"),
        (file(AUDIO), {"stream": "true"}, 400, "stream"),
        (file(AUDIO), {"x" * 5_000: "1"}, 400, "xxx"),
        (file(AUDIO), {"timestamp_granularities[]": "letter"}, 400, "'letter', known: word, segment"),
        (file(AUDIO), {"temperature": ["0", "1"]}, 400, "temperature is given twice"),
    ],
    ids="junk empty m4a cut long large huge model format prompt temperature stream field granularity twice".split(),
)
def test_what_is_refused_has_a_status_and_a_reason_in_openais_form(server, content, fields, status, named):
    answer = server.post(content, **fields)
    error = answer.json()["error"]
    assert answer.status_code == status and named in error["message"] and len(error["message"]) < 600
    assert set(error) == {"message", "type", "param", "code"} and "base64" not in error["message"]


@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [
        (b"{}", "application/json", 415),
        (b"", None, 415),
        (b"--x\r\n", "multipart/form-data", 400),
        (b"--x\r\ngarbage", "multipart/form-data; boundary=x", 400),
        (b"\xff" * 50_000, "multipart/form-data; boundary=x", 400),
        (b"".join(b'--x\r\nContent-Disposition: form-data; name="a%d"\r\n\r\n1\r\n' % n for n in range(99)) + b"--x--",
         "multipart/form-data; boundary=x", 400),
        (b'--x\r\nContent-Disposition: form-data; filename="a.wav"\r\n\r\nRIFF\r\n--x--\r\n',
         "multipart/form-data; boundary=x", 400),
    ],
    ids="json nothing boundary garbage bytes parts nameless".split(),
)  # fmt: skip
def test_a_body_that_is_no_form_is_refused(server, body, kind, status):
    address = f"http://{server.address}/v1/audio/transcriptions"
    answer = requests.post(address, data=body, headers={"Content-Type": kind} if kind else {}, timeout=60)
    assert answer.status_code == status and answer.json()["error"]["message"]


@pytest.mark.parametrize(("method", "path", "status"), [("GET", "/v1/audio/transcriptions", 405), ("POST", "/v1/chat", 404)])
def test_what_there_is_not_is_said_in_openais_form_too(server, method, path, status):
    answer = requests.request(method, f"http://{server.address}{path}", timeout=60)
    assert answer.status_code == status and path in answer.json()["error"]["message"]
    assert answer.json()["error"]["type"] == "invalid_request_error"


def test_a_body_without_a_stated_length_is_read_no_further_than_a_file_may_go(server):
    address = f"http://{server.address}/v1/audio/transcriptions"
    endless = (bytes(100_000) for _ in range(500))
    assert requests.post(address, data=endless, timeout=60).status_code == 413


def test_the_list_of_models_is_openais_with_the_one_that_transcriptions_take(server):
    answer = server.get("/v1/models").json()
    (model,) = answer["data"]
    assert answer["object"] == "list" and model["object"] == "model" and set(model) == {"id", "object", "created", "owned_by"}
    assert server.post(file(AUDIO), model=model["id"]).status_code == 200


def test_health_and_metrics_say_what_is_served_and_done(server):
    assert (server.get("/health").status_code, server.get("/health").json()) == (
        200,
        {"status": "ok", "model": "tiny.fp32-onnx"},
    )
    done = 'bigfoot_answers_total{path="/v1/audio/transcriptions",status="200"}'
    before = server.figure(done)
    server.post(file(AUDIO))
    assert server.figure(done) == before + 1 and server.get("/metrics").headers["content-type"].startswith("text/plain")
    assert server.figure("bigfoot_file_seconds_count") >= 1 and server.figure("bigfoot_files") == 0


def test_clients_that_vanish_in_the_middle_leave_nothing_behind(server):
    host, port = server.address.split(":")
    for sent in (b"", b"--x\r\nContent-Disposition"):
        with socket.create_connection((host, int(port))) as client:
            client.sendall(b"POST /v1/audio/transcriptions HTTP/1.1\r\nHost: a\r\nContent-Length: 9999\r\n\r\n" + sent)
    until(lambda: server.figure("bigfoot_files") == 0)
    assert server.post(file(AUDIO)).status_code == 200


def begun(served: Served) -> http.client.HTTPConnection:
    """A request whose body is not complete."""
    client = http.client.HTTPConnection(served.address)
    client.putrequest("POST", "/v1/audio/transcriptions")
    client.putheader("Content-Type", "multipart/form-data; boundary=x")
    client.putheader("Content-Length", str(len(FORM)))
    client.endheaders()
    client.send(FORM[:100])
    return client


FORM = (
    b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\n\r\n' + file(AUDIO) + b"\r\n--x--\r\n"
)  # fmt: skip


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_lets_what_is_under_way_end_and_answers_the_rest_with_503(variant, expected, number):
    served = Served(variant)
    client = begun(served)
    until(lambda: served.figure("bigfoot_files") == 1)
    served.process.send_signal(number)
    until(lambda: served.get("/health").status_code == 503)
    time.sleep(0.5)  # uvicorn by itself would be closed by now
    assert served.post(file(AUDIO)).status_code == 503
    client.send(FORM[100:])
    answer = client.getresponse()
    assert answer.status == 200 and expected.text.encode() in answer.read()
    _, err = served.process.communicate(timeout=60)
    assert (served.process.returncode, err) == (0, b"")


def test_a_start_reads_all_files_also_those_that_were_whole_before(variant, tmp_path):
    """Damage that leaves a file's size, time and inode, as of a failing disk; others remember what was whole."""
    folder = Path(shutil.copytree(variant, tmp_path / variant.name))
    Served(folder, XDG_CACHE_HOME=str(tmp_path)).stop()
    file = folder / "model.onnx"
    before, content = file.stat(), bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    with pytest.raises(AssertionError, match="model.onnx has the size but not the content"):
        Served(folder, XDG_CACHE_HOME=str(tmp_path))


def test_a_mistyped_limit_is_refused(variant):
    with pytest.raises(AssertionError, match="error: BIGFOOT_SERVE_MAX_STREMS is not a limit, known: BIGFOOT_SERVE_MAX_FILES"):
        Served(variant, BIGFOOT_SERVE_MAX_STREMS="2")


def test_more_files_than_the_limit_are_refused_at_once(variant):
    served = Served(variant, BIGFOOT_SERVE_MAX_WAITING="2")
    clients = [begun(served) for _ in range(2)]
    until(lambda: served.figure("bigfoot_files") == 2)
    refused = served.post(file(AUDIO))
    assert refused.status_code == 503 and refused.headers["retry-after"] and "2 files" in refused.json()["error"]["message"]
    for client in clients:
        client.send(FORM[100:])
        assert client.getresponse().status == 200
    assert served.stop() == (0, "")


def test_a_second_signal_stops_at_once(variant):
    served = Served(variant)
    client = begun(served)  # which stays connected
    until(lambda: served.figure("bigfoot_files") == 1)
    served.process.send_signal(signal.SIGTERM)
    time.sleep(1)
    served.process.send_signal(signal.SIGINT)
    served.process.communicate(timeout=40)  # uvicorn by itself waits a minute for the rest of the file
    assert served.process.returncode == 128 + signal.SIGINT
    client.close()


def test_many_at_once_are_all_answered_alike(server, expected):
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: server.post(file(AUDIO)), range(24)))
    assert {(answer.status_code, answer.json().get("text")) for answer in answers} == {(200, expected.text)}


def test_a_port_in_use_or_a_host_that_is_no_address_of_this_machine_is_one_line(server, variant):
    port = server.address.split(":")[1]
    for option, given, remedy in (
        ("--port", port, "choose another --port"),
        ("--host", "203.0.113.7", "--host 203.0.113.7 is no address"),
        ("--host", "nowhere.invalid", "--host nowhere.invalid is no address"),
    ):
        command = [sys.executable, "-m", "pipeline.cli", "serve", str(variant), option, given]
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 1 and remedy in done.stderr and done.stderr.count("\n") == 1, done.stderr


@pytest.mark.parametrize("seconds", [0.2, 0.35, 0.5, 0.6, 0.7, 0.75, 0.8, 0.85, 0.9, 1.0])
def test_a_stop_while_it_starts_blames_nothing(variant, seconds):
    command = [sys.executable, "-m", "pipeline.cli", "serve", str(variant), "--port", "0"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    time.sleep(seconds)
    process.terminate()
    _, err = process.communicate(timeout=60)
    assert err == "" and process.returncode in (0, 128 + signal.SIGTERM, -signal.SIGTERM)
