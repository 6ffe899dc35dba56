"""`bigfoot`: one line and status 1 for errors that a user can correct, and edits of params.yaml are safe."""

import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest
from safetensors.torch import load_file, save_file

from pipeline.quantize.run import quantize
from pipeline.speech import audio
from tests import tiny
from tests.planted import ROOT, bigfoot


def _environment() -> dict:
    return {**os.environ, "PYTHONPATH": str(ROOT)}


@pytest.fixture(scope="module")
def variant(tmp_path_factory):

    folder = tmp_path_factory.mktemp("variant")
    quantize("fp32-onnx", {}, tiny.save_model(folder / "teacher"), None, folder / "teacher.fp32-onnx")
    return folder / "teacher.fp32-onnx"


@pytest.fixture
def project(tmp_path):
    """A project's folder under git, with two profiles, the first one in use and committed."""
    (tmp_path / "profiles").mkdir()
    for name in ("small", "large"):
        (tmp_path / "profiles" / f"{name}.yaml").write_text(f"profile: {name}\n")
    (tmp_path / "params.yaml").write_text("profile: small\n")
    for command in ("init -q", "add .", "-c user.name=t -c user.email=t@t commit -qm start"):
        subprocess.run(["git", *command.split()], cwd=tmp_path, check=True)
    return tmp_path


def test_version_is_that_of_pyproject(tmp_path):
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    done = bigfoot("--version", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, f"bigfoot {declared}\n"), done.stderr


def test_transcribe_writes_the_recognizers_text(variant, tmp_path):
    from pipeline.recognition.recognizer import Recognizer

    audio.write(tmp_path / "a.wav", tiny.speech(1.5))
    text = Recognizer.load(variant).transcribe(audio.read(tmp_path / "a.wav"))
    done = bigfoot("transcribe", variant, "a.wav", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, text + "\n"), done.stderr


def test_transcribe_goes_on_after_a_file_it_cannot_read_and_exits_with_1_at_the_end(variant, tmp_path):
    audio.write(tmp_path / "good.wav", np.zeros(16_000, dtype=np.float32))
    (tmp_path / "bad.wav").write_bytes(b"no audio")
    done = bigfoot("transcribe", variant, "bad.wav", "good.wav", cwd=tmp_path)
    assert done.returncode == 1 and done.stdout.startswith("good.wav\t")
    assert len(done.stderr.splitlines()) == 1 and "bad.wav" in done.stderr


def test_an_empty_name_is_no_folder(variant, tmp_path):
    audio.write(tmp_path / "a.wav", np.zeros(16_000, dtype=np.float32))
    done = bigfoot("transcribe", variant, "", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (1, "") and "name of a recording is empty" in done.stderr


@pytest.mark.parametrize(
    ("streams", "status", "error"),
    [
        ("a.wav 2>&-", 0, ""),
        ("gone.wav 2>&-", 1, ""),
        ("a.wav >&-", 0, ""),
        ("- <&-", 1, "error: stdin is closed: pipe a recording into it\n"),
        ("a.wav >/dev/full", 1, "error: standard output can't be written: No space left on device\n"),
    ],
)
def test_a_stream_that_is_closed_or_full_is_one_line_or_not_needed(variant, tmp_path, streams, status, error):
    audio.write(tmp_path / "a.wav", tiny.speech(1.0))
    command = f"{sys.executable} -m pipeline.cli transcribe {variant} {streams}"
    done = subprocess.run(command, shell=True, cwd=tmp_path, capture_output=True, text=True, env=_environment())
    assert (done.returncode, done.stderr) == (status, error)
    assert bool(done.stdout) == (streams == "a.wav 2>&-")


def test_a_budget_without_end_is_a_mistake_of_usage(tmp_path):
    done = bigfoot("propose", "--max-mb", 1, "--max-ms", "inf", cwd=tmp_path)
    assert done.returncode == 2 and "--max-ms" in done.stderr and "Traceback" not in done.stderr


def heavy_imports(folder: Path, *command: str) -> str:
    """What `bigfoot COMMAND` writes to stderr, and last which of the slow packages it has imported."""
    code = (
        "import sys; from pipeline import cli; sys.argv[0] = 'bigfoot'\n"
        "try: cli.main()\nexcept SystemExit: pass\n"
        "print(sorted({'torch', 'transformers', 'mlflow'} & set(sys.modules)), file=sys.stderr)"
    )
    command = (sys.executable, "-c", code, *command)
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, env=_environment()).stderr


