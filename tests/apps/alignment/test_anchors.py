"""Long recordings are cut where recognized words agree with the text, and aligned as if they were one."""

import numpy as np
import pytest

from pipeline.apps.alignment import anchors
from pipeline.apps.alignment.run import aligned
from pipeline.common.errors import BigfootError
from tests.apps.alignment.test_align import FRAME, TEXTS, likely

INFO = {"vocab": list(TEXTS), "blank": 0, "conv_strides": [320], "sample_rate": 16_000}


def spoken(seed: int, count: int) -> tuple[list[str], str]:
    """Random words, and a path that says them with pauses."""
    rng = np.random.default_rng(seed)
    words = ["".join(rng.choice(list("abcdefgh"), rng.integers(2, 6))) for _ in range(count)]
    return words, "".join("-".join(word) + "--" + " " + "-" * int(rng.integers(0, 9)) for word in words)


@pytest.fixture
def small(monkeypatch):
    monkeypatch.setattr(anchors, "MOST_CELLS", 100_000)
    monkeypatch.setattr(anchors, "PART_SECONDS", 2.0)


def test_parts_have_the_times_of_one_search(monkeypatch, small):
    words, path = spoken(1, 100)
    pairs = [(word, word) for word in words]
    in_parts = aligned(likely(path), pairs, INFO)
    monkeypatch.setattr(anchors, "MOST_CELLS", 1 << 30)
    assert in_parts == aligned(likely(path), pairs, INFO)


def test_parts_cover_all_words_and_frames_in_order(small):
    words, path = spoken(2, 60)
    found = list(anchors.parts(likely(path), words, INFO, FRAME))
    assert len(found) > 3
    for place, most in ((0, len(path)), (1, len(words))):
        ends = [(part[place].start, part[place].stop) for part in found]
        assert ends[0][0] == 0 and ends[-1][1] == most and all(a[1] == b[0] for a, b in zip(ends, ends[1:], strict=False))


def test_a_text_that_nobody_says_is_one_line(small):
    _, path = spoken(3, 60)
    with pytest.raises(BigfootError, match="between minutes 0 and 0 the variant recognizes no 3 words in a row of the text"):
        aligned(likely(path), [("zzz", "zzz")] * 60, INFO)
