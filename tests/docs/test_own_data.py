"""docs/own-data.md followed word for word from an empty clone; only the profile's steps are fewer."""

import csv
import json

import pytest

from tests.docs import pages, shell
from tests.docs.conftest import SHORT

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def output(own) -> str:
    return shell.run(pages.story("docs/own-data.md", "own-data", SHORT), own)


@pytest.mark.timeout(3000)
def test_the_guide_leads_to_a_report_on_ones_own_speech(own, output):
    rows = json.loads((own / "reports/comparison.json").read_text())
    assert [row["variant"] for row in rows][0] == "teacher.fp32" and len(rows) == 7
    info = json.loads((own / "corpora/own/corpus.json").read_text())
    assert info["splits"]["train"]["utterances"] == 12 and not info["synthetic"]
    assert "one two" not in info["alphabet"] and "Variant" in output


@pytest.mark.timeout(3000)
def test_sweeps_are_experiments_and_what_they_found_is_in_mlflow(own, output):
    table = shell.run("dvc exp show --csv --all-commits", own)
    rows = csv.DictReader(table[table.index("Experiment,") :].splitlines())
    experiments = {row["Experiment"]: row for row in rows if row["Experiment"]}
    assert "shallow" in experiments and experiments["shallow"]["students.half.layers"] == "1", table
    channels = {row["students.thin.conv_channels"] for row in experiments.values()}
    assert {"32", "24", "48"} <= channels and all(row["teacher_wer"] for row in experiments.values()), table
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{own}/mlflow.db")
    experiment = client.get_experiment_by_name("own").experiment_id
    kinds = [run.data.tags["bigfoot.kind"] for run in client.search_runs([experiment], max_results=200)]
    # The first run, the one called shallow, and two that were queued: 7 variants each.
    assert kinds.count("comparison") == 4 and kinds.count("variant") == 28


@pytest.mark.timeout(3000)
def test_an_applied_experiment_is_what_git_has_and_needs_nothing_more(own, output):
    assert "layers: 1" in (own / "params.yaml").read_text()
    assert "up to date" in shell.run("dvc repro", own)
    assert not shell.run("git status --porcelain --untracked-files=no", own)
