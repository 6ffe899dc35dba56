"""dvc.yaml declares everything that decides a stage's output: the modules it imports, and the params sections it reads."""

import ast
import shutil
import subprocess
import sys
import typing
from contextlib import closing
from pathlib import Path

import pytest
import zc.lockfile
from ruamel.yaml import YAML

from pipeline import params
from pipeline.common import graph
from pipeline.common.errors import BigfootError, Busy
from pipeline.params.section import Section
from pipeline.project import load_params

ROOT = Path(__file__).parents[2]
PROFILES = sorted(ROOT.glob("profiles/*.yaml"))
STAGES = YAML(typ="safe").load(ROOT / "dvc.yaml")["stages"]
# Modules of pipeline/ that no stage has to declare, and why: none of them changes what a stage computes.
EXEMPT = {
    "project.py": "names the paths that dvc.yaml has too",
    "stages/__init__.py": "looks a variant up in params",
    "common/cluster.py": "spreads work over machines, which changes no result",
    "common/engine.py": "spreads work over processes, which changes no result",
    "common/disk.py": "messages that end a stage",
    "common/errors.py": "messages that end a stage",
    "common/files.py": "reads and writes files as they are",
    "common/parent.py": "ends a process whose starter is gone",
    "common/objects.py": "checks the types in files that it reads",
    "common/settings.py": "refuses settings and changes none",
    "common/shapes.py": "checks the types in files that it reads",
    "common/sums.py": "finds files that are damaged",
    "common/progress.py": "lines of the log",
    "common/host.py": "reports facts of the machine, which can't be a dep either",
    "recognition/seal.py": "reads variant.json as it is, and finds files that are damaged",
    "common/graph.py": "finds the checkpoints that a training resumes from",
    "stages/leftovers.py": "moves what no stage makes out of folders, and reads none of it",
    "tracking/live.py": "sends curves to MLflow",
    "tracking/sync.py": "sends finished files to MLflow",
}
EXEMPT_IN = {
    ("prepare", "common/tables.py"): "lays out report.md; as a dep, a wider column would make every training stale",
    ("teacher", "common/energy.py"): "measures a training and doesn't change its model",
    ("student", "common/energy.py"): "measures a training and doesn't change its model",
    ("compare", "models/training.py"): "names what a training measured, and has no part in training",
    ("compare", "benchmark/timings.py"): "names the fields of timings.json, and has no part in timing",
    ("teacher", "common/numbers.py"): "lines of the log",
    ("evaluate", "common/numbers.py"): "lines of the log",
    ("student", "common/numbers.py"): "lines of the log",
    ("benchmark", "common/numbers.py"): "lines of the log",
    ("teacher_logits", "common/numbers.py"): "lines of the log",
    ("teacher_logits", "train/launch.py"): "spreads work over processes, which changes no result",
    ("teacher_logits", "train/machine.py"): "says how many processes read audio, which changes no result",
}
PARAMS = ROOT / "pipeline/params"  # every stage imports all of it; which modules decide follows from the sections it reads
RECORDING = {"tracking"}  # the section that sets where a run is logged: a change makes no training stale


