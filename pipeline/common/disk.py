"""Errors of the disk in one line: it is full, or may not be written.

Decision: the libraries that write weights and audio raise errors of their own kinds, some of which hide the reason. They are
known here by their words, so that no stage has to catch them.
"""

import errno
import os
import re
import shutil
import tempfile
from pathlib import Path

from pipeline.common.errors import BigfootError, one_line

FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
REFUSED = {errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOTDIR, errno.EIO, errno.ENAMETOOLONG}
NO_TEMPORARY = "No usable temporary directory found in "  # Python's

_NUMBER = re.compile(r"\(os error (\d+)\)")  # safetensors
_UNWRITTEN = re.compile(
    r"^System error\.$"  # libsndfile
    r"|^\d+ requested and \d+ written$"  # numpy
    r"|inline_container\.cc|PytorchStreamWriter"  # torch
    r"|basic_ios::clear: iostream error"  # torch, OpenVINO
    r"|database or disk is full|disk I/O error"  # SQLite
)


def as_line(error: BaseException) -> BigfootError | None:
    """The line for an error, or one that caused it, that the disk is to blame for; None for any other error."""
    causes: BaseException | None = error
    while causes is not None:
        if line := _line(causes):
            return BigfootError(line)
        causes = causes.__cause__ or causes.__context__
    return None


def _line(error: BaseException) -> str | None:
    text = str(error)
    number = error.errno if isinstance(error, OSError) else None
    if stated := _NUMBER.search(text):
        number = int(stated[1])
    path = error.filename if isinstance(error, OSError) and isinstance(error.filename, str | os.PathLike) else None
    if number in FULL or _UNWRITTEN.search(text):
        place = one_line(str(path or _fullest()))
        return f"the disk of {place} is full, or a limit is reached (quota, ulimit): free some space and run it again"
    if number in REFUSED and path:
        return f"{one_line(str(path))} can't be used ({os.strerror(number or 0)}): check its permissions and its disk"
    if NO_TEMPORARY in text:
        return f"no folder for temporary files can be written ({text.partition(NO_TEMPORARY)[2]}): set TMPDIR to one that can"
    return None


def _fullest() -> Path:
    """The project's folder or that of temporary files, whichever has less space left."""
    return min((Path.cwd(), Path(tempfile.gettempdir())), key=lambda folder: shutil.disk_usage(folder).free)
