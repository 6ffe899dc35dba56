"""Rows of anybody's table in our names: by the names themselves, or by corpus.source.columns.

NeMo's audio_filepath is taken for audio; its other names are ours.
"""

import math
import re
import unicodedata
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import PureWindowsPath
from typing import Any

from pipeline.common.errors import BigfootError
from pipeline.common.shapes import is_torn
from pipeline.params import Column
from pipeline.prepare.tables import Rows
from pipeline.speech.media import SUFFIXES

NAMES = ("speaker", "recording", "split")  # values that tell rows apart, or which belong together
OTHERS = ("speaker", "recording", "id", "duration", "offset")  # what any row may have
MOST_SECONDS = 1e9  # 31 years
USUAL = {  # names of others' columns, for the advice in a message
    "text": ("sentence", "transcript", "transcription", "normalized_text", "class", "label"),
    "speaker": ("client_id", "speaker_id", "spk", "spk_id"),
    "split": ("subset", "partition", "set"),
}
Columns = Mapping[Any, Column]  # {our name: theirs}


@dataclass(frozen=True)
class Entry:
    """A row: `where` it is, its values in our names; "" or None is not given. Seconds are positive, an offset may be 0.

    `channel` is counted from 0, where tables count from 1; it is read only where `columns` names it.
    """

    where: str
    audio: str
    text: str
    speaker: str
    recording: str
    id: str
    duration: float | None
    offset: float | None
    split: str
    channel: int | None


def entries(rows: Rows, columns: Columns, required: Collection[str]) -> Iterator[Entry]:
    """The rows in our names, of which each has the `required`: some of audio, text and split.

    Raises BigfootError, with file and line, where a row lacks one of these or a value is of the wrong kind, and after the
    last row where `columns` names a column that no row has; a table without text may lack any but audio.
    """
    unseen, where = set(columns) - set(required) if "text" in required else set(), ""
    for where, row in rows:
        unseen -= {name for name in unseen if columns[name].name in row}
        for name in required:
            _require(where, row, name, columns, required)
        text, split = (string(where, row, name, columns) if name in required else "" for name in ("text", "split"))
        audio, speaker, recording, own_id = (string(where, row, n, columns) for n in ("audio", "speaker", "recording", "id"))
        if not audio:
            raise BigfootError(f"{where}: audio is empty, it should be a path relative to the manifest")
        duration, offset = (_seconds(where, row, name, columns) for name in ("duration", "offset"))
        channel = _channel(where, row, columns) if "channel" in columns else None
        yield Entry(where, audio, text, speaker, recording, own_id, duration, offset, split, channel)
    for name in sorted(unseen) if where else ():
        raise BigfootError(f"{where.split(', line')[0]} has no column {columns[name].name}: see corpus.source.columns.{name}")


def _require(where: str, row: dict, name: str, columns: Columns, required: Collection[str]) -> None:
    value = _value(row, name, columns)
    if value is None or name in ("audio", "text") and not isinstance(value, str):
        wanted = f" (columns.{name}: {columns[name].name})" if name in columns else ""
        given = "" if value is None else f" that is a string, but {value!r:.60}"
        raise BigfootError(f"{where} has no {name}{wanted}{given}: it has {_names(row)}{_advice(row, columns, required)}")


def _names(row: dict) -> str:
    return ", ".join(map(str, row)) or "nothing"


def _advice(row: dict, columns: Columns, required: Collection[str]) -> str:
    """The line to write in params where the row's columns have other names; "" where it has none that is left."""
    free = [name for name in row if name not in {column.name for column in columns.values()} and row[name] is not None]
    lacking = [name for name in ("audio", "text", "split") if name in required and _value(row, name, columns) is None]
    found: dict[str, str] = {}
    for ours in lacking:
        left = [name for name in free if name not in found.values() and name not in (*required, *OTHERS)]
        sounds = [name for name in left if PureWindowsPath(str(row[name])).suffix.lower() in SUFFIXES]
        usual = [name for name in left if name in USUAL.get(ours, ())]
        likely = sounds if ours == "audio" else usual or [name for name in left if name not in sounds]
        if likely:
            found[ours] = likely[0]
    if not found:
        return ""
    if "speaker" not in columns:
        found.update(("speaker", name) for name in free if name in USUAL["speaker"])
    written = ", ".join(f"{ours}: {theirs}" for ours, theirs in found.items())
    return (
        f"; if these are others' names, rename them, or for a corpus write in its source, for example, columns: {{{written}}}"
    )


def _value(row: dict, name: str, columns: Columns) -> object:
    """The value of a column of ours as it is in the row, None where it has none."""
    if name in columns:
        return row.get(columns[name].name)
    return row.get("audio_filepath") if name == "audio" and "audio" not in row else row.get(name)


def string(where: str, row: dict, name: str, columns: Columns) -> str:
    """The value of a column of ours without spaces around it, "" where the row has none.

    Raises BigfootError where it is not a string or number, or doesn't match its pattern.
    """
    value = _value(row, name, columns)
    if value is None:
        return ""
    if not isinstance(value, str | int | float) or isinstance(value, bool):
        raise BigfootError(f"{where}: {name} is not a string or number but {value!r:.60}")
    if isinstance(value, str) and is_torn(value):
        raise BigfootError(f"{where}: {name} has half a character, as \\ud800 in JSON is: {value!a:.60}")
    if isinstance(value, str) and name == "audio" and "\0" in value:
        raise BigfootError(f"{where}: audio has a NUL character, which no file's name has: {value!a:.60}")
    if name in (*NAMES, "id") and isinstance(value, float) and math.isnan(value):  # as pandas writes an empty cell into JSON
        return ""
    value = str(value).strip()  # as headers are: a space behind a comma makes no other speaker
    if name in NAMES:
        value = unicodedata.normalize("NFC", value)  # a Mac writes accents apart from their letters
    if name in ("speaker", "recording"):
        value = re.sub(r"^(\d+)\.0$", r"\1", value)  # pandas turns whole numbers to floats where one cell is empty
    pattern = columns[name].pattern if name in columns else None
    if pattern is None:
        return value
    match = re.search(pattern, value)
    if match is None or match[1] is None:
        raise BigfootError(f"{where}: {value!r} doesn't match corpus.source.columns.{name}.pattern, {pattern!r}")
    return match[1]


def _seconds(where: str, row: dict, name: str, columns: Columns) -> float | None:
    value = string(where, row, name, columns)
    if not value:
        return None
    try:
        seconds = float(value)
    except (ValueError, OverflowError):
        raise BigfootError(f"{where}: {name} {value!r:.60} is not a number of seconds") from None
    if not 0 <= seconds <= MOST_SECONDS or (seconds == 0 and name == "duration"):
        raise BigfootError(f"{where}: {name} is {value:.60} s: it has to be a number of seconds, and not negative or infinite")
    return seconds


def _channel(where: str, row: dict, columns: Columns) -> int | None:
    value = string(where, row, "channel", columns)
    if not value:
        return None
    if not re.fullmatch("0*[1-9][0-9]?", value):
        raise BigfootError(f"{where}: channel {value!r:.60} is not a number from 1 on")
    return int(value) - 1
