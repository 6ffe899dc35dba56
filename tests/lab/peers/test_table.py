"""The sentence above the table compares speeds of what hears as well, and calls a tie a tie."""

import pytest

from pipeline.lab.peers import table


def row(name: str, who: str, speedup: float, rise: float, spread: float = 0.1) -> dict:
    latency = {"speedup": speedup, "speedup_low": speedup - spread, "speedup_high": speedup + spread}
    return {"name": name, "who": who, "reason": None, "wer_delta": rise, "latency": {"10": latency}}


def verdict(*rows: dict) -> str:
    reference = row("torch-fp32", "peer", 1.0, 0.0)
    return table.verdict({"seconds": [2, 10], "reference": "torch-fp32", "rows": [reference, *rows]})


def test_a_peer_that_hears_worse_is_not_the_fastest():
    said = verdict(row("broken", "peer", 9.0, 0.05), row("good", "peer", 1.5, 0.01), row("teacher.int8", "Bigfoot", 2.0, 0.0))
    assert "the fastest peer is good: 1.50x [1.40, 1.60], WER +1.00 points" in said and "broken" not in said
    assert "Bigfoot's variants is teacher.int8: 2.00x" in said and "overlap" not in said


@pytest.mark.parametrize(("other", "tie"), [(1.79, True), (1.81, False)])
def test_intervals_that_overlap_are_called_a_tie(other, tie):
    said = verdict(row("good", "peer", 1.6, 0.0), row("teacher.int8", "Bigfoot", other, 0.0))
    assert ("neither is faster" in said) == tie


def test_where_nothing_ran_that_is_said():
    assert "nothing else was measured" in verdict()
