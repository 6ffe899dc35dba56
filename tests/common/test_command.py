"""A command line's words are numbers where its function says so, and one that is none is refused in one line."""

import pytest

from pipeline.common.command import stage_main


def seen(*words: str) -> list:
    found: list = []

    def command(folder: str, seconds: float = 1.5, *counts: int) -> None:
        found.extend([folder, seconds, *counts])

    stage_main(command, list(words))
    return found


def test_words_become_the_numbers_that_the_function_names():
    assert seen("7") == ["7", 1.5]
    assert seen("here", "2", "3", "40") == ["here", 2.0, 3, 40]


@pytest.mark.parametrize("word", ["many", "", "2.5", "0", "-3", "nan", "inf"])
def test_a_word_that_is_no_number_above_0_is_one_line(word, capsys):
    with pytest.raises(SystemExit) as ended:
        seen("here", "2", word)
    assert ended.value.code == 1
    assert capsys.readouterr().err == f"error: COUNTS: '{word}' is not a whole number above 0\n"