def imports(module: Path) -> set[Path]:
    """Files of this project that a module imports, at its top or inside its functions."""
    files = set()
    for node in ast.walk(ast.parse(module.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "pipeline":
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names if alias.name.split(".")[0] == "pipeline"]
        else:
            continue
        for name in names:
            path = ROOT / name.replace(".", "/")
            files |= {p for p in (path.with_suffix(".py"), path / "__init__.py") if p.is_file()}
    return files


def name_of(file: Path) -> str:
    """pipeline/common/files.py -> common/files.py"""
    return file.relative_to(ROOT / "pipeline").as_posix()


def reached(stage: str) -> set[Path]:
    """Everything that a stage's module imports, directly or indirectly, but for params and what is exempt."""
    start = ROOT / f"pipeline/stages/{stage}.py"
    seen, waiting = {start}, [start]
    while waiting:
        for path in imports(waiting.pop()) - seen:
            name = name_of(path)
            if name in EXEMPT or (stage, name) in EXEMPT_IN or path.is_relative_to(PARAMS):
                continue
            seen.add(path)
            waiting.append(path)
    return {path for path in seen - {start} if path.name != "__init__.py" and name_of(path) != "common/command.py"}


def parts(annotation: object) -> set[type]:
    """The sections in a field's type, with those in their fields: dict[str, Student] -> Student, Training, ..."""
    if isinstance(annotation, type) and issubclass(annotation, Section):
        return {annotation}.union(*(parts(field.annotation) for field in annotation.model_fields.values()))
    return set().union(*map(parts, typing.get_args(annotation)))


def declared_sections(stage: str) -> set[str]:
    entry = STAGES[stage].get("do", STAGES[stage])
    return {key.partition(".${")[0] for key in entry["params"]}


def defaults(stage: str) -> set[Path]:
    """The modules that have the defaults of the sections that a stage declares."""
    fields = [params.Params.model_fields[key] for key in declared_sections(stage) if "." not in key]
    kinds = set().union(*(parts(field.annotation) for field in fields))
    chosen = {kind for kind in kinds if any(not field.is_required() for field in kind.model_fields.values())}
    return {Path(sys.modules[kind.__module__].__file__) for kind in chosen}


@pytest.mark.parametrize("name", STAGES)
def test_a_stage_depends_on_the_code_it_runs(name):
    code, declared = reached(name) | defaults(name), set(graph.code(name))
    lacking = sorted(str(p.relative_to(ROOT)) for p in code - declared)
    assert not lacking, f"{name}: its deps lack {lacking}"
    rooms = [ROOT / dep for dep in STAGES[name].get("do", STAGES[name])["deps"] if dep.startswith("pipeline/")]
    idle = [room for room in rooms if not any(file == room or room in file.parents for file in code)]
    assert not idle, f"{name}: never imports {[str(room.relative_to(ROOT)) for room in idle]}"


def sections(module: Path) -> set[str]:
    """The parts of `params` that a stage's module reads: params.teacher -> teacher, params.corpus.name -> corpus.name,
    params -> all."""
    source = module.read_text()
    assert source.count("load_params") == 2 and "    params, project = load_params(), Project()\n" in source, (
        f"{module}: another name"
    )
    tree = ast.parse(source)
    parents = {child: node for node in ast.walk(tree) for child in ast.iter_child_nodes(node)}
    read = set()
    for node in ast.walk(tree):
        if not (isinstance(node, ast.Name) and node.id == "params" and isinstance(node.ctx, ast.Load)):
            continue
        path, here = [], parents[node]
        while isinstance(here, ast.Attribute):
            path.append(here.attr)
            here = parents[here]
        read.add(".".join(path[:2] if path[:2] == ["corpus", "name"] else path[:1]) or "all")
    return read


@pytest.mark.parametrize("name", STAGES)
def test_a_stage_reads_the_sections_that_it_declares(name):
    declared = declared_sections(name)
    read = sections(ROOT / f"pipeline/stages/{name}.py")
    if "variant_of" in (ROOT / f"pipeline/stages/{name}.py").read_text():
        read = read - {"all"} | {"variants"}
    if "all" in read:
        read = set(params.Params.model_fields) - {"exports", "time_limits"}  # a later stage and Prefect alone read them
    elif name != "compare":
        read -= RECORDING
    if "corpus" in declared:
        read -= {"corpus.name"}
    assert declared == read, f"{name} declares {sorted(declared)} but reads {sorted(read)}"


def test_a_time_limit_is_taken_for_every_kind_of_stage():
    quickstart = load_params(ROOT / "params.yaml").model_dump(by_alias=True)
    limits = dict.fromkeys(STAGES, 1.0)
    assert params.Params.model_validate(quickstart | {"time_limits": limits}).time_limits == limits


def test_another_gate_or_test_set_makes_no_training_and_no_variant_stale():
    deps = {name: " ".join(stage.get("do", stage)["deps"]) for name, stage in STAGES.items()}
    for name in ("teacher", "teacher_logits", "student", "quantize"):
        folders = [dep for dep in deps[name].split() if dep.startswith("corpora/")]
        assert folders and {dep.rpartition("/")[2] for dep in folders} <= {"train", "dev", "unlabelled"}, name
    for name in ("evaluate", "compare"):
        assert all(f"corpora/${{corpus.name}}/{split}" in deps[name].split() for split in ("dev", "gate", "test")), name


def test_what_an_editor_leaves_beside_code_makes_no_stage_stale():
    names = (".trainer.py.swp", "trainer.py~", ".#trainer.py", "#trainer.py#", "trainer.py.orig", ".ipynb_checkpoints/a.py")
    left = [f"pipeline/train/{name}" for name in names]
    command = [sys.executable, "-m", "dvc", "check-ignore", *left, "pipeline/train/trainer.py"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.stdout.splitlines() == left, done.stderr


def test_a_license_or_a_further_test_set_times_no_variant_anew():
    """The benchmark times gate's audio alone."""
    assert not {"corpora/${corpus.name}/corpus.json", "corpora/${corpus.name}/test"} & set(STAGES["benchmark"]["deps"])


def test_the_code_that_decides_a_training_is_in_its_fingerprint():
    files = {file.relative_to(ROOT).as_posix() for file in graph.code("student")}
    assert {"pipeline/distill/surgery/merge.py", "pipeline/train/trainer.py", "pipeline/models/forward.py"} <= files
    assert "pipeline/params/learning.py" in files, "a default decides as much as a value in params.yaml"
    assert not any(file.startswith(("pipeline/common", "pipeline/tracking", "pipeline/compare")) for file in files)


@pytest.mark.parametrize("name", STAGES)
def test_a_stage_has_its_modules_name_and_no_persistent_out(name):
    stage = STAGES[name].get("do", STAGES[name])
    assert stage["cmd"].startswith(f"python -m pipeline.stages.{name}")
    assert not any(isinstance(out, dict) and next(iter(out.values())).get("persist") for out in stage["outs"])


@pytest.fixture
def checkout(tmp_path):
    """A function that makes a DVC project from dvc.yaml and a profile."""

    def make(profile: Path) -> Path:
        shutil.copy(ROOT / "dvc.yaml", tmp_path / "dvc.yaml")
        shutil.copy(profile, tmp_path / "params.yaml")
        subprocess.run([sys.executable, "-m", "dvc", "init", "--no-scm", "-q"], cwd=tmp_path, check=True)
        return tmp_path

    return make


@pytest.mark.parametrize("profile", PROFILES, ids=lambda path: path.stem)
def test_dvc_reads_a_graph_from_every_profile_with_one_stage_per_student_and_variant(checkout, profile):
    stages = graph.read(checkout(profile))
    settings = load_params(profile)
    for name, student in settings.students.items():
        parent = "teacher" if student.parent == "teacher" else f"student@{student.parent}"
        assert {parent, "teacher_logits", "prepare"} <= stages[f"student@{name}"]
    for slug, variant in settings.variants.items():
        assert f"student@{variant.model}" in stages[f"quantize@{slug}"] or variant.model == "teacher"
        assert f"quantize@{slug}" in stages["benchmark"] and f"evaluate@{slug}" in stages["compare"]
    seen = set()
    for stage, needs in stages.items():
        assert needs <= seen, f"{stage} comes before what it needs"
        seen.add(stage)


def test_an_export_follows_its_variant_and_the_comparison_that_its_card_is_of(checkout):
    folder = checkout(ROOT / "profiles/quickstart.yaml")
    text = (folder / "params.yaml").read_text()
    (folder / "params.yaml").write_text(text.replace("exports: {}", "exports: {thin.int8-onnx: [onnx]}"))
    assert graph.read(folder)["export@thin.int8-onnx"] == {"quantize@thin-int8-onnx", "compare"}


GRAPH = {"a": frozenset(), "b@x": frozenset("a"), "b@y": frozenset("a"), "c": frozenset({"b@x"})}


def test_dependents_and_needs_include_indirect_ones():
    assert graph.after(GRAPH, ["a"]) == {"b@x", "b@y", "c"} and graph.after(GRAPH, ["b@x"]) == {"c"}
    assert list(graph.up_to(GRAPH, ["c"])) == ["a", "b@x", "c"] and list(graph.up_to(GRAPH, ["b"])) == ["a", "b@x", "b@y"]
    with pytest.raises(BigfootError, match="stage d: .*a, b@x"):
        graph.up_to(GRAPH, ["d"])


def test_the_plan_names_what_would_run_and_only_that(tmp_path):
    stages = {
        "source": {"cmd": "echo ${size} > source", "params": ["size"], "outs": ["source"]},
        "part": {"foreach": ["x", "y"], "do": {"cmd": "cp source ${item}", "deps": ["source"], "outs": ["${item}"]}},
        "sum": {"cmd": "cat x y > sum", "deps": ["x", "y"], "params": ["last"], "outs": ["sum"]},
    }
    YAML().dump({"stages": stages}, tmp_path / "dvc.yaml")
    (tmp_path / "params.yaml").write_text("size: 1\nlast: 1\n")
    dvc = [sys.executable, "-m", "dvc"]
    subprocess.run([*dvc, "init", "--no-scm", "-q"], cwd=tmp_path, check=True)
    assert graph.plan(tmp_path) == "`dvc repro` runs 4 of 4 stages (none is up to date): source, 2 x part, sum"
    subprocess.run([*dvc, "repro", "-q"], cwd=tmp_path, check=True)
    assert graph.plan(tmp_path) == "`dvc repro` has nothing to do: all 4 stages are up to date"
    (tmp_path / "params.yaml").write_text("size: 1\nlast: 2\n")
    assert graph.plan(tmp_path) == "`dvc repro` runs 1 of 4 stages (the others are up to date): sum"


@pytest.mark.parametrize("works", [graph.plan, graph.restore])
def test_while_another_dvc_works_it_is_said_and_nothing_is_half_done(tmp_path, works):
    for command in (["git", "init", "-q"], [sys.executable, "-m", "dvc", "init", "-q"]):
        subprocess.run(command, cwd=tmp_path, check=True)
    (tmp_path / "dvc.yaml").write_text("stages:\n  a: {cmd: touch a, outs: [a]}\n")
    held = closing(zc.lockfile.LockFile(str(tmp_path / ".dvc/tmp/lock")))
    with held, pytest.raises(Busy, match="another dvc works in .*: wait for it"):
        works(tmp_path)


@pytest.mark.parametrize("content", ["<<<<<<< HEAD\n", "- a list\n", "stages: 1\n"])
def test_a_dvc_lock_that_is_damaged_is_one_line(tmp_path, content):
    (tmp_path / "dvc.lock").write_text(content)
    with pytest.raises(BigfootError, match=r"dvc.lock is damaged, or has a merge conflict: resolve it, or `git checkout"):
        graph.recorded(tmp_path / "dvc.lock")
    (tmp_path / "dvc.lock").write_text("stages:\n")
    assert graph.recorded(tmp_path / "dvc.lock") == {}


@pytest.mark.shows("killed", "dvc, while it writes its list of locks", "`bigfoot check` and the flow remove it; dvc works on")
def test_what_a_killed_dvc_left_cut_off_stops_no_other_one(checkout, caplog):
    folder = checkout(PROFILES[0])
    (folder / ".dvc/tmp").mkdir(exist_ok=True)
    status = [sys.executable, "-m", "dvc", "repro", "--dry"]
    (folder / ".dvc/tmp/rwlock").write_text("{}")
    graph.read(folder)
    assert (folder / ".dvc/tmp/rwlock").is_file() and not caplog.messages
    (folder / ".dvc/tmp/rwlock").write_text("")
    refused = subprocess.run(status, cwd=folder, capture_output=True, text=True)
    assert refused.returncode and "rwlock'. JSON structure is corrupted" in refused.stderr
    graph.read(folder)
    assert "rwlock is removed: a dvc that was killed left it cut off" in caplog.text
    again = subprocess.run(status, cwd=folder, capture_output=True, text=True)
    assert "corrupted" not in again.stderr, again.stderr
    for other in ("[]", '{"/a": null}'):
        (folder / ".dvc/tmp/rwlock").write_text(other)
        graph.read(folder)


def test_data_that_cannot_be_read_is_named(tmp_path):
    YAML().dump({"stages": {"source": {"cmd": "true", "deps": ["data"]}}}, tmp_path / "dvc.yaml")
    subprocess.run([sys.executable, "-m", "dvc", "init", "--no-scm", "-q"], cwd=tmp_path, check=True)
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "gone.wav").symlink_to("nowhere")
    with pytest.raises(BigfootError, match="DVC can't read .*gone.wav .*: mend it, or take it out of the data"):
        graph.plan(tmp_path)
