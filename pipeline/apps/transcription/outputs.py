"""The files that results of recordings go to, one per recording."""

import os
from collections.abc import Iterator, Sized
from contextlib import contextmanager
from pathlib import Path

from pipeline.apps.transcription.files import Recording
from pipeline.common.errors import BigfootError
from pipeline.common.files import LONGEST_NAME, write_whole

ONE_EACH = ("srt", "vtt", "textgrid")


def require_room(form: str, recordings: Sized) -> None:
    """Raise BigfootError where results of several recordings can't share stdout: one file of such a format holds one."""
    if form in ONE_EACH and len(recordings) > 1:
        raise BigfootError(f"{form} of {len(recordings)} files can't share stdout: give --out-dir, which gets one file each")


def target(recording: Recording, out: Path, suffix: str, named: dict[Path, str]) -> Path:
    """The file of a recording in `out`, which is added to `named`: {file: the recording's name}.

    Raises BigfootError where its name is too long, another recording has this file already, or it is there and lies beside its
    recording, as a transcript by a person does.
    """
    path = out / recording.out.parent / f"{recording.out.name or recording.path.name}.{suffix}"
    if len(os.fsencode(path.name)) > LONGEST_NAME:
        raise BigfootError(f"{path}: its name has more than {LONGEST_NAME} bytes: give the recording a shorter one")
    if named.get(path) == recording.name:
        raise BigfootError(f"{recording.name} is named twice: name it once")
    if path in named:
        raise BigfootError(f"{named[path]} and {recording.name} would both become {path}: transcribe them separately")
    if not recording.is_alone and path.exists() and path.parent.resolve() == recording.path.parent.resolve():
        raise BigfootError(f"{path} lies beside its recording, and may be a person's: give another --out-dir, or remove it")
    named[path] = recording.name
    return path


def write(path: Path, text: str, option: str = "--out-dir") -> None:
    """Write a file and the folders above it; raises BigfootError, which names the option, where it can't be written."""
    with errors_of(path, option):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, text)


@contextmanager
def errors_of(path: Path, option: str) -> Iterator[None]:
    """An error of the disk as a BigfootError that names the option which the path comes from."""
    try:
        yield
    except OSError as error:
        raise BigfootError(f"{path} can't be written: {error.strerror or error}: give another {option}") from None
