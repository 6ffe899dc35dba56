"""A transcript as text, JSON, SubRip (srt) or WebVTT (vtt).

Subtitles: a cue ends at a pause of more than 0.6 s, before it would last more than 7 s, and before its text would need
more than two lines of 42 characters; a longer single word is not split. As the ends of CTC words come early (see words.py), a
cue stays for a second where the next one allows it.
"""

import html
import json
import textwrap
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import zip_longest

from pipeline.apps.transcription.words import Word

PAUSE_SECONDS = 0.6
LONGEST_SECONDS = 7.0
LEAST_SECONDS = 1.0
LINE, LINES = 42, 2


@dataclass(frozen=True)
class Transcript:
    """The words of a recording of `duration` seconds; `model` is the variant that recognized them."""

    file: str
    duration: float
    words: list[Word]
    model: str

    @property
    def text(self) -> str:
        """The words, separated by one space, as Recognizer.transcribe gives them."""
        return " ".join(word.word for word in self.words)


@dataclass(frozen=True)
class Cue:
    """One subtitle: its lines, and its start and end in milliseconds."""

    start: int
    end: int
    lines: list[str]


def txt(transcript: Transcript) -> str:
    return transcript.text + "\n"


def as_json(transcript: Transcript) -> str:
    """One object on one line, so that several are JSON Lines."""
    content = {
        "file": transcript.file,
        "duration": transcript.duration,
        "text": transcript.text,
        "words": [asdict(word) for word in transcript.words],
        "model": transcript.model,
    }
    return json.dumps(content, ensure_ascii=False) + "\n"


def srt(transcript: Transcript) -> str:
    """SubRip: numbered cues, a comma before the milliseconds."""
    numbered = enumerate(cues(transcript.words, transcript.duration), start=1)
    return "\n".join(f"{number}\n{_times(cue, ',')}\n{chr(10).join(cue.lines)}\n" for number, cue in numbered)


def vtt(transcript: Transcript) -> str:
    """WebVTT: a header, a point before the milliseconds, and &, < and > escaped."""
    shown = [
        f"{_times(cue, '.')}\n{html.escape(chr(10).join(cue.lines), quote=False)}\n"
        for cue in cues(transcript.words, transcript.duration)
    ]
    return "\n".join(["WEBVTT\n", *shown])


FORMATS = {"txt": txt, "json": as_json, "srt": srt, "vtt": vtt}


def cues(words: list[Word], duration: float) -> Iterator[Cue]:
    """The subtitles of words, both in the order of time: none overlap, and every word is in one."""
    groups: list[list[Word]] = []
    for word in words:
        if groups and _fits(groups[-1], word):
            groups[-1].append(word)
        else:
            groups.append([word])
    for group, after in zip_longest(groups, groups[1:]):
        start = group[0].start
        latest = after[0].start if after else max(duration, group[-1].end)
        end = min(latest, max(group[-1].end, start + LEAST_SECONDS))
        yield Cue(round(1000 * start), round(1000 * end), _lines(group))


def clock(milliseconds: int, point: str) -> str:
    """hh:mm:ss and milliseconds after `point`; hours of 100 and more have more digits."""
    seconds, milliseconds = divmod(milliseconds, 1000)
    return f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}{point}{milliseconds:03d}"


def _fits(group: list[Word], word: Word) -> bool:
    return (
        word.start - group[-1].end <= PAUSE_SECONDS
        and word.end - group[0].start <= LONGEST_SECONDS
        and len(lines := _lines([*group, word])) <= LINES
        and all(len(line) <= LINE for line in lines)
    )


def _lines(group: list[Word]) -> list[str]:
    text = " ".join(word.word for word in group)
    return textwrap.wrap(text, LINE, break_long_words=False, break_on_hyphens=False)


def _times(cue: Cue, point: str) -> str:
    return f"{clock(cue.start, point)} --> {clock(cue.end, point)}"
