"""An alignment as JSON, SubRip (srt), Praat's TextGrid, or NIST's CTM."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

from pipeline.apps.alignment.align import AlignedWord
from pipeline.apps.transcription import formats
from pipeline.apps.transcription.words import Word
from pipeline.common.errors import one_line


@dataclass(frozen=True)
class Alignment:
    """The aligned words of a recording of `duration` seconds; `model` is the variant that aligned them."""

    file: str
    duration: float
    words: list[AlignedWord]
    model: str


def as_json(alignment: Alignment) -> str:
    """One object on one line, so that several are JSON Lines."""
    return formats.json_line(asdict(alignment))


def srt(alignment: Alignment) -> str:
    words = [Word(word.word, word.start, word.end, word.score or 0.0) for word in alignment.words]
    return formats.srt(formats.Transcript(alignment.file, alignment.duration, words, alignment.model))


def ctm(alignment: Alignment) -> str:
    """One word per line: file, channel, start, duration, word, confidence; a word without score has confidence 0."""
    name = one_line("_".join(alignment.file.split()))
    times = [(word, f"{word.start:.3f} {word.end - word.start:.3f}") for word in alignment.words]
    return "".join(f"{name} 1 {time} {word.word} {word.score or 0.0:.4f}\n" for word, time in times)


def textgrid(alignment: Alignment) -> str:
    """Two tiers, words and characters, whose intervals fill the recording; a pause is an interval without text."""
    words = [(word.word, word.start, word.end) for word in alignment.words]
    characters = [(c.character, c.start, c.end) for word in alignment.words for c in word.characters]
    end = max([alignment.duration, *(word.end for word in alignment.words)])
    head = ['File type = "ooTextFile"', 'Object class = "TextGrid"', "", "xmin = 0", f"xmax = {end}", "tiers? <exists>"]
    return (
        "\n".join([*head, "size = 2", "item []:\n"]) + _tier(1, "words", words, end) + _tier(2, "characters", characters, end)
    )


FORMATS = {"json": as_json, "srt": srt, "ctm": ctm, "textgrid": textgrid}
SUFFIXES = {"textgrid": "TextGrid"}  # Praat's spelling; the others are named like their format


def _tier(number: int, name: str, spoken: Sequence[tuple[str, float, float]], end: float) -> str:
    intervals, now = [], 0.0
    for text, start, stop in spoken:
        if start > now:
            intervals.append(("", now, start))
        intervals.append((text, start, stop))
        now = stop
    if now < end:
        intervals.append(("", now, end))
    lines = [
        f"    item [{number}]:",
        '        class = "IntervalTier"',
        f'        name = "{name}"',
        "        xmin = 0",
        f"        xmax = {end}",
        f"        intervals: size = {len(intervals)}",
    ]
    for index, (text, start, stop) in enumerate(intervals, start=1):
        quoted = text.replace('"', '""')
        lines += [f"        intervals [{index}]:", f"            xmin = {start}", f"            xmax = {stop}"]
        lines += [f'            text = "{quoted}"']
    return "\n".join(lines) + "\n"
