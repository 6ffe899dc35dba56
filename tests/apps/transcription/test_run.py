"""`bigfoot transcribe`: the Recognizer's text of the whole file, in every format, from files, folders, stdin and MLflow."""

import json
import os
import re
import signal
import subprocess
import sys
import termios
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile

from pipeline.apps.transcription import run, transcribe_file
from pipeline.apps.transcription.files import Recording
from pipeline.apps.transcription.formats import as_json
from pipeline.common.errors import BigfootError
from pipeline.project import Project
from pipeline.recognition import seal
from pipeline.recognition.recognizer import Recognizer
from pipeline.speech import audio
from tests.apps.conftest import save_variant
from tests.media import media as made
from tests.planted import ROOT, bigfoot
from tests.recordings import with_stated_frames
from tests.tiny import TEXTS, speech

NOWHERE = Project(Path("nowhere"))  # for variants that are folders


@pytest.fixture(scope="module")
def talks(variant, tmp_path_factory):
    """A folder of three recordings, the first of several windows, and the Recognizer's text of each as a whole."""
    folder, recognizer = tmp_path_factory.mktemp("talks"), Recognizer.load(variant)
    for name, seconds, rate in (("a.wav", 95.3, 22_050), ("b.flac", 2.0, 16_000), ("c/d.ogg", 4.0, 44_100)):
        (folder / name).parent.mkdir(exist_ok=True)
        soundfile.write(folder / name, audio.change_rate(speech(seconds, seed=len(name)), 16_000, rate), rate)
    return folder, {name: recognizer.transcribe(audio.read(folder / name)) for name in ("a.wav", "b.flac", "c/d.ogg")}


def test_a_long_recording_has_the_text_of_one_in_memory(variant, talks):
    folder, texts = talks
    transcript = transcribe_file(variant, folder / "a.wav", threads=1)

    assert transcript.text == texts["a.wav"] and len(transcript.words) > 50
    assert transcript.duration == 95.3 and transcript.model == "local.fp32-onnx"
    assert transcript.words[-1].end <= 95.3 and transcript.words[-1].start > 80


def test_the_same_word_has_the_same_time_in_a_long_recording_as_alone(variant, tmp_path):
    """The model's receptive field is 400 samples, so a minute in the middle of three reads the same, 60 s later."""
    minute = speech(60.0)
    soundfile.write(tmp_path / "one.wav", minute, 16_000, subtype="FLOAT")
    soundfile.write(tmp_path / "three.wav", np.tile(minute, 3), 16_000, subtype="FLOAT")
    recognizer = Recognizer.load(variant, threads=1)
    alone = [(w.word, round(w.start + 60, 3)) for w in transcribe_file(recognizer, tmp_path / "one.wav").words[1:-1]]
    among = [(w.word, w.start) for w in transcribe_file(recognizer, tmp_path / "three.wav").words if 60.5 < w.start < 119.5]

    assert len(among) > 30 and set(among) - set(alone) == set()


@pytest.mark.parametrize(("field", "hop", "last"), [(400, 320, 2), (720, 640, 4)], ids=["50 a second", "25 a second"])
def test_words_start_within_a_frame_of_where_they_are_spoken_in_all_windows(tmp_path, field, hop, last):
    """Each word is a push of the waveform to one side; the model has a score for this side, and one for the other."""
    shape = {"conv_kernels": [10, 3, 3, 3, 3, 2, last], "conv_strides": [5, 2, 2, 2, 2, 2, last]}
    weights = np.zeros((len(TEXTS), 1, field), dtype=np.float32)
    weights[TEXTS.index("a")], weights[TEXTS.index(" ")] = 1.0, -1.0
    starts = [0.7 + 1.37 * n for n in range(50)]  # 69 s: three windows
    wave = np.zeros(70 * 16_000, dtype=np.float32)
    for start in starts:
        wave[round(start * 16_000) : round((start + 0.3) * 16_000)] = 0.5
    soundfile.write(tmp_path / "pushes.wav", wave, 16_000)
    recognizer = Recognizer.load(save_variant(tmp_path, weights, hop, shape), threads=1)
    words = transcribe_file(recognizer, tmp_path / "pushes.wav").words

    assert [word.word for word in words] == ["a"] * 50
    for word, start in zip(words, starts, strict=True):
        assert abs(word.start - start) <= hop / 16_000
        assert abs(word.end - (start + 0.3)) <= hop / 16_000


