"""Several processes: the teacher's stage starts itself anew under accelerate where accelerate's configuration asks for it."""

import pytest

from pipeline.common.errors import BigfootError
from pipeline.train import launch
from tests import tones

ACCELERATE = """
compute_environment: LOCAL_MACHINE
distributed_type: {kind}
num_processes: 2
num_machines: 1
machine_rank: 0
use_cpu: true
mixed_precision: 'no'
main_training_function: main
"""


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "processes"), [("MULTI_GPU", 2), ("MULTI_CPU", 1)])
def test_the_stage_starts_itself_anew_under_accelerate_once(tmp_path, kind, processes):
    """MULTI_CPU without MPI gets one process from accelerate, and MULTI_GPU with use_cpu two that talk over gloo."""
    folder = tones.project(tmp_path, steps=20)
    (folder / "accelerate.yaml").write_text(ACCELERATE.format(kind=kind))
    output = tones.finished(tones.start(folder, "teacher"))
    assert output.count("step 20/20") <= 2  # one process prints: its loss and its dev WER
    assert ("accelerate started one process, not 2" in output) is (processes == 1)
    assert tones.metrics(folder)["steps"] == 20


@pytest.mark.parametrize("content", ["", "num_processes:", "num_processes: auto", "num_processes: [", "a list"])
def test_a_configuration_that_cannot_be_read_is_one_line(tmp_path, monkeypatch, content):
    (tmp_path / "accelerate.yaml").write_text(content)
    monkeypatch.setenv("ACCELERATE_CONFIG_FILE", str(tmp_path / "accelerate.yaml"))
    with pytest.raises(
        BigfootError, match="accelerate.yaml: num_processes is not a whole number: run `accelerate config` again"
    ):
        launch.under_accelerate("pipeline.stages.teacher")
