"""Foreign names can't forge lines or colors: errors, logs and outputs escape what can't be printed."""

import subprocess
import sys

import pytest

from pipeline.common import tables
from pipeline.common.errors import one_line

EVIL = "a\x1b[31m\r\nerror: forged\x9b2J\u2028\u202eb"


def test_what_can_not_be_printed_is_escaped_and_words_stay():
    shown = one_line(EVIL)
    assert shown.isprintable() and len(shown.splitlines()) == 1
    persian = "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645"
    assert one_line(persian) == persian


@pytest.mark.parametrize("entry", ["stage_main(fails)", "log_to(sys.stdout); logs()"])
def test_errors_and_logs_are_one_line_whatever_they_name(entry):
    program = (
        "import logging, sys\nfrom pipeline.common.command import log_to, stage_main\n"
        "from pipeline.common.errors import BigfootError\n"
        f"def fails(): raise BigfootError({EVIL!r})\n"
        f"def logs(): logging.getLogger('x').info('prepare: %s', {EVIL!r})\n{entry}"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    output = done.stdout + done.stderr
    assert len(output.splitlines()) == 1 and output[:-1].isprintable() and "forged" in output


def test_foreign_text_in_markdown_stays_text():
    foreign = "<script>x</script> <img src=x onerror=y> [x](javascript:z) ![x](y) a|b\nc\x1b[31m"
    cell = tables.escaped(foreign)
    assert "<" not in cell and "](" not in cell and "\n" not in cell and "\x1b" not in cell and "a\\|b" in cell
    assert len(tables.markdown(["head"], [[foreign]]).splitlines()) == 3
