"""Every command in the documentation's shell blocks is executed by a test, or there is a reason why not.

A block with a mark is executed by the test of that name in this folder. For the others EXECUTED says which test runs the
command, by how it begins (the longest beginning counts). A new command on a page needs a mark or a line here.
"""

import re

import pytest

from tests.docs import pages
from tests.docs.pages import ROOT

NO_NET = "not executed, its options are checked: it fetches from the net"
TEAM = "not executed, its options are checked: it needs a team's servers"
LONG = "not executed, its parts are: "

EXECUTED = {
    "git clone": "tests/docs/test_own_data.py::test_the_guide_leads_to_a_report_on_ones_own_speech",
    "cd ": "tests/docs/test_own_data.py::test_the_guide_leads_to_a_report_on_ones_own_speech",
    "source .venv": ".ci/run: make test works in it",
    "export ": "the tests of the blocks that follow set these",
    "make setup": ".ci/run: make test needs it",
    "make test": ".ci/run: make test",
    "make lint": "not executed: .github/workflows/ci.yml runs it",
    "make docs": "not executed: it installs mkdocs; .github/workflows/ci.yml runs it",
    "make lock": "not executed: it needs uv and a package index",
    "make results": LONG + "tests/lab/test_publish.py::test_every_variant_stands_in_both_and_the_rest_of_the_readme_stays",
    "pre-commit install": "not executed: pre-commit is the contributor's own; its hooks are make lint's commands",
    "pytest ": "the tests that it names are part of make test or make test-all",
    "make test-all": "this suite",
    "make coverage": "not executed: it is this suite, with its lines counted",
    "make remote": "not executed: it installs what tests/docs/test_remotes.py then uses",
    "make demo": LONG + "tests/chain/test_chain.py::test_every_variant_is_compared_with_the_same_keys",
    "make ui": "tests/flows/test_ui.py::test_a_deployment_runs_to_its_end_and_shows_its_stages",
    "make web": "not executed: it installs the runtime from npm, with which tests/apps/web/ then builds",
    "bigfoot web": "tests/apps/web/test_build.py::test_the_command_builds_the_page_and_says_how_to_see_it",
    "python -m http.server": "tests/apps/web/test_browser.py (slow) serves the page by the same module",
    "mlflow models serve": "tests/tracking/test_serving.py (slow), over HTTP",
    "curl --silent http://127.0.0.1:5001/invocations": "tests/tracking/test_serving.py (slow) posts the same",
    "echo ": "what is posted by the command after it",
    "bigfoot evaluate": "tests/apps/evaluation/test_evaluation.py::test_the_command_takes_a_name_a_slug_and_a_folder",
    "bigfoot champion": "tests/tracking/test_registry.py::test_a_rollback_gives_the_alias_back_and_sync_leaves_it_so",
    "bigfoot export": "tests/apps/test_push.py::test_the_commands_do_what_the_page_says",
    "bigfoot export thin.int8-onnx": "tests/exports/test_command.py::test_the_command_of_the_page_lays_a_variant_out",
    "bigfoot push": "tests/apps/test_push.py::test_the_commands_do_what_the_page_says",
    "make audit": "not executed: it asks a service of known vulnerabilities; tests/lab/test_licenses.py holds its other half",
    "pip install bigfoot-asr[ray]": "not executed, the extra is declared; tests/common/test_cluster.py (slow) runs on Ray",
    "RAY_ADDRESS=": "tests/chain/test_cluster.py (slow)",
    "make peers": "not executed: it installs what tests/quantize/test_peers.py then makes variants with",
    "make litert": "not executed: it installs the converter that tests/quantize/test_peers.py then makes variants with",
    "make lm": "not executed: it installs ctc-beam-decoder, with which tests/quantize/test_decodings.py then makes a variant",
    "bigfoot lm": "tests/quantize/test_decodings.py::test_bigfoot_lm_says_what_it_made",
    "dvc repro": "tests/chain/test_chain.py::test_a_second_repro_has_nothing_to_do",
    "dvc exp run": "tests/docs/test_own_data.py::test_sweeps_are_experiments_and_what_they_found_is_in_mlflow",
    "dvc exp show": "tests/docs/test_own_data.py::test_sweeps_are_experiments_and_what_they_found_is_in_mlflow",
    "dvc params diff": "tests/docs/test_own_data.py::test_the_guide_leads_to_a_report_on_ones_own_speech",
    "dvc metrics diff": "tests/docs/test_own_data.py::test_the_guide_leads_to_a_report_on_ones_own_speech",
    "dvc add data/librispeech": "not executed: 60 GB; the guide to own data adds other folders",
    "dvc import": NO_NET,
    "dvc remote add": "tests/docs/test_remotes.py::test_another_clone_pulls_from_a_folder_and_runs_nothing",
    "bigfoot use": "tests/test_cli.py::test_use_swaps_profiles_freely",
    "bigfoot propose": "tests/propose/test_propose.py::test_the_command_writes_proposals_that_fit_and_are_checked",
    "bigfoot check": "tests/test_cli.py::test_check_prints_what_is_in_params_and_its_purpose_or_the_first_error",
    "bigfoot table": "tests/test_cli.py::test_table_prints_the_last_comparison_and_where_to_look_next",
    "bigfoot track": "tests/tracking/test_sync.py::test_bigfoot_track_catches_up_and_logs_what_it_did",
    "bigfoot results": "tests/lab/test_publish.py::test_every_variant_stands_in_both_and_the_rest_of_the_readme_stays",
    "bigfoot align": "tests/apps/alignment/test_run.py::test_each_recording_is_aligned_with_the_text_beside_it",
    "bigfoot transcribe": "tests/test_cli.py::test_transcribe_writes_the_recognizers_text",
    "bigfoot transcribe variants/thin.int8-onnx --live": "tests/apps/live/test_run.py (the microphone is none)",
    "arecord ": "needs a microphone; tests/apps/live/test_run.py pipes the same PCM",
    "ffmpeg ": "needs a camera; tests/apps/live/test_run.py pipes the same PCM",
    "pip uninstall --yes onnxruntime": "not executed: it would change the environment of the tests",
    "pip install onnxruntime-gpu": "not executed: it would change the environment of the tests",
    "python -m pipeline.lab.gpu": "tests/lab/test_gpu.py::test_each_row_names_its_device_and_how_many_texts_differ",
    "bigfoot serve": "tests/apps/serving/test_uploads.py and test_streams.py",
    "curl --silent http://127.0.0.1:8000/v1/audio/transcriptions": "tests/apps/serving/test_uploads.py posts the same",
    "python -m pipeline.prepare.librispeech": "tests/prepare/test_librispeech.py::test_fetching_unpacks_what_was_published",
    "accelerate config": "it asks; tests/train/test_launch.py::test_the_stage_starts_itself_anew_under_accelerate_once",
    "prefect deploy": "tests/flows/test_ui.py::test_a_deployment_runs_to_its_end_and_shows_its_stages",
    "prefect worker start": TEAM,
}


def reason(command: str) -> str | None:
    """What the table says of a command."""
    known = [beginning for beginning in EXECUTED if command.startswith(beginning)]
    return EXECUTED[max(known, key=len)] if known else None


@pytest.mark.parametrize("page", pages.pages(), ids=pages.name)
def test_every_command_of_a_page_is_executed_or_says_why_not(page):
    plain = [block for block in pages.blocks(page) if block.language in pages.SHELL and not block.test]
    documented = {" ".join(command) for block in plain for command in pages.commands(block.text)}
    lacking = sorted(command for command in documented if not reason(command))
    assert not lacking, "mark their block (tests/docs/pages.py) or name their test in EXECUTED"


def test_every_test_that_the_table_names_is_there():
    for path, name in re.findall(r"(tests/\S+\.py)::(\w+)", " ".join(EXECUTED.values())):
        assert f"def {name}(" in (ROOT / path).read_text(encoding="utf-8"), f"{path} has no {name}"


def test_every_mark_is_asked_for_by_a_test():
    code = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("test_*.py"))
    marks = {block.test for page in pages.pages() for block in pages.blocks(page) if block.test}
    assert marks and not {mark for mark in marks if f'"{mark}"' not in code}
