"""Formats numbers for people: in tables, on the page, in cards and on command lines. What was not measured is "-"."""

from collections.abc import Callable

ABSENT = "-"


def shown(value: float | None, form: str, unit: str = "", absent: str = ABSENT) -> str:
    """A number in a Python format, followed by its unit; `absent` for None."""
    return absent if value is None else f"{value:{form}}{unit}"


def percent(fraction: float | None, absent: str = ABSENT) -> str:
    """A fraction as a percentage, without the percent sign: 0.0347 -> 3.47."""
    return shown(None if fraction is None else 100 * fraction, ".2f", absent=absent)


def points(fraction: float | None, absent: str = ABSENT, digits: int = 2) -> str:
    """A difference of two fractions in percentage points: 0.0083 -> +0.83."""
    return shown(None if fraction is None else 100 * fraction, f"+.{digits}f", absent=absent)


def sure(confidence: float) -> str:
    """0.995 -> "99.5% sure"."""
    return f"{100 * confidence:g}% sure"


def times(ratio: float | None, absent: str = ABSENT) -> str:
    """A ratio: 5.04 -> 5.0x."""
    return shown(ratio, ".1f", "x", absent)


def faster(ratio: float, equal: str = "as fast") -> str:
    """ "2.1x faster", "4% faster", "4% slower" (takes 4% longer); `equal` where it is less than half a per cent."""
    word, gain = ("faster", ratio) if ratio >= 1 else ("slower", 1 / ratio)
    return _in_words(gain, gain - 1, word, equal)


def smaller(ratio: float, equal: str = "as large") -> str:
    """ "2.1x smaller", "20% smaller" (1.25x), "25% larger"; `equal` where it is less than half a per cent."""
    return (
        _in_words(ratio, 1 - 1 / ratio, "smaller", equal)
        if ratio >= 1
        else _in_words(1 / ratio, 1 / ratio - 1, "larger", equal)
    )


def gains(speedup: float | None, shrink: float | None) -> str:
    """ "2.1x faster and 4.0x smaller", as far as both are known."""
    speed = ABSENT if speedup is None else faster(speedup, "no faster")
    size = ABSENT if shrink is None else smaller(shrink, "no smaller")
    return f"{speed} and {size}"


def _in_words(gain: float, part: float, word: str, equal: str) -> str:
    if gain >= 1.95:
        return f"{gain:.1f}x {word}"
    return f"{part:.0%} {word}" if f"{part:.0%}" != "0%" else equal


def with_range(value: float | None, low: float | None, high: float | None, show: Callable[[float | None], str]) -> str:
    """A figure with its interval, where both ends are known: 3.47 [1.91, 5.27]."""
    return show(value) + ("" if low is None or high is None else f" [{show(low)}, {show(high)}]")


def counted(count: int, what: str) -> str:
    """1 utterance, 2,000 utterances."""
    return f"{count:,} {what}{'' if count == 1 else 's'}"


def clock(seconds: float) -> str:
    """Seconds as m:ss, or h:mm:ss."""
    minutes, seconds = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02d}:{seconds:02d}" if minutes >= 60 else f"{minutes}:{seconds:02d}"