@pytest.mark.parametrize("workers", [1, 2])
def test_folders_and_files_come_in_order_whatever_the_number_of_workers(variant, talks, workers):
    folder, texts = talks
    done = bigfoot("transcribe", variant, ".", "b.flac", "--workers", workers, "--threads", 1, cwd=folder)

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "".join(f"{name}\t{texts[name]}\n" for name in ("a.wav", "b.flac", "c/d.ogg", "b.flac"))


def test_stdin_is_a_recording(variant, talks):
    folder, texts = talks
    command = [sys.executable, "-m", "pipeline.cli", "transcribe", str(variant), "-", "--format", "json"]
    content = (folder / "c/d.ogg").read_bytes()
    done = subprocess.run(command, input=content, capture_output=True, env={**os.environ, "PYTHONPATH": str(ROOT)})

    answer = json.loads(done.stdout)
    assert (answer["file"], answer["text"], answer["duration"]) == ("-", texts["c/d.ogg"], 4.0)


def test_each_recording_has_a_file_where_a_folder_is_given(variant, talks, tmp_path, capsys):
    folder, texts = talks
    assert run.transcribe(str(variant), [str(folder)], "srt", tmp_path, NOWHERE, threads=1)

    written = sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file())
    assert written == ["a.srt", "b.srt", "c/d.srt"] and capsys.readouterr().out == ""
    text = (tmp_path / "b.srt").read_text()
    shown = [line for line in text.splitlines() if line and not line.isdigit() and "-->" not in line]
    assert text.startswith("1\n00:00:0") and " ".join(shown) == texts["b.flac"]


def test_several_recordings_in_json_are_one_object_per_line(variant, talks, capsys):
    folder, texts = talks
    names = [str(folder / name) for name in ("b.flac", "c/d.ogg")]
    assert run.transcribe(str(variant), names, "json", None, NOWHERE, threads=1)

    answers = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(answer["file"], answer["text"]) for answer in answers] == [
        (names[0], texts["b.flac"]),
        (names[1], texts["c/d.ogg"]),
    ]


@pytest.mark.parametrize(
    ("names", "form", "out", "complaint"),
    [
        (["a.wav", "b.flac"], "vtt", None, "give --out-dir"),
        (["b.flac", "c/../b.flac"], "txt", "out", "transcribe them separately"),
    ],
)
def test_what_would_be_mixed_up_is_refused_before_anything_is_transcribed(talks, tmp_path, names, form, out, complaint):
    with pytest.raises(BigfootError, match=complaint):
        run.transcribe("no variant", [str(talks[0] / name) for name in names], form, out and tmp_path / out, NOWHERE)


def test_recordings_of_any_name_have_a_transcript_named_after_them(variant, talks, tmp_path):
    names = [tmp_path / name for name in ("x" * 246 + ".wav", "..wav", "a#1.wav", "a#2.wav")]
    for path in names:
        path.write_bytes((talks[0] / "b.flac").read_bytes())
    given = [*map(str, names[:2]), *(f"file://{path}" for path in names[2:])]
    assert run.transcribe(str(variant), given, "json", tmp_path / "out", NOWHERE, threads=1)
    assert {path.name for path in (tmp_path / "out").iterdir()} == {f"{'x' * 246}.json", "..wav.json", "a#1.json", "a#2.json"}
    with pytest.raises(BigfootError, match="its name has more than 255 bytes: give the recording a shorter one"):
        run.transcribe(str(variant), [f"{'x' * 251}.wav"], "json", tmp_path / "out", NOWHERE)


