"""A Kaldi data folder: wav.scp and text, and where they are there segments and utt2spk.

A line of wav.scp may be a command whose output is audio ("sph2pipe ... |"). Such a line is refused: no command of a data set
is run.
"""

from pathlib import Path

from pipeline.common.errors import BigfootError
from pipeline.prepare.tables import Rows


def rows(folder: Path, needs_text: bool = True) -> Rows:
    """The utterances in the order of segments, or else of wav.scp, with our names for columns.

    One that `text` lacks has an empty text. Raises BigfootError, with file and line, for a line that doesn't fit.
    """
    recordings = _table(folder / "wav.scp")
    for where, path in recordings.values():
        if path.endswith("|"):
            raise BigfootError(f"{where} is a command, which is not run ({path}): convert its audio to files and name these")
        if not path:
            raise BigfootError(f"{where} names no file: each line has to be RECORDING PATH")
    segments = _table(folder / "segments") if (folder / "segments").is_file() else None
    known = recordings if segments is None else segments
    texts = _table(folder / "text") if needs_text else {}
    speakers = _table(folder / "utt2spk") if (folder / "utt2spk").is_file() else {}
    for name, (where, _) in texts.items():
        if name not in known:
            raise BigfootError(f"{where}: {name} is not in {'wav.scp' if segments is None else 'segments'}")
    if lacking := sorted(set(known) - set(speakers)) if speakers else []:
        raise BigfootError(f"{folder / 'utt2spk'} has no speaker of {lacking[0]}: add it, or remove the file")
    for name, (where, value) in known.items():
        row = {"id": name, "text": texts.get(name, ("", ""))[1], "speaker": speakers.get(name, ("", ""))[1]}
        if segments is None:
            yield where, {**row, "audio": value}
        else:
            yield where, {**row, **_segment(where, value, recordings)}


def _segment(where: str, value: str, recordings: dict[str, tuple[str, str]]) -> dict:
    """ "RECORDING START END" as audio, recording, offset and duration; an END of -1 is the end of the recording."""
    try:
        recording, start, end = value.split()
        offset, until = float(start), float(end)
    except ValueError:
        raise BigfootError(f"{where} is not UTTERANCE RECORDING START END") from None
    if recording not in recordings:
        raise BigfootError(f"{where}: {recording} is not in wav.scp")
    if until != -1 and not until > offset:
        raise BigfootError(f"{where}: it ends at {end} s, before it begins at {start} s")
    duration = None if until == -1 else round(until - offset, 6)
    return {"audio": recordings[recording][1], "recording": recording, "offset": offset, "duration": duration}


def _table(path: Path) -> dict[str, tuple[str, str]]:
    """{key: (where it is, the rest of its line)}."""
    if not path.is_file():
        raise BigfootError(f"{path} is missing: a Kaldi data folder has wav.scp and text")
    table: dict[str, tuple[str, str]] = {}
    try:
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except UnicodeDecodeError:
        raise BigfootError(f"{path} is not UTF-8 text: save it as UTF-8") from None
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        key, *rest = line.split(maxsplit=1)
        if key in table:
            raise BigfootError(f"{path}, line {number}: {key} is there twice")
        table[key] = (f"{path}, line {number}", rest[0].strip() if rest else "")
    return table