def test_transcribing_with_a_light_variant_never_loads_pytorch(variant, tmp_path):
    audio.write(tmp_path / "a.wav", tiny.speech(1.0))
    assert heavy_imports(tmp_path, "transcribe", str(variant), "a.wav") == "[]\n"


@pytest.mark.parametrize(
    "arguments",
    [
        ("transcribe", "nowhere", "a.wav"),
        ("use", "nothing"),
        ("table",),
        ("track",),
        ("results",),
        ("transcribe", "", "a.wav"),
    ],
    ids=lambda arguments: " ".join(arguments),
)
def test_a_mistake_is_one_line_and_status_1(arguments, tmp_path):
    done = bigfoot(*arguments, cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr.startswith("error: ") and len(done.stderr.splitlines()) == 1


def test_an_unknown_profile_is_an_error_with_the_known_ones(project):
    assert "large, small" in bigfoot("use", "huge", cwd=project).stderr


def test_use_swaps_profiles_freely(project):
    for name in ("large", "small", "large"):
        assert bigfoot("use", name, cwd=project).returncode == 0
        assert (project / "params.yaml").read_text() == f"profile: {name}\n"


def test_use_replaces_a_link_to_a_profile_and_never_the_profile(project):
    (project / "params.yaml").unlink()
    (project / "params.yaml").symlink_to("profiles/small.yaml")
    for name in ("large", "large", "small"):
        assert bigfoot("use", name, cwd=project).returncode == 0
    assert not (project / "params.yaml").is_symlink() and (project / "params.yaml").read_text() == "profile: small\n"
    assert [(project / f"profiles/{name}.yaml").read_text() for name in ("small", "large")] == [
        "profile: small\n",
        "profile: large\n",
    ]


def test_use_says_which_data_a_profile_wants_and_where_to_get_it(project):
    shutil.copy(ROOT / "profiles/digits.yaml", project / "profiles/digits.yaml")
    done = bigfoot("use", "digits", cwd=project)
    assert not done.returncode and "params.yaml: corpus.data: data/fsdd is missing" in done.stdout
    assert "dvc import https://github.com/Jakobovski/free-spoken-digit-dataset recordings -o data/fsdd" in done.stdout


def test_use_never_overwrites_unsaved_edits(project):
    (project / "params.yaml").write_text("profile: small\ngate: {max_rise: 0.5}\n")
    done = bigfoot("use", "large", cwd=project)
    assert done.returncode == 1 and "0.5" in (project / "params.yaml").read_text()
    assert bigfoot("use", "large", "--force", cwd=project).returncode == 0
    assert (project / "params.yaml").read_text() == "profile: large\n"


def test_use_replaces_edits_that_are_committed(project):
    (project / "params.yaml").write_text("profile: mine\n")
    subprocess.run(["git", "-c", "user.name=t", "-c", "user.email=t@t", "commit", "-qam", "mine"], cwd=project, check=True)
    assert bigfoot("use", "large", cwd=project).returncode == 0


def dvc(*arguments: str, cwd: Path) -> str:
    done = subprocess.run([sys.executable, "-m", "dvc", *arguments], cwd=cwd, capture_output=True, text=True, check=True)
    return done.stdout


STAGES = """
stages:
  make:
    cmd: mkdir -p corpora/${profile} && cp source corpora/${profile}/text && echo make >> ran
    deps:
      - source
    params:
      - profile
    outs:
      - corpora/${profile}
  learn:
    cmd: mkdir model && cp corpora/${profile}/text model/${profile} && echo learn >> ran
    deps:
      - corpora/${profile}
    params:
      - profile
    outs:
      - model
"""


@pytest.fixture
def staged(project):
    """The project with two stages under DVC, both run with the profile small, then with large."""
    (project / "dvc.yaml").write_text(STAGES)
    (project / "source").write_text("one two")
    dvc("init", "-q", cwd=project)
    dvc("repro", cwd=project)
    assert bigfoot("use", "large", cwd=project).returncode == 0
    dvc("repro", cwd=project)
    return project


def test_use_restores_all_that_the_profile_made_without_running_a_stage(staged):
    ran = (staged / "ran").read_text()
    done = bigfoot("use", "small", cwd=staged)
    assert (done.returncode, done.stderr) == (0, "") and "restored from DVC's cache: make, learn\n" in done.stdout
    assert len(done.stdout.splitlines()) == 3
    assert (staged / "corpora/small/text").read_text() == (staged / "model/small").read_text() == "one two"
    assert not (staged / "corpora/large").exists() and "removed here, and kept in DVC's cache: corpora/large" in done.stdout
    assert "up to date" in dvc("status", cwd=staged) and (staged / "ran").read_text() == ran


def test_use_restores_nothing_that_was_made_of_other_data_or_never(staged):
    (staged / "source").write_text("three")
    done = bigfoot("use", "small", cwd=staged)
    assert (done.returncode, done.stderr) == (0, "") and "restored" not in done.stdout.partition("restores")[0], done.stdout
    assert not (staged / "corpora/small").exists()


def test_use_removes_nothing_that_dvc_has_not_saved(staged):
    for folder in ("corpora/large", "model"):
        (staged / folder / "notes").write_text("mine")
    done = bigfoot("use", "small", cwd=staged)
    assert all((staged / folder / "notes").read_text() == "mine" for folder in ("corpora/large", "model"))
    assert done.stderr.startswith("no output is removed, since DVC has not saved all of them: ")
    assert done.stderr.endswith("model/notes\n") and len(done.stderr.splitlines()) == 1 and done.returncode == 0


def test_table_prints_the_last_comparison_and_where_to_look_next(tmp_path):
    (tmp_path / "reports").mkdir()
    (tmp_path / "reports" / "table.txt").write_text("Variant  WER\n")
    printed = bigfoot("table", cwd=tmp_path).stdout
    assert printed.startswith("Variant  WER\n")
    assert all(hint in printed for hint in ("reports/index.html", "mlflow ui", "dvc metrics show"))


@pytest.mark.parametrize("command", ["transcribe", "schemes", "track", "table", "use"])
def test_every_command_explains_itself(command, tmp_path):
    done = bigfoot(command, "--help", cwd=tmp_path)
    assert done.returncode == 0 and len(done.stdout) > 300


def test_check_prints_what_is_in_params_and_its_purpose_or_the_first_error(tmp_path):
    text = (ROOT / "profiles/quickstart.yaml").read_text()
    (tmp_path / "params.yaml").write_text(text)
    done = bigfoot("check", cwd=tmp_path)
    assert done.returncode == 0 and "models teacher, half, thin, 6 variants" in done.stdout
    comment = text.partition("\nprofile:")[0].partition("\n\n")[2]
    assert comment.replace("# ", "") in done.stdout and "minutes" in comment
    (tmp_path / "params.yaml").write_text(text.partition(comment)[2].lstrip() + "# the end\n")
    first, *others = bigfoot("check", cwd=tmp_path).stdout.splitlines()
    assert first.startswith("params.yaml is valid")
    assert [line.split()[:2] for line in others] == [["memory:", model] for model in ("teacher", "half", "thin")]
    (tmp_path / "params.yaml").write_text(text.replace("gate:", "gaet:"))
    done = bigfoot("check", cwd=tmp_path)
    assert done.returncode == 1 and done.stderr.startswith("error: params.yaml: gaet: ") and len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("scheme", "settings", "why"),
    [
        ("int4w-openvino", "{group_size: 96}", "group_size 96 doesn't divide hidden and feed-forward width, 128 and 512"),
        ("int8qat-openvino", "{}", "it is for students that are trained for it: set quantize_aware: true"),
    ],
)
def test_check_refuses_a_scheme_that_cant_lower_its_model_before_anything_is_trained(tmp_path, scheme, settings, why):
    text = (ROOT / "profiles/quickstart.yaml").read_text().replace("\nschemes:", f"\nschemes:\n  {scheme}: {settings}")
    text = text.replace("\nvariants:", f"\nvariants:\n  thin-{scheme}: {{model: thin, scheme: {scheme}}}\n  #")
    (tmp_path / "params.yaml").write_text(text)
    done = bigfoot("check", cwd=tmp_path)
    assert done.returncode == 1 and f"error: variants.thin-{scheme}: {scheme} can't lower thin: {why}" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def own_teacher(project: Path, settings: str) -> None:
    """The quickstart's params with another teacher."""
    text = (ROOT / "profiles/quickstart.yaml").read_text()
    start, end = text.index("\nteacher:"), text.index("\nlogits:")
    own = f"\nteacher: {{init: pretrained, alphabet: model, finetune: false, {settings}}}\n"
    (project / "params.yaml").write_text(text[:start] + own + text[end:])