def test_a_transcript_beside_its_recording_is_not_replaced(variant, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    soundfile.write("a.wav", speech(1.0), 16_000)
    Path("a.txt").write_text("written by a person")
    with pytest.raises(BigfootError, match=r"a\.txt lies beside its recording, and may be a person's: give another --out-dir"):
        run.transcribe(str(variant), ["a.wav"], "txt", Path("."), NOWHERE, 1)
    assert Path("a.txt").read_text() == "written by a person"
    for _ in range(2):  # what it wrote itself elsewhere is replaced
        assert run.transcribe(str(variant), ["a.wav"], "txt", Path("out"), NOWHERE, 1)


def test_a_folder_that_cannot_be_written_is_one_line(variant, talks, tmp_path):
    (tmp_path / "out").write_text("a file")
    with pytest.raises(BigfootError, match=r"a\.txt can't be written: .*: give another --out-dir"):
        run.transcribe(str(variant), [str(talks[0] / "a.wav")], "txt", tmp_path / "out", NOWHERE, threads=1)


@pytest.mark.parametrize("workers", [1, 2])
def test_a_bad_file_is_one_line_and_the_others_go_on(variant, talks, tmp_path, capfd, workers):
    folder, texts = talks
    (tmp_path / "bad.wav").write_bytes(b"no audio")
    soundfile.write(tmp_path / "nan.wav", np.full(16_000, np.nan), 16_000, subtype="FLOAT")
    names = [str(tmp_path / "bad.wav"), str(tmp_path / "nan.wav"), str(folder / "b.flac"), str(tmp_path / "gone.wav")]
    assert not run.transcribe(str(variant), names, "txt", None, NOWHERE, threads=1, workers=workers)

    captured = capfd.readouterr()
    assert captured.out == f"{folder / 'b.flac'}\t{texts['b.flac']}\n"
    complaints = captured.err.splitlines()
    assert len(complaints) == 3 and all(line.startswith("error: ") for line in complaints)
    assert "bad.wav can't be read" in complaints[0] and "nan.wav: audio has NaN" in complaints[1] and "missing" in complaints[2]


@pytest.mark.accepts("Audio", "folders of any formats in `bigfoot transcribe`", "each file has a transcript or an error line")
def test_a_folder_with_other_formats_is_never_half_transcribed(variant, tmp_path, capfd):
    made(tmp_path / "a.m4a", speech(2.0, seed=1), 16_000)
    soundfile.write(tmp_path / "b.wav", speech(2.0, seed=2), 16_000)
    (tmp_path / "c.wma").write_bytes(b"no audio")
    for name in ("d.ape", "e.ts", "f.awb", "g.WAVE", "h.dss"):
        (tmp_path / name).write_bytes(b"MAC " + bytes(99))
    assert not run.transcribe(str(variant), [str(tmp_path)], "json", None, NOWHERE, threads=1)
    captured = capfd.readouterr()
    answers = [json.loads(line) for line in captured.out.splitlines()]
    assert [Path(answer["file"]).name for answer in answers] == ["a.m4a", "b.wav"] and all(answer["text"] for answer in answers)
    assert [re.search(r"(\w)\.\w+ can't be read", line)[1] for line in captured.err.splitlines()] == list("cdefgh")


def test_files_of_a_folder_that_are_no_audio_by_their_names_are_counted_in_a_line(variant, tmp_path, capfd, caplog):
    for name in ("a.wav", "b.xyz", "deep/c.xyz", "d", "a.txt", "a.TextGrid", ".e.xyz"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        soundfile.write(tmp_path / name, speech(1.0), 16_000, format="WAV")
    assert run.transcribe(str(variant), [str(tmp_path)], "json", None, NOWHERE, threads=1)
    assert f"{tmp_path}: passed over, no audio by their names: 2 .xyz, 1 without suffix" in caplog.messages
    assert len(capfd.readouterr().out.splitlines()) == 1


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.accepts(
    "Audio", "a speaker per channel in `bigfoot transcribe`", "`--channels split`: merged by time, the channel named"
)
def test_each_channel_has_the_words_of_its_speaker(variant, tmp_path, capsys, workers):
    left, right = speech(40.0, seed=1), speech(40.0, seed=2)
    soundfile.write(tmp_path / "call.wav", np.stack([left, right], axis=1), 16_000, subtype="FLOAT")
    soundfile.write(tmp_path / "mono.wav", left, 16_000, subtype="FLOAT")
    recognizer = Recognizer.load(variant)
    texts = [recognizer.transcribe(samples) for samples in (left, right)]

    names = [str(tmp_path / name) for name in ("call.wav", "mono.wav")]
    assert run.transcribe(str(variant), names, "json", None, NOWHERE, threads=1, workers=workers, channels="split")
    call, mono = map(json.loads, capsys.readouterr().out.splitlines())
    assert call["duration"] == 40.0 and [word["start"] for word in call["words"]] == sorted(w["start"] for w in call["words"])
    assert [" ".join(w["word"] for w in call["words"] if w["channel"] == n) for n in (1, 2)] == texts
    assert mono["text"] == texts[0] and {word["channel"] for word in mono["words"]} == {1}
    assert transcribe_file(recognizer, tmp_path / "call.wav", channels="first").text == texts[0]
    mix = transcribe_file(recognizer, tmp_path / "call.wav")
    assert mix.text == recognizer.transcribe((left + right) / 2) and '"channel"' not in as_json(mix)


def test_channels_that_cancel_each_other_are_an_error_that_says_so(variant, tmp_path, capfd):
    samples = speech(40.0)
    soundfile.write(tmp_path / "a.wav", np.stack([samples, -samples], axis=1), 16_000, subtype="FLOAT")
    assert not run.transcribe(str(variant), [str(tmp_path / "a.wav")], "txt", None, NOWHERE, threads=1)
    assert re.fullmatch("error: .*a.wav has channels of opposite phase.*--channels first`.*\n", capfd.readouterr().err)
    assert run.transcribe(str(variant), [str(tmp_path / "a.wav")], "txt", None, NOWHERE, threads=1, channels="first")
    assert capfd.readouterr().out == Recognizer.load(variant).transcribe(samples) + "\n"


def test_a_line_break_in_a_files_name_makes_no_further_line(variant, tmp_path, capfd):
    soundfile.write(tmp_path / "a\nb.wav", speech(2.0), 16_000)
    names = [str(tmp_path / name) for name in ("a\nb.wav", "c\nd.wav")]
    assert not run.transcribe(str(variant), names, "txt", None, NOWHERE, threads=1)
    captured = capfd.readouterr()
    assert captured.out.count("\n") == 1 and "a\\nb.wav\t" in captured.out
    assert captured.err.count("\n") == 1 and "c\\nd.wav is missing" in captured.err


@pytest.mark.parametrize("workers", [1, 2])
def test_a_damaged_variant_is_one_line_not_one_per_file(variant, talks, tmp_path, workers):
    (tmp_path / "variant.json").write_text((variant / "variant.json").read_text())
    (tmp_path / "model.onnx").write_bytes(b"junk")
    with pytest.raises(BigfootError, match="model.onnx can't be opened"):
        run.transcribe(str(tmp_path), [str(talks[0])], "txt", None, NOWHERE, workers=workers)


def test_the_champion_is_fetched_from_mlflow(variant, talks, tmp_path, monkeypatch, capsys):
    import mlflow

    folder, texts = talks
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    client = mlflow.MlflowClient(uri)
    experiment = client.create_experiment("bigfoot", f"file://{tmp_path}/artifacts")
    model = client.create_logged_model(experiment, "local")
    client.log_model_artifacts(model.model_id, str(variant.parent))  # a folder deeper, as in a real one
    client.finalize_logged_model(model.model_id, "READY")
    client.create_registered_model("bigfoot-digits")
    client.create_model_version("bigfoot-digits", f"models:/{model.model_id}", model_id=model.model_id)
    client.set_registered_model_alias("bigfoot-digits", "champion", "1")
    for name in ("bigfoot-digits@champion", "bigfoot-digits/1", model.model_id):
        assert run.transcribe(f"models:/{name}", [str(folder / "b.flac")], "txt", None, NOWHERE, threads=1)
        assert capsys.readouterr().out == texts["b.flac"] + "\n"
    (stored,) = (tmp_path / "artifacts").rglob("model.onnx")
    stored.write_bytes(stored.read_bytes()[:-1] + bytes([stored.read_bytes()[-1] ^ 1]))
    sealed = stored.with_name("variant.json")
    sealed.write_text(json.dumps(json.loads(sealed.read_text()) | {"files": {"model.onnx": seal.seal(variant)["model.onnx"]}}))
    with pytest.raises(BigfootError, match=r"model\.onnx has the size but not the content"):
        run.transcribe("models:/bigfoot-digits@champion", [str(folder / "b.flac")], "txt", None, NOWHERE)
    with pytest.raises(BigfootError, match="models:/nothing@champion can't be fetched"):
        run.transcribe("models:/nothing@champion", [str(folder / "b.flac")], "txt", None, NOWHERE)


def test_without_a_store_nothing_is_fetched_and_none_is_made(tmp_path, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    with pytest.raises(BigfootError, match=f"{tmp_path}/mlflow.db"):
        run.transcribe("models:/bigfoot@champion", ["a.wav"], "txt", None, Project(tmp_path))
    assert list(tmp_path.iterdir()) == []


def test_nothing_heavy_is_imported(variant, talks):
    check = (
        "import sys; from pipeline import cli; sys.argv = ['bigfoot', 'transcribe', *sys.argv[1:]]\n"
        "try: cli.main()\nexcept SystemExit: pass\n"
        "heavy = {'torch', 'transformers', 'mlflow', 'pandas', 'scipy', 'onnx', 'av'} & set(sys.modules)\n"
        "print(sorted(heavy), file=sys.stderr)"
    )
    command = [sys.executable, "-c", check, str(variant), str(talks[0] / "b.flac"), "--format", "json", "--threads", "1"]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(ROOT)})
    assert done.stderr == "[]\n"


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_and_sigterm_end_all_workers(variant, talks, tmp_path, how):
    soundfile.write(tmp_path / "long.wav", np.zeros(16_000 * 3600, dtype=np.int16), 16_000)
    soundfile.write(tmp_path / "short.wav", speech(1.0), 16_000)
    names = ["short.wav", *["long.wav"] * 40]
    command = [sys.executable, "-m", "pipeline.cli", "transcribe", str(variant), *names, "--workers", "2"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(
        command, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a shell's background jobs ignore it
    )  # fmt: skip
    process.stdout.readline()  # they are at work
    if how == signal.SIGINT:  # a terminal sends it to all
        os.killpg(process.pid, how)
    else:
        process.send_signal(how)
    _, complaints = process.communicate(timeout=30)
    assert process.returncode == 128 + how and complaints.decode().replace("Aborted.", "").split() == []
    deadline = time.monotonic() + 10
    while _is_alive(process.pid) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not _is_alive(process.pid)


def _is_alive(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.parametrize("workers", [1, 2])
def test_progress_counts_all_seconds_of_audio_whatever_the_number_of_workers(variant, talks, monkeypatch, workers):
    folder, _ = talks
    shown = []
    monkeypatch.setattr(run.Progress, "advance", lambda progress, seconds: shown.append((progress.total, seconds)))
    assert run.transcribe(str(variant), [str(folder)], "txt", None, NOWHERE, threads=1, workers=workers)
    (total,) = {total for total, _ in shown}
    assert total == pytest.approx(101.3, abs=0.1) and sum(seconds for _, seconds in shown) == pytest.approx(total, abs=0.1)


def test_the_duration_is_unknown_where_one_header_states_none(talks, tmp_path):
    (tmp_path / "streamed.flac").write_bytes(with_stated_frames((talks[0] / "b.flac").read_bytes(), 0))
    recordings = [Recording(path.name, path, Path(path.stem)) for path in (talks[0] / "a.wav", tmp_path / "streamed.flac")]
    assert run.total_seconds(recordings) == 0 < run.total_seconds(recordings[:1])


def test_a_bar_on_a_terminal_is_not_mixed_with_the_transcripts(variant, talks):
    folder, texts = talks
    reader, terminal = os.openpty()
    termios.tcsetwinsize(terminal, (24, 100))  # tqdm shows nothing in a terminal without columns
    command = [sys.executable, "-m", "pipeline.cli", "transcribe", str(variant), str(folder), "--threads", "1"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=terminal, env=environment, text=True)
    bar = os.read(reader, 100_000).decode()
    os.close(terminal)
    os.close(reader)
    assert [line.partition("\t")[2] for line in done.stdout.splitlines()] == [texts[name] for name in sorted(texts)]
    assert "transcribe:" in bar and "seconds of audio/s" in bar and "<" in bar


@pytest.mark.slow
def test_two_hours_take_the_memory_of_two_minutes(variant, tmp_path):
    piece, peaks = audio.pcm16(audio.change_rate(speech(60.0), 16_000, 22_050)), []
    for minutes in (2, 120):
        with soundfile.SoundFile(tmp_path / "a.flac", "w", 22_050, 1) as file:
            for _ in range(minutes):
                file.write(piece)
        code = (
            "import resource, sys; from pipeline.apps.transcription import transcribe_file\n"
            "transcript = transcribe_file(sys.argv[1], sys.argv[2], threads=1)\n"
            "print(transcript.duration, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)"
        )
        # A child's peak begins at its parent's, so a process in between is started fresh by a small one.
        command = ["sh", "-c", '"$@"; true', "sh", sys.executable, "-c", code, str(variant), str(tmp_path / "a.flac")]
        done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(ROOT)})
        duration, peak = map(float, done.stdout.split())
        assert duration == 60 * minutes, done.stderr
        peaks.append(peak)
    print(f"peak MB: {peaks[0]:.0f} for 2 minutes, {peaks[1]:.0f} for 2 hours")
    assert peaks[1] < peaks[0] + 60
