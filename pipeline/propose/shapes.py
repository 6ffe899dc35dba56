"""The shapes that a student may have: a grid over depth, widths, heads, channels, merged convolutions, frame rate.

A shape is what `students` in params.yaml says of a student: {"layers": 4, "hidden": 192, ...}. Its config is made by the
surgery that would cut it, so what is proposed can be cut.
"""

import itertools
import random
from collections.abc import Sequence

from pipeline.common.errors import BigfootError
from pipeline.distill.surgery import student
from pipeline.models.forward import frames_per_second
from pipeline.models.operations import macs_per_second
from pipeline.params import Student
from pipeline.speech.corpus import spread

LAYERS = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48)
PARTS = (1 / 8, 1 / 6, 1 / 4, 1 / 3, 1 / 2, 2 / 3, 3 / 4, 1)  # of the teacher's widths
HEAD_WIDTHS, FEED_FORWARD = (32, 64), (1, 2, 4)  # channels of a head, beside the teacher's; times `hidden`
NARROWEST, STEP, LEAST_CHANNELS, CHANNELS_STEP = 32, 16, 16, 8
LEAST_RATE = 10  # frames per second that `students` in params.yaml may ask for
ORDER = ("layers", "hidden", "feed_forward", "conv_channels")

Shape = dict  # keys of Student


def rates(teacher) -> list[float | None]:
    """The frame rates of students of this teacher: None, its own, and half of it where that isn't too low."""
    half = frames_per_second(teacher) / 2
    return [None, half] if half >= LEAST_RATE else [None]


def rate_of(teacher, shape: Shape) -> float:
    """Frames per second of a student of this shape."""
    return shape.get("frame_rate") or frames_per_second(teacher)


def grid(teacher, at: Sequence[float | None] = (None,)) -> list[Shape]:
    """All shapes that students of this teacher, a config of transformers, may have at these frame rates."""
    own_head = teacher.hidden_size // teacher.num_attention_heads
    head_widths = {own_head, *(width for width in HEAD_WIDTHS if width < own_head)}
    shapes = []
    for layers, hidden, times, channels, merge, rate in itertools.product(
        [n for n in LAYERS if n < teacher.num_hidden_layers] + [teacher.num_hidden_layers],
        _widths(teacher.hidden_size, NARROWEST, STEP),
        FEED_FORWARD,
        _widths(max(teacher.conv_dim), LEAST_CHANNELS, CHANNELS_STEP),
        merges(len(teacher.conv_dim)),
        at,
    ):
        if times * hidden > teacher.intermediate_size:
            continue
        for width in head_widths:
            if hidden % width == 0 and hidden // width <= teacher.num_attention_heads:
                shape = {"layers": layers, "hidden": hidden, "heads": hidden // width, "feed_forward": times * hidden}
                shape |= {"conv_channels": channels, "conv_merge": merge, "frame_rate": rate}
                shapes.append({key: value for key, value in shape.items() if value is not None})
    return shapes


def whole(teacher) -> Shape:
    """The teacher's own shape."""
    return {
        "layers": teacher.num_hidden_layers, "hidden": teacher.hidden_size, "heads": teacher.num_attention_heads,
        "feed_forward": teacher.intermediate_size, "conv_channels": max(teacher.conv_dim),
    }  # fmt: skip


def _widths(most: int, least: int, step: int) -> list[int]:
    return sorted({min(most, max(least, round(part * most / step) * step)) for part in PARTS})


def merges(convolutions: int) -> list[list[int] | None]:
    """None, the first two convolutions merged, all in pairs: for 5 None, [2, 1, 1, 1], [2, 2, 1]."""
    pairs = [2] * (convolutions // 2) + [1] * (convolutions % 2)
    first = [2] + [1] * (convolutions - 2)
    return [None, *([first] if convolutions > 2 else []), *([pairs] if convolutions > 3 else [])]


def config_of(teacher, shape: Shape) -> dict:
    """The config.json of a student of this shape."""
    settings = Student.model_validate({"from": "teacher", "training": None} | shape)
    return student.config_of(teacher, settings).to_dict() | {"architectures": teacher.architectures}


def design(teacher, shapes: Sequence[Shape], count: int, seed: int = 0) -> list[Shape]:
    """`count` shapes to measure: of all amounts of computation, otherwise drawn at random; the middle one comes first."""
    if not shapes:
        raise BigfootError("propose: the teacher is too small to be cut into anything smaller")
    mixed = random.Random(seed).sample(list(shapes), min(len(shapes), 20 * count))
    ordered = spread(sorted(mixed, key=lambda shape: macs_per_second(config_of(teacher, shape))), count)
    middle = ordered.pop(len(ordered) // 2)
    return [middle, *ordered]


def largest(shapes: Sequence[Shape]) -> list[Shape]:
    """Of shapes of one frame rate those to which no other is equal or larger in every way."""

    def size(shape: Shape) -> tuple:
        merged = sum(run > 1 for run in shape.get("conv_merge", ()))
        return (*(shape[key] for key in ORDER), -merged)

    sized = [(size(shape), shape) for shape in shapes]
    return [
        shape for own, shape in sized
        if not any(other != own and all(a >= b for a, b in zip(other, own, strict=True)) for other, _ in sized)
    ]  # fmt: skip
