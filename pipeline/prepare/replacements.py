"""The user's table of replacements (corpus.text.replace) from a CSV in corpus.data, where DVC sees it change."""

import csv
from dataclasses import replace
from pathlib import Path

from pipeline.common.errors import BigfootError
from pipeline.params import Corpus

COLUMNS = ["from", "to"]


def resolved(corpus: Corpus, data: Path) -> Corpus:
    """The params of a corpus with the table itself in place of its file's path.

    Raises BigfootError, with file and line, where the file is missing, is not such a CSV, or replaces a string twice.
    """
    if not isinstance(corpus.text.replace, str):
        return corpus
    path = Path(corpus.text.replace)
    if path.is_absolute() or ".." in path.parts:
        raise BigfootError(f"corpus.text.replace: {path} is not in corpus.data, where DVC watches it: move it to {data}")
    return corpus.model_copy(update={"text": replace(corpus.text, replace=_table(data / path))})


def _table(path: Path) -> dict[str, str]:
    table: dict[str, str] = {}
    try:
        with path.open(encoding="utf-8-sig", newline="") as lines:
            rows = csv.reader(lines, strict=True)
            if next(rows, None) != COLUMNS:
                raise BigfootError(f"{path}: its first line has to be from,to")
            for row in filter(None, rows):
                if len(row) != len(COLUMNS) or not row[0]:
                    raise BigfootError(f"{path}, line {rows.line_num}: needs two columns, what is replaced and by what")
                if table.setdefault(row[0], row[1]) != row[1]:
                    raise BigfootError(f"{path}, line {rows.line_num}: {row[0]!r} is replaced twice: keep one line")
    except FileNotFoundError:
        raise BigfootError(f"{path} is missing: corpus.text.replace names a CSV in corpus.data") from None
    except UnicodeDecodeError:
        raise BigfootError(f"{path} is not UTF-8 text: is it a CSV?") from None
    except (OSError, ValueError) as error:  # a folder; a name that no file can have
        raise BigfootError(f"{path} can't be read ({error}): corpus.text.replace names a CSV in corpus.data") from None
    except csv.Error as error:
        raise BigfootError(f"{path} is not valid CSV: {error}: is a quote left open?") from None
    return table
