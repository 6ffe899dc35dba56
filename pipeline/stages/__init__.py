"""Thin command lines, one module per DVC stage with the stage's name: each reads its params and calls one pure function.

That function gets its settings, its input folders and its output folder. Paths are defined only in pipeline/project.py.
A stage that DVC started ends with DVC, also where DVC is killed, and Ctrl-C ends it with one line. Both hold from here on,
before the stage's own imports, which take seconds.
"""

import inspect
import os
import secrets
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from pipeline.common.command import DVC_STAGE, quiet_interrupts, stage_main
from pipeline.common.parent import end_with_starter

if DVC_STAGE in os.environ:
    end_with_starter(DVC_STAGE)
sys.excepthook = quiet_interrupts

from pipeline.common.errors import BigfootError, Busy  # noqa: E402
from pipeline.common.files import write_whole  # noqa: E402
from pipeline.params import Params, Variant  # noqa: E402
from pipeline.project import Project  # noqa: E402
from pipeline.train import finished  # noqa: E402
from pipeline.train.launch import is_worker  # noqa: E402

DYING_SECONDS = 10.0  # how long what a killed stage started may take to end


def run(main: Callable[..., None]) -> None:
    """Run a stage's `main` with the command line's arguments, alone on its outs."""
    stage = str(sys.modules[main.__module__].__spec__.name).rpartition(".")[2]  # type: ignore[union-attr]  # by python -m

    def alone(*arguments: str) -> None:
        try:
            inspect.signature(main).bind(*arguments)
        except TypeError as error:
            raise BigfootError(f"{stage}: {error}") from None
        if is_worker():
            main(*arguments)
            return
        with _own("@".join([stage, *arguments])):
            finished.remove_recorded(Project().checkpoints, Project().lock)
            main(*arguments)

    stage_main(alone)


def variant_of(params: Params, slug: str | None, stage: str) -> Variant:
    """The variant of a slug; raises BigfootError, which lists the known ones, where the slug is unknown."""
    if slug not in params.variants:
        raise BigfootError(f"{stage}: unknown variant '{slug}': use one of params.yaml: {', '.join(params.variants)}")
    return params.variants[slug]


@contextmanager
def _own(stage: str) -> Iterator[None]:
    """Give the process the stage's outs and its temporary files."""
    with _lock(stage), _temporary_files(stage):
        yield


@contextmanager
def _lock(stage: str) -> Iterator[None]:
    """Keep a second start of the stage off its outs; raises Busy where another process works on them."""
    from filelock import FileLock, Timeout

    path = _note(stage, "lock")
    lock = FileLock(path, timeout=DYING_SECONDS)
    try:
        lock.acquire()
    except Timeout:
        raise Busy(f"{stage} runs here already, as process {path.read_text()}: wait for it, or stop it") from None
    with lock:
        path.write_text(str(os.getpid()))
        yield


@contextmanager
def _temporary_files(stage: str) -> Iterator[None]:
    """Give the stage, and all that it starts, a folder of its own for temporary files, after removing a killed one's.

    The folder is noted before it is made, so that no kill leaves one that is not known. The note says whose it is: a project
    that is copied while a stage runs has the note too, and not the folder.
    """
    note, project = _note(stage, "tmp"), str(Project().root.resolve())
    if note.is_file():
        left, _, owner = note.read_text().partition("\n")
        if owner in ("", project) or not Path(owner).exists():  # "": an older Bigfoot's; or the project was renamed
            shutil.rmtree(left, ignore_errors=True)
    host = tempfile.gettempdir()
    folder = Path(host) / f"bigfoot-{secrets.token_hex(4)}"
    write_whole(note, f"{folder}\n{project}")
    folder.mkdir(mode=0o700)
    os.environ["TMPDIR"] = tempfile.tempdir = str(folder)
    try:
        yield
    finally:
        os.environ["TMPDIR"] = tempfile.tempdir = host
        shutil.rmtree(folder, ignore_errors=True)
        note.unlink(missing_ok=True)


def _note(stage: str, kind: str) -> Path:
    """The file that says who works on a stage's outs, or where it keeps temporary files."""
    folder = Project().scratch / "locks"
    folder.mkdir(parents=True, exist_ok=True)
    return folder / f"{stage}.{kind}"
