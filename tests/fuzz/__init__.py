"""Inputs that nobody wrote: each ends in a result or in a BigfootError, soon, and within memory.

`fuzz` runs a check on examples of a hypothesis strategy. The fast suite takes few, always the same; `make test-all` takes the
counts of docs/reliability.md, drawn anew each time, and hypothesis prints how to repeat a failure.
"""

import resource
import signal
import sys
import time
from collections.abc import Callable

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

    Fails where it raises anything but a BigfootError of one line, takes 10 s, or where the process has grown, in all, by more
    than `spare_mb` and twice the largest input.
    """
    results, begun, largest = {"taken": 0, "refused": 0}, _memory(), 0

    @settings(
        max_examples=count, deadline=None, database=None, derandomize=count <= FEW * 20, print_blob=True,
        suppress_health_check=list(HealthCheck), phases=[Phase.generate, Phase.shrink],
    )  # fmt: skip
    @given(strategy)
    def run(example: object) -> None:
        nonlocal largest
        largest = max(largest, len(example) if isinstance(example, bytes | str) else 0)
        results["taken" if _within_limits(check, example) else "refused"] += 1
        grown = _memory() - begun
        assert grown <= spare_mb * 1e6 + 2 * largest, f"memory has grown by {grown / 1e6:.0f} MB"

    run()
    for name, number in {"tried": sum(results.values()), **results}.items():
        record(name, number)


def _within_limits(check: Callable, example: object) -> bool:
    """Whether the example was taken, not refused."""
    unraisable: list = []
    before, sys.unraisablehook = sys.unraisablehook, unraisable.append
    alarm = signal.signal(signal.SIGALRM, _hangs)
    signal.alarm(MOST_SECONDS + 5)  # it stops Python; a library is found slow when it returns
    begun = time.monotonic()
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
    return taken


def _hangs(*_: object) -> None:
    raise TimeoutError(f"no end after {MOST_SECONDS} s")


def _memory() -> float:
    """The most that this process has ever held, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


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
