"""A project's own MLflow database: made whole or not at all, mended where its paths lead elsewhere, and made anew from files.

Decision: MLflow writes absolute paths into its database. Where the folder of artifacts is no longer where an experiment says,
the project was moved or copied, and all paths below the former folder are rewritten in one transaction. So are those of
experiments that the server of `make ui` made, which are addresses of that server: it keeps their files in the same folder.
"""

import os
import re
import sqlite3
from contextlib import closing
from datetime import datetime
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit

from pipeline.common import disk
from pipeline.common.addresses import safe
from pipeline.common.command import stage_main
from pipeline.common.errors import Away, BigfootError, Busy
from pipeline.project import SQLITE, Project

PROXIED = "mlflow-artifacts:"  # what a server calls its folder of artifacts
# Of the errors of a database that is broken, or another MLflow's.
BROKEN = ("malformed", "not a database", "no such table", "no such column", "alembic", "database schema")
# Where MLflow keeps paths of artifacts.
PATHS = {
    "experiments": ("artifact_location",), "runs": ("artifact_uri",), "logged_models": ("artifact_location",),
    "model_versions": ("source", "storage_location"),
}  # fmt: skip


def main() -> None:
    """Make or mend the database of the project in the current directory, before a server opens it: `make ui`."""
    database = path_of(Project().store)
    assert database, "a project's own store is a file"
    make(database)
    mend(database)


def path_of(uri: str) -> Path | None:
    """The file of a database's URI; None for a server."""
    return Path(uri.removeprefix(SQLITE)).resolve() if uri.startswith(SQLITE) else None


def place(database: Path, experiment: str) -> str:
    """The URI of the folder of an experiment's artifacts, a single one: beside the database, not in the current directory."""
    return (Project(database.parent).artifacts / quote(experiment, safe=" ")).as_uri()


def make(database: Path) -> None:
    """Make an empty database where there is none: beside it and then renamed, as MLflow can't open a half made one."""
    if database.exists():
        return
    from mlflow import MlflowClient

    partial = database.with_name(f"{database.name}.part")
    for left in (partial, Path(f"{partial}-journal")):
        left.unlink(missing_ok=True)
    MlflowClient(tracking_uri=f"{SQLITE}{partial}").search_experiments(max_results=1)
    os.replace(partial, database)


def mend(database: Path) -> bool:
    """Rewrite the paths of artifacts that don't lead to this project's folder; whether anything changed.

    Raises BigfootError where the database is broken, is held by another process, or can't be written.
    """
    try:
        return _mend(database)
    except sqlite3.Error as error:
        if "readonly" in str(error):
            reason = "has paths that lead elsewhere, and can't be written: check its permissions and its disk"
            raise BigfootError(f"{database} {reason}") from None
        raise explained(error, f"{SQLITE}{database}") from None


def _mend(database: Path) -> bool:
    artifacts = Project(database.parent).artifacts
    with closing(sqlite3.connect(database)) as connection, connection:
        mended = False
        for (before,) in connection.execute("SELECT artifact_location FROM experiments").fetchall():
            is_proxied = before.startswith(f"{PROXIED}/")
            folder, _, name = before.rpartition(f"{PROXIED}/" if is_proxied else f"/{artifacts.name}/")
            is_here = (artifacts / unquote(name)).is_dir() or not Path(unquote(urlsplit(before).path)).exists()
            # Another's experiment may have its files in a folder that is called so.
            is_own = is_proxied or (folder.startswith("file:") and is_here)
            if is_own and before != (now := f"{artifacts.as_uri()}/{name}"):
                _replace(connection, before, now)
                mended = True
        return mended


def _replace(connection: sqlite3.Connection, before: str, now: str) -> None:
    """Put one folder's URI in the place of another's, wherever a path is in it or below it."""
    for table, columns in PATHS.items():
        for column in columns:
            connection.execute(
                f"UPDATE {table} SET {column} = ? || substr({column}, ?) WHERE {column} = ? OR substr({column}, 1, ?) = ?",
                (now, len(before) + 1, before, len(before) + 1, before + "/"),
            )


def set_aside(database: Path) -> Path | None:
    """Rename a database, so that another can be made; returns its new path. Its artifacts stay where they are.

    Raises BigfootError where a process has it open, as the server of `make ui` has: it would go on with the former one.
    """
    if not database.exists():
        return None
    if users := _users(database):
        raise BigfootError(f"{database} is open in {' and '.join(users)}: stop that first (`make ui`, say)")
    kept = database.with_name(f"{database.name}.{datetime.now():%Y-%m-%d-%H%M%S}")
    database.rename(kept)
    for left in ("-journal", "-wal", "-shm"):
        if Path(f"{database}{left}").exists():
            Path(f"{database}{left}").rename(f"{kept}{left}")
    return kept


def _users(database: Path) -> list[str]:
    """Other processes that have a file open, as far as they may be seen: `mlflow (process 4711)`."""
    import psutil

    found = []
    for process in psutil.process_iter():
        try:
            if process.pid != os.getpid() and any(file.path == str(database) for file in process.open_files()):
                found.append(f"{process.name()} (process {process.pid})")
        except psutil.Error:  # another user's, or it has ended
            continue
    return found


def explained(error: Exception, uri: str) -> Exception:
    """An error of MLflow's or of what it uses as one line, a BigfootError that names the store; other errors as they are."""
    from filelock import Timeout
    from mlflow.exceptions import MlflowException
    from requests import RequestException

    if isinstance(error, BigfootError):
        return error
    text, database = " ".join(str(error).split()), path_of(uri)
    is_mlflows = isinstance(error, RequestException | MlflowException)
    if isinstance(error, Timeout):
        return Busy(f"another process of Bigfoot's holds {error.lock_file}: wait for it, or stop it")
    if isinstance(error, ImportError):
        return BigfootError(f"MLflow can't keep files where it is told to: {safe(text)}: install what the store needs")
    if is_mlflows and database is None:
        return _of_a_server(text, safe(uri))
    if database and (isinstance(error, sqlite3.DatabaseError) or "sqlite3." in text or any(sign in text for sign in BROKEN)):
        return _of_a_database(error, text.partition("[SQL")[0][:200], database)
    return BigfootError(f"MLflow refused: {safe(text)[:300]}") if is_mlflows else error


def _of_a_server(text: str, server: str) -> BigfootError:
    if "error responses" in text:
        return BigfootError(f"the MLflow server {server} answers with errors, its log says why: {safe(text)[-200:]}")
    if any(sign in text for sign in ("Max retries exceeded", "Connection aborted", "timed out")):
        return Away(f"no MLflow server at {server} (it went away)")
    if re.search("error code 401|unauthenticated|unauthorized", text, re.IGNORECASE):  # a proxy may answer in JSON
        login = "set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN"
        return BigfootError(f"the MLflow server {server} refuses the login, or asks for one: {login}")
    return BigfootError(f"MLFLOW_TRACKING_URI, {server}, can't be used: {safe(text)[:300]}")


def _of_a_database(error: Exception, text: str, database: Path) -> BigfootError:
    if "database is locked" in text or "IntegrityError" in text:  # two processes made the same run
        return Busy(f"another process holds {database}: wait for it, or stop it")
    if "readonly" in text:
        return BigfootError(f"{database} can't be written: check its permissions and its disk")
    if any(sign in text for sign in BROKEN):
        return BigfootError(f"{database} can't be used ({text}): `bigfoot track --rebuild` makes it anew from the files")
    return disk.as_line(error) or BigfootError(f"{database} can't be used ({text})")


if __name__ == "__main__":
    stage_main(main)
