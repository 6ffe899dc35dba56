"""Inputs that nobody wrote: each ends in a result or in a BigfootError, soon, and within memory.

`fuzz` runs a check on examples of a hypothesis strategy. The fast suite takes few, always the same; `make test-all` takes the
counts of docs/reliability.md, drawn anew each time, and hypothesis prints how to repeat a failure.
"""

import ctypes
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from pipeline.common.errors import BigfootError

MOST_SECONDS = 10
FEW = 25


def counts(many: int, what: str, few: int = FEW) -> pytest.MarkDecorator:
    """For a test with the argument `count`: few examples in the fast suite, many in `make test-all`, a row of the page."""
    return pytest.mark.parametrize("count", [few, pytest.param(many, marks=[pytest.mark.slow, shows(what)])])


def shows(what: str) -> pytest.MarkDecorator:
    """For a test whose examples are a row of docs/reliability.md."""
    return pytest.mark.shows("fuzzed", what, f"each within {MOST_SECONDS} s and its bound of memory")


def fuzz(count: int, strategy: st.SearchStrategy, check: Callable, spare_mb: int, record: Callable[[str, int], None]) -> None:
    """Run `check` on `count` examples, and `record` how many were tried, taken and refused.

    Fails where an example raises anything but a BigfootError of one line, takes 10 s, or makes the process grow by more than
    `spare_mb` and twice its size, and where the process grows by more than `spare_mb` in each half of the examples.
    """
    results, resident = {"taken": 0, "refused": 0}, [_memory("VmRSS")]

    @settings(
        max_examples=count, deadline=None, database=None, derandomize=count <= FEW * 20, print_blob=True,
        suppress_health_check=list(HealthCheck), phases=[Phase.generate, Phase.shrink],
    )  # fmt: skip
    @given(strategy)
    def run(example: object) -> None:
        limit = spare_mb * 1e6 + 2 * (len(example) if isinstance(example, bytes | str) else 0)
        taken, grown = _within_limits(check, example)
        if grown > limit:  # a second time, since what earlier tests left running, and what is imported once, grow too
            ctypes.CDLL(None).malloc_trim(0)  # what the first time has freed can't hide the second
            taken, grown = _within_limits(check, example)
        assert grown <= limit, f"memory has grown by {grown / 1e6:.0f} MB"
        results["taken" if taken else "refused"] += 1
        resident.append(_memory("VmRSS"))

    run()
    begin, middle, end = resident[0], resident[len(resident) // 2], resident[-1]
    leaked = min(middle - begin, end - middle)
    assert leaked <= spare_mb * 1e6, f"each half of {count} examples leaves {leaked / 1e6:.0f} MB behind"
    for name, number in {"tried": sum(results.values()), **results}.items():
        record(name, number)


def _within_limits(check: Callable, example: object) -> tuple[bool, float]:
    """Whether the example was taken, not refused, and by how many bytes the process grew meanwhile."""
    unraisable: list = []
    before, sys.unraisablehook = sys.unraisablehook, unraisable.append
    alarm = signal.signal(signal.SIGALRM, _hangs)
    signal.alarm(MOST_SECONDS + 5)  # it stops Python; a library is found slow when it returns
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    begun, least = time.monotonic(), _memory("VmHWM")
    try:
        check(example)
        taken = True
    except BigfootError as error:
        assert len(str(error).splitlines()) == 1, f"not one line: {error}"
        taken = False
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, alarm)
        sys.unraisablehook = before
    assert time.monotonic() - begun < MOST_SECONDS
    assert not unraisable, f"exception ignored: {unraisable[0].exc_value!r}"
    return taken, _memory("VmHWM") - least


def _hangs(*_: object) -> None:
    raise TimeoutError(f"no end after {MOST_SECONDS} s")


def _memory(kind: Literal["VmRSS", "VmHWM"]) -> float:
    """What this process holds, or the most that it has held, in bytes."""
    (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(kind))
    return int(line.split()[1]) * 1024


@st.composite
def mutated(draw: st.DrawFn, originals: st.SearchStrategy[bytes], head: int = 128) -> bytes:
    """Bytes with up to eight changes, half of them within the first `head` bytes."""
    data = bytearray(draw(originals))
    for _ in range(draw(st.integers(0, 8))):
        at = draw(st.integers(0, max(0, min(len(data), head) - 1)) | st.integers(0, max(0, len(data) - 1)))
        match draw(st.sampled_from(["byte", "number", "cut", "insert", "remove", "repeat"])):
            case "byte":
                data[at : at + 1] = draw(st.binary(min_size=1, max_size=1))
            case "number":
                number, size = draw(st.sampled_from(_NUMBERS)), draw(st.sampled_from([2, 4, 8]))
                number &= (1 << 8 * size) - 1
                data[at : at + size] = number.to_bytes(size, draw(st.sampled_from(["little", "big"])))
            case "cut":
                del data[at:]
            case "insert":
                data[at:at] = draw(st.binary(max_size=16))
            case "remove":
                del data[at : at + draw(st.integers(1, 64))]
            case "repeat":
                data[at:at] = data[at : at + draw(st.integers(1, 64))] * draw(st.integers(1, 50))
    return bytes(data)


_NUMBERS = (0, 1, 2, 8, 255, 2**15, 2**16 - 1, 2**20, 2**31 - 1, 2**31, 2**32 - 1, 2**36 - 1, 2**63 - 1, 2**63, 2**64 - 1)
