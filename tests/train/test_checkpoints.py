"""A checkpoint that isn't whole is never resumed from, and one that is whole is there whatever happens to the next."""

import pytest

from pipeline.train import checkpoints


@pytest.fixture
def folder(tmp_path):
    for step in (3, 6):
        checkpoint = tmp_path / f"checkpoint-{step}"
        checkpoint.mkdir()
        (checkpoint / "model.safetensors").write_bytes(b"weights")
        (checkpoint / "optimizer.pt").write_bytes(b"moments")
        checkpoints.complete(checkpoint, {"curve": [step]})
    return tmp_path


def test_the_newest_is_resumed_from_with_its_note(folder):
    latest = checkpoints.latest(folder)
    assert latest == folder / "checkpoint-6" and checkpoints.note(latest)["curve"] == [6]


@pytest.mark.parametrize(
    "harm",
    [
        lambda checkpoint: (checkpoint / "ledger.json").unlink(),
        lambda checkpoint: (checkpoint / "ledger.json").write_text("null"),
        lambda checkpoint: (checkpoint / "model.safetensors").unlink(),
        lambda checkpoint: (checkpoint / "optimizer.pt").write_bytes(b""),
    ],
    ids=["unmarked", "broken mark", "weights half removed", "optimizer cut"],
)
def test_one_that_is_not_whole_is_removed_for_the_one_before(folder, harm):
    harm(folder / "checkpoint-6")
    assert checkpoints.latest(folder) == folder / "checkpoint-3" and not (folder / "checkpoint-6").exists()
    harm(folder / "checkpoint-3")
    assert checkpoints.latest(folder) is None


def test_only_those_named_are_kept(folder):
    checkpoints.keep_only(folder, {"checkpoint-6"})
    assert [path.name for path in folder.iterdir()] == ["checkpoint-6"]
