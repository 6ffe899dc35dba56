"""A transcript as text, JSON, SubRip (srt) or WebVTT (vtt).

Subtitles: a cue ends at a pause of more than 0.6 s, before it would last more than 7 s, and before its text would need
more than two lines of 42 characters. A longer single word is not split, but where it fills more than two lines or lasts more
than 7 s, as where a script has no gaps between words: each of its cues is one line (a Chinese or Japanese character fills the
place of two), and ends between letters by the same rules. As the ends of CTC words come early (see words.py), a cue stays for
a second where the next one allows it.

Channels that were transcribed apart have turns: the words of a channel up to a pause of more than 0.6 s. Text has one line per
turn, in the order of their starts, and each names its channel, as does each cue; cues of two channels may overlap.
"""

import heapq
import html
import json
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest

from pipeline.apps.transcription.words import Letter, Word

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
        """The words, separated by one space, as Recognizer.transcribe gives them; turn by turn where there are channels."""
        return " ".join(word.word for turn in turns(self.words) for word in turn)


@dataclass(frozen=True)
class Cue:
    """One subtitle: its lines, its start and end in milliseconds, and its channel, if there are several."""

    start: int
    end: int
    lines: list[str]
    channel: int | None = None


def turns(words: list[Word]) -> list[list[Word]]:
    """The words of each channel between its pauses, in the order of time; without channels all words are one turn."""
    found: list[list[Word]] = []
    last: dict[int | None, list[Word]] = {}  # the last turn of each channel
    for word in words:
        turn = last.get(word.channel)
        if turn is None or (word.channel is not None and word.start - turn[-1].end > PAUSE_SECONDS):
            turn = last[word.channel] = []
            found.append(turn)
        turn.append(word)
    return found


def txt(transcript: Transcript) -> str:
    lines = [f"{_label(turn[0].channel)}{' '.join(word.word for word in turn)}" for turn in turns(transcript.words)]
    return "\n".join(lines) + "\n"


def as_json(transcript: Transcript) -> str:
    """One object on one line, so that several are JSON Lines."""
    content = {
        "file": transcript.file,
        "duration": transcript.duration,
        "text": transcript.text,
        "words": [word.as_object() for word in transcript.words],
        "model": transcript.model,
    }
    return json_line(content)


def json_line(content: object) -> str:
    """JSON on one line. Unprintable characters are escaped: some end a line for some readers, or steer a terminal."""
    text = json.dumps(content, ensure_ascii=False)
    return "".join(letter if letter.isprintable() else json.dumps(letter)[1:-1] for letter in text) + "\n"


def srt(transcript: Transcript) -> str:
    """SubRip: numbered cues, a comma before the milliseconds."""
    numbered = enumerate(cues(transcript.words, transcript.duration), start=1)
    return "\n".join(
        f"{number}\n{_times(cue, ',')}\n{_label(cue.channel)}{chr(10).join(cue.lines)}\n" for number, cue in numbered
    )


def vtt(transcript: Transcript) -> str:
    """WebVTT: a header, a point before the milliseconds, and &, < and > escaped; a channel is a voice."""
    shown = [
        f"{_times(cue, '.')}\n{_voice(cue.channel)}{html.escape(chr(10).join(cue.lines), quote=False)}\n"
        for cue in cues(transcript.words, transcript.duration)
    ]
    return "\n".join(["WEBVTT\n", *shown])


FORMATS = {"txt": txt, "json": as_json, "srt": srt, "vtt": vtt}


def cues(words: list[Word], duration: float) -> Iterator[Cue]:
    """The subtitles of words, both in the order of time: every word is in one, and none of the same channel overlap."""
    channels = dict.fromkeys(word.channel for word in words)
    each = [_cues([word for word in words if word.channel == channel], duration) for channel in channels]
    return heapq.merge(*each, key=lambda cue: cue.start)


def _cues(words: list[Word], duration: float) -> Iterator[Cue]:
    groups: list[list[Word]] = []
    for word in words:
        first, *others = _pieces(word)
        if groups and _fits(groups[-1], first):
            groups[-1].append(first)
        else:
            groups.append([first])
        groups += [[piece] for piece in others]
    for group, after in zip_longest(groups, groups[1:]):
        start = group[0].start
        latest = after[0].start if after else max(duration, group[-1].end)
        end = min(latest, max(group[-1].end, start + LEAST_SECONDS))
        yield Cue(round(1000 * start), round(1000 * end), _lines(group), group[0].channel)


def clock(milliseconds: int, point: str) -> str:
    """hh:mm:ss and milliseconds after `point`; hours of 100 and more have more digits."""
    seconds, milliseconds = divmod(milliseconds, 1000)
    return f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}{point}{milliseconds:03d}"


def _pieces(word: Word) -> list[Word]:
    """A word that fills more than a cue, cut between its letters where they are known; any other as it is."""
    if word.end - word.start <= LONGEST_SECONDS and columns(word.word) <= LINE * LINES or not word.letters:
        return [word]
    pieces: list[list[Letter]] = []
    for letter in word.letters:
        if pieces and (_is_mark(letter) or _fits_line(pieces[-1], letter)):
            pieces[-1].append(letter)
        else:
            pieces.append([letter])
    return [
        replace(word, word="".join(letter.text for letter in piece), start=piece[0].start, end=piece[-1].end)
        for piece in pieces
    ]


def _fits_line(piece: list[Letter], letter: Letter) -> bool:
    return _goes_on(piece, letter) and sum(columns(each.text) for each in [*piece, letter]) <= LINE


def _is_mark(letter: Letter) -> bool:
    """Whether a letter is written on the one before it, as vowels and tones of Thai are."""
    return unicodedata.category(letter.text[0]).startswith("M")


def columns(text: str) -> int:
    """How wide a text is; a letter of Chinese, Japanese and Korean takes two columns."""
    return sum(2 if unicodedata.east_asian_width(letter) in "WF" else 1 for letter in text)


def _goes_on(group: Sequence[Word] | Sequence[Letter], added: Word | Letter) -> bool:
    """Whether no pause comes before what is added, and the cue doesn't last too long with it."""
    return added.start - group[-1].end <= PAUSE_SECONDS and added.end - group[0].start <= LONGEST_SECONDS


def _fits(group: list[Word], word: Word) -> bool:
    lines = _lines([*group, word])
    return _goes_on(group, word) and len(lines) <= LINES and all(columns(line) <= LINE for line in lines)


def _lines(group: list[Word]) -> list[str]:
    """The lines of a group; the first one leaves room for its channel."""
    lines = [group[0].word]
    for word in group[1:]:
        room = len(_label(group[0].channel)) if len(lines) == 1 else 0
        longer = f"{lines[-1]} {word.word}"
        if room + columns(longer) <= LINE:
            lines[-1] = longer
        else:
            lines.append(word.word)
    return lines


def _label(channel: int | None) -> str:
    return "" if channel is None else f"Channel {channel}: "


def _voice(channel: int | None) -> str:
    return "" if channel is None else f"<v Channel {channel}>"


def _times(cue: Cue, point: str) -> str:
    return f"{clock(cue.start, point)} --> {clock(cue.end, point)}"
