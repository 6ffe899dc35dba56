"""A command line's words are numbers where its function says so, and one that is none is refused in one line."""

import signal
import subprocess
import sys

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


STOPPED_AT_AN_IMPORT = """
import builtins, os, signal, sys
import numpy
from pipeline import cli

real, calls = builtins.__import__, []

def interrupted(name, *rest, **named):
    if name == "numpy._core._multiarray_umath":
        calls.append(name)
        if len(calls) == int(sys.argv[2]):
            os.kill(os.getpid(), signal.SIGTERM)
    return real(name, *rest, **named)

@cli.app.command()
def load(call: int) -> None:
    builtins.__import__ = interrupted
    import numpy.fft._pocketfft_umath

cli.main()
"""


@pytest.mark.parametrize("call", [1, 2])
def test_a_stop_during_an_import_of_c_code_prints_nothing(call):
    """NumPy's C code turns the second call's SystemExit into an ImportError, and prints it."""
    done = subprocess.run([sys.executable, "-c", STOPPED_AT_AN_IMPORT, "load", str(call)], capture_output=True, text=True)
    assert (done.stderr, done.returncode) == ("", 128 + signal.SIGTERM)
