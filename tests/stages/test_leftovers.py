"""What params.yaml no longer names is out of the folders that later stages depend on, and not lost."""

import logging

from pipeline.stages.leftovers import set_aside


def test_only_what_is_not_named_is_moved_and_a_former_one_is_replaced(tmp_path, caplog):
    variants, aside = tmp_path / "variants", tmp_path / ".bigfoot/aside"
    with caplog.at_level(logging.INFO):
        for content in ("old", "new"):
            for name in ("half.fp32", "thin.fp32", ".hidden"):
                (variants / name).mkdir(parents=True, exist_ok=True)
            (variants / "thin.fp32/variant.json").write_text(content)
            set_aside(variants, ["half.fp32"], aside)
            assert {path.name for path in variants.iterdir()} == {"half.fp32", ".hidden"}
            assert (aside / "variants/thin.fp32/variant.json").read_text() == content
    assert caplog.text.count("thin.fp32 is not of this params.yaml: moved to") == 2


def test_scores_are_files_and_a_folder_may_be_absent(tmp_path):
    scores, aside = tmp_path / "scores", tmp_path / "aside"
    set_aside(scores, [], aside)
    scores.mkdir()
    for content in ("old", "new"):
        (scores / "thin.fp32.json").write_text(content)
        set_aside(scores, [], aside)
    assert not list(scores.iterdir()) and (aside / "scores/thin.fp32.json").read_text() == "new"
