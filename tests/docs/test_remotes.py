"""docs/remotes.md: what one clone pushes another pulls, and runs nothing. The real stage graph, with planted outs."""

import subprocess
from pathlib import Path

import pytest

from tests import planted
from tests.docs import pages, services, shell
from tests.flows.conftest import STAGES, WRITE

PAGE = "docs/remotes.md"


@pytest.fixture
def project(tmp_path) -> Path:
    """A clone in which DVC takes all stages as run: what they make is planted, and `dvc commit` puts it into dvc.lock."""
    folder = shell.clone(tmp_path / "bigfoot")
    planted.plant(folder)
    for path in ("logits/teacher/one", "reports/metrics.json"):
        planted.write(folder / path, {"planted": path})
    shell.run("dvc commit --force --quiet && git add -A && git commit -qm made", folder)
    return folder


def another_clone(project: Path) -> Path:
    there = project.parent / "another"
    subprocess.run(["git", "clone", "-q", project, there], check=True)
    return there


def outs(folder: Path) -> dict[str, bytes]:
    names = ("corpora", "models", "logits", "variants", "scores", "reports")
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for name in names for path in (folder / name).rglob("*") if path.is_file() and path.name != ".gitignore"
    } | {"timings.json": (folder / "timings.json").read_bytes()}  # fmt: skip


def push_and_pull(project: Path, story: str, **variables: str) -> None:
    shell.run(pages.story(PAGE, story), project, **variables)
    there = another_clone(project)
    assert not (there / "models").exists()
    output = shell.run(pages.story(PAGE, "pull"), there, **variables)
    assert output.count("up to date") == 2 and "Running stage" not in output
    assert outs(there) == outs(project) and len(outs(there)) > 15


def test_another_clone_pulls_from_a_folder_and_runs_nothing(project, tmp_path):
    push_and_pull(project, "folder", SHARED=str(tmp_path / "shared"))


@pytest.mark.slow
def test_another_clone_pulls_from_s3_and_runs_nothing(project, tmp_path):
    with services.s3(tmp_path) as address:
        push_and_pull(project, "s3", S3=address, **services.KEYS)
        held = services.client(address).list_objects_v2(Bucket="bigfoot", Prefix="dvc/")["KeyCount"]
        assert held >= len(outs(project)) / 2  # equal files are one
        assert "any" not in (project / ".dvc/config").read_text()


def test_what_was_made_with_other_params_is_fetched_from_the_run_cache(tmp_path):
    """Stages that take no time; each says so when it really runs."""
    project, shared = tmp_path / "bigfoot", tmp_path / "shared"
    project.mkdir()
    stages = STAGES.format(
        teacher=WRITE.format(name="teacher"), student=WRITE.format(name="${item}"), benchmark="echo 1 > timings.json"
    )
    (project / "dvc.yaml").write_text(stages)
    (project / "params.yaml").write_text("corpus: 1\nstudents: {half: 1, thin: 1}\n")
    shell.run("git init -q -b main; dvc init -q; git add -A; git commit -qm start", project)
    shell.run(f"dvc remote add --default shared {shared}; dvc repro; git add -A; git commit -qm one", project)
    other = "sed -i 's/half: 1/half: 2/' params.yaml"
    assert "hello from half" in shell.run(f"{other}; dvc repro", project)
    shell.run("git checkout -q dvc.lock params.yaml; dvc checkout -q", project)
    shell.run(pages.story(PAGE, "run-cache-push"), project)

    there = another_clone(project)
    output = shell.run("\n".join([other, pages.story(PAGE, "run-cache-pull")]), there)
    assert "hello from" not in output and (there / "models/half").is_file()
