"""docs/accepted.md says what the marked tests hold, and no more."""

from tests.docs import accepted


def test_the_page_is_made_of_the_tests():
    assert accepted.PAGE.read_text(encoding="utf-8") == accepted.page(), "run `python -m tests.docs.accepted`"


def test_every_group_has_what_is_taken_and_what_is_refused():
    groups = accepted.page().split("\n## ")[1:]
    assert len(groups) == len(accepted.GROUPS)
    assert all("| taken |" in group and "| refused |" in group for group in groups)