def test_check_imports_pytorch_only_where_it_needs_a_models_shape(tmp_path):
    own_teacher(tmp_path, "data: data/none, name: nobody/nothing-of-this-name")
    assert heavy_imports(tmp_path, "check") == "[]\n"
    (tmp_path / "params.yaml").write_text((ROOT / "profiles/quickstart.yaml").read_text())
    assert heavy_imports(tmp_path, "check") == "['torch', 'transformers']\n"


@pytest.mark.refuses("Models", "a model folder that can't be taken in, before anything runs", "`bigfoot check` says why")
def test_check_refuses_a_model_that_cant_be_taken_in(tmp_path):
    own_teacher(tmp_path, "data: data/own")
    (tmp_path / "data/own").mkdir(parents=True)
    (tmp_path / "data/own/config.json").write_text('{"model_type": "wav2vec2-bert"}')
    done = bigfoot("check", cwd=tmp_path)
    assert done.returncode == 1 and done.stdout == ""
    assert done.stderr == (
        "error: data/own is a 'wav2vec2-bert' model (it reads filter banks, not the waveform): Bigfoot shrinks CTC models of "
        "wav2vec2, hubert, wavlm, data2vec-audio\n"
    )


def test_check_names_a_tensor_that_a_model_lacks_in_one_line(tmp_path):
    own_teacher(tmp_path, "data: data/own")
    weights = tiny.save_model(tmp_path / "data/own", hidden=256, heads=4, channels=64) / "model.safetensors"
    assert bigfoot("check", cwd=tmp_path).returncode == 0
    save_file({name: t for name, t in load_file(weights).items() if ".layers.1." not in name}, weights, {"format": "pt"})
    done = bigfoot("check", cwd=tmp_path)
    assert done.returncode == 1 and len(done.stderr.splitlines()) == 1
    assert "its weights don't fit its config.json: wav2vec2.encoder.layers.1.attention.k_proj.bias is missing" in done.stderr


