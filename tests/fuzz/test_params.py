"""params.yaml with changes that nobody would make: taken if it makes sense, else refused in one line."""

import math
import re

from hypothesis import strategies as st

from pipeline.project import load_params
from tests.fuzz import counts, fuzz, mutated
from tests.planted import ROOT

SPARE_MB = 300
PROFILES = [(ROOT / f"profiles/{name}.yaml").read_text() for name in ("quickstart", "unlabelled", "digits")]
NONSENSE = [
    ".inf", "-.inf", ".nan", "1e400",
    "-1", "0", "1", "0.5", "1.0e+18", "1000000000", "1000000000000000000", "true", "false", "null",
    "''", "x", "../x", "[]", "{}", "[1]", "[1, 2]", "[true]", "[.nan, 1]", "[[0, 1], [5, 3]]", "{a: 1}", "2001-99-99", "0x1f",
    "'inf'", "'1'", "!!python/object:os.system x", "!!binary aaa", "&a [1, 2]", "*a", "<<", "9" * 5_000,
    "\\u001b[31m", "\u2028",
]  # fmt: skip
VALUE = re.compile(r"(?<=[:\[,] )[^\s,\[\]{}#]+|(?<=\[)[^\s,\[\]{}#]+")
KEY = re.compile(r"[\w-]+(?=:)")


@st.composite
def profiles(draw: st.DrawFn) -> bytes:
    """A profile with up to five values, keys or lines changed."""
    text = draw(st.sampled_from(PROFILES))
    for _ in range(draw(st.integers(1, 5))):
        kind = draw(st.sampled_from(["value", "value", "value", "key", "remove", "repeat"]))
        places = list((KEY if kind == "key" else VALUE).finditer(text))
        place = draw(st.sampled_from(places))
        start, end = place.span()
        if kind == "value":
            number = st.integers().map(str) | st.floats().map(str)
            text = text[:start] + draw(st.sampled_from(NONSENSE) | number | st.text(max_size=10)) + text[end:]
        elif kind == "key":
            text = text[:start] + draw(st.sampled_from(places))[0] + text[end:]
        else:
            lines = text.splitlines(keepends=True)
            at = draw(st.integers(0, len(lines) - 1))
            lines[at : at + 1] = [] if kind == "remove" else [lines[at], lines[at]]
            text = "".join(lines)
    return text.encode(errors="surrogatepass")


@counts(10_000, "params.yaml")
def test_params_are_taken_or_refused_and_what_is_taken_makes_sense(count, tmp_path, record_property):
    path = tmp_path / "params.yaml"

    def check(content: bytes) -> None:
        path.write_bytes(content)
        for place, number in numbers(load_params(path).model_dump(), ""):
            assert math.isfinite(number) and abs(number) <= 1e9 or place.endswith("seed"), f"{place}: {number}"

    damaged = mutated(st.sampled_from([text.encode() for text in PROFILES]), 4_000)
    fuzz(count, profiles() | damaged, check, SPARE_MB, record_property)


def numbers(value: object, place: str):
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from numbers(inner, f"{place}.{key}")
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from numbers(inner, place)
    elif isinstance(value, int | float):
        yield place, value
