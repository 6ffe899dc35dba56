"""Progress is a line with rate and time left where there is no terminal, and a bar where there is one."""

import io
import logging

import pytest

from pipeline.common import progress
from pipeline.common.progress import Progress


def test_a_line_has_what_is_done_the_rate_and_the_time_left():
    work = Progress("prepare", 30_000, "utterances")
    work.done = 12_000
    assert work.line(10.0) == "prepare: 12,000 of 30,000 utterances (40%), 1,200 per second, 0:15 left"
    work.total = 0
    assert work.line(10.0) == "prepare: 12,000 utterances, 1,200 per second"
    assert Progress("prepare", 10, "utterances").line(0.0).endswith("unknown left")


def test_slow_work_has_its_seconds_instead_of_0_per_second():
    work = Progress("align", 10, "recordings")
    work.done = 4
    assert work.line(50.0) == "align: 4 of 10 recordings (40%), 12 s each, 1:15 left"
    assert ", 1.2 s each, " in work.line(5.0) and ", 1 per second, " in work.line(4.0)


def test_lines_come_at_intervals_and_short_work_writes_none(monkeypatch, caplog):
    with caplog.at_level(logging.INFO):
        with Progress("a", 3, "s of audio") as work:
            for _ in range(3):
                work.advance(1)
        assert not caplog.records
        monkeypatch.setattr(progress, "SECONDS", 0.0)
        with Progress("b", 3, "s of audio") as work:
            for _ in range(3):
                work.advance(1)
    assert [record.getMessage().split(",")[0] for record in caplog.records] == [
        "b: 1 of 3 s of audio (33%)", "b: 2 of 3 s of audio (67%)", "b: 3 of 3 s of audio (100%)",
    ]  # fmt: skip


@pytest.mark.parametrize("total", [3, 0])
def test_a_terminal_has_a_bar_and_no_lines(monkeypatch, caplog, total):
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    terminal = Terminal()
    monkeypatch.setattr(progress.sys, "stderr", terminal)
    monkeypatch.setattr(progress, "SECONDS", 0.0)
    with caplog.at_level(logging.INFO), Progress("work", total, "files") as work:
        work.advance(3)
    assert "work" in terminal.getvalue() and not caplog.records