def test_check_names_data_that_is_missing_and_what_to_do(tmp_path):
    own_teacher(tmp_path, "data: data/own-model")
    done = bigfoot("check", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "error: params.yaml: teacher.data: data/own-model is missing: put it there, or correct the path\n"
    (tmp_path / "data").mkdir()
    (tmp_path / "data/own-model.dvc").write_text("outs: []\n")
    assert "is missing: run `dvc pull` or `dvc checkout`, or correct the path" in bigfoot("check", cwd=tmp_path).stderr
    text = (ROOT / "profiles/quickstart.yaml").read_text()
    (tmp_path / "params.yaml").write_text(text.replace("data: data/none", "data: data/own", 1))
    assert "error: params.yaml: corpus.data: data/own is missing" in bigfoot("check", cwd=tmp_path).stderr


def test_check_says_that_it_does_not_look_at_the_hub(tmp_path):
    own_teacher(tmp_path, "data: data/none, name: someone/wav2vec2")
    done = bigfoot("check", cwd=tmp_path)
    assert done.returncode == 0 and "the teacher someone/wav2vec2 is on the hub: the stage teacher looks at it" in done.stdout


def test_output_that_can_not_be_written_is_one_line(project):
    (project / "reports").mkdir()
    (project / "reports" / "table.txt").write_text("Variant  WER\n")
    with open("/dev/full", "w") as full:
        command = [sys.executable, "-m", "pipeline.cli", "table"]
        done = subprocess.run(command, cwd=project, stdout=full, stderr=subprocess.PIPE, text=True, env=_environment())
    assert done.returncode == 1 and done.stderr.startswith("error: ") and len(done.stderr.splitlines()) == 1


def test_options_of_live_without_it_are_refused(variant, tmp_path):
    audio.write(tmp_path / "a.wav", tiny.speech(1.0))
    done = bigfoot("transcribe", variant, "a.wav", "--right", "0.5", cwd=tmp_path)
    assert (
        done.returncode == 1 and done.stderr == "error: --chunk, --left and --right are of --live: add it, or leave them out\n"
    )
