"""`bigfoot`, the command line for everything except running the pipeline. Each command calls one function.

Commands run in the project's folder. `transcribe` runs a variant without PyTorch unless the variant is a PyTorch one.
"""

import filecmp
import logging
import shutil
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Literal

import typer

from pipeline.common.errors import BigfootError

app = typer.Typer(
    name="bigfoot",
    help="Turn one large wav2vec 2.0 recognizer into a family of small ones. `dvc repro` makes them, these do the rest.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

Named = Annotated[str, typer.Argument(help="A model (half) or a variant (half.int8-openvino)")]
License = Annotated[str | None, typer.Option(help="License of the weights, for the card, such as apache-2.0")]


def main() -> None:
    """The entry point: a user's mistake is one line on stderr and exit status 1, never a traceback."""
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    try:
        app()
    except BigfootError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(error.status)


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"bigfoot {version('bigfoot-asr')}")
        raise typer.Exit


@app.callback()
def options(
    show_version: Annotated[
        bool, typer.Option("--version", help="Print the version and exit", is_eager=True, callback=_print_version)
    ] = False,
) -> None:
    """Options of `bigfoot` itself, before any command."""


@app.command()
def transcribe(
    variant: Annotated[
        str,
        typer.Argument(
            help="A variant's folder, such as variants/half.int8-openvino, or an MLflow model: models:/NAME@champion"
        ),
    ],
    files: Annotated[
        list[str], typer.Argument(help="WAV, FLAC, MP3, OGG or Opus of any rate and length; folders, at any depth; - for stdin")
    ],
    form: Annotated[Literal["txt", "json", "srt", "vtt"], typer.Option("--format", help="Output format")] = "txt",
    out_dir: Annotated[
        Path | None, typer.Option(help="Write one file per recording into this folder instead of stdout")
    ] = None,
    workers: Annotated[int, typer.Option(min=1, help="Recordings transcribed in parallel, one process each")] = 1,
    threads: Annotated[int | None, typer.Option(min=1, help="CPU threads per process; by default the runtime chooses")] = None,
) -> None:
    """Transcribe recordings, in the given order: as text, or as JSON or subtitles with word times.

    Text is one line per file, after the file's name if there are several; JSON is one object per line. A file that can't
    be read is named on stderr, the others are still transcribed, and the exit status is 1. docs/transcribe.md defines times and
    confidences.
    """
    from pipeline.apps.transcription import run
    from pipeline.project import Project

    if not run.transcribe(variant, files, form, out_dir, Project().database, threads, workers):
        raise typer.Exit(1)


@app.command()
def check() -> None:
    """Check params.yaml as a whole and print what `dvc repro` would run, and how long that takes where the profile says so.

    Nothing is run: `dvc repro` itself only hands each stage its own sections of params.yaml. A scheme whose packages are not
    installed is refused.
    """
    from pipeline.common import graph
    from pipeline.project import Project, load_params
    from pipeline.quantize.schemes import require_packages

    p, project = load_params(), Project()
    for scheme in dict.fromkeys(variant.scheme for variant in p.variants.values()):
        require_packages(scheme, p.schemes[scheme])
    names = ", ".join(["teacher", *p.students])
    print(f"params.yaml is sound: profile {p.profile}, models {names}, {len(p.variants)} variants")
    if purpose := project.purpose():
        print(purpose)
    if project.graph.is_file():
        print(graph.plan(project.root))


@app.command()
def track() -> None:
    """Log to MLflow what it lacks of this folder: training runs, the last comparison, its variants and their models.

    The store is MLFLOW_TRACKING_URI, otherwise mlflow.db in this folder. Nothing is logged twice. If the server can't be
    reached, there is one warning, and nothing is lost.
    """
    from pipeline.project import Project, load_params
    from pipeline.tracking.sync import sync

    sync(load_params(), Project().root)


@app.command()
def table() -> None:
    """Print the last comparison again, and where more is to be seen."""
    from pipeline.project import Project

    path = Project().reports / "table.txt"
    if not path.is_file():
        raise BigfootError(f"{path} is missing: run `dvc repro` first, in the project's folder")
    print(path.read_text(encoding="utf-8"))
    print("More: reports/index.html · dvc metrics show · dvc plots show · mlflow ui --backend-store-uri sqlite:///mlflow.db")


@app.command()
def schemes() -> None:
    """List the schemes: what each lowers and how finely, its hardware, limits and settings, and whether this machine runs it.

    A scheme is what `schemes` and `variants` in params.yaml name. "yes" means that this machine makes it and runs it as
    intended; where the CPU lacks a feature, what happens instead is said. Settings are shown with their defaults.
    """
    from pipeline.quantize import table

    print(table.text(), end="")


@app.command()
def results() -> None:
    """Publish the last comparison: keep its figures under results/, and write RESULTS.md and README's tables from there.

    The glossary of figures in docs/numbers.md is written too, from the list in the code.

    Without a comparison on disk, as in a fresh clone, they are written from what is kept.
    """
    from pipeline.lab import publish as published
    from pipeline.project import Project

    folder = published.keep(Project().root)
    published.write(Project().root)
    kept = f"{folder} holds the figures" if folder else "no comparison is on disk, results/ stays as it was"
    print(f"{kept}; RESULTS.md and README.md are written anew")


@app.command(name="app")
def page(
    variants: Annotated[
        list[Path] | None,
        typer.Argument(help="Variants' folders; by default teacher.fp32 and the champion, else the first four of variants/"),
    ] = None,
    port: Annotated[int, typer.Option(min=1, max=65_535, help="Where the page is")] = 7860,
    host: Annotated[str, typer.Option(help="0.0.0.0 shows the page, without a password, to the network")] = "127.0.0.1",
) -> None:
    """Open a page on this machine: record or drop a file, and compare the transcripts of several variants.

    It shows their text, their errors against a reference that you type, latency and energy. It needs the extra `app`:
    `make app` installs it and opens the page. docs/app.md defines the figures.
    """
    from pipeline.apps import page as local
    from pipeline.project import Project

    local.run(Project().root, variants or [], host, port)


@app.command()
def gate(
    variants: Annotated[
        list[str] | None, typer.Argument(help="Variants that have to pass; without names there has to be a champion")
    ] = None,
) -> None:
    """Report for each variant whether it keeps the budget of params.yaml, and why; exit status 0 if so, 1 if not, for CI.

    It reads the last comparison. Without names it succeeds where there is a champion, with names where all of them pass.
    """
    from pipeline.compare import gate
    from pipeline.project import Project, load_params

    is_open, lines = gate.check(Project().root, load_params(), variants or [])
    print("\n".join(lines))
    if not is_open:
        raise typer.Exit(1)


@app.command()
def champion() -> None:
    """Show the champion in MLflow's registry with its evidence, and those before it."""
    from pipeline.project import Project, load_params
    from pipeline.tracking import registry

    print("\n".join(registry.history(Project().root, load_params())))


@app.command()
def promote(
    variant: Annotated[str, typer.Argument(help="A variant of the last comparison, such as half.int8-openvino")],
    force: Annotated[bool, typer.Option("--force", help="Even if it is worse, fails the gate or can't be compared")] = False,
) -> None:
    """Make a variant the champion in MLflow's registry; `bigfoot track` does so by itself where the variant is better.

    It also promotes a variant that was rolled back.
    """
    from pipeline.project import Project, load_params
    from pipeline.tracking import registry

    print(registry.promote(Project().root, load_params(), variant, force))


@app.command()
def rollback() -> None:
    """Move the alias `champion` back to the former champion; the present one is not promoted again by itself."""
    from pipeline.project import Project, load_params
    from pipeline.tracking import registry

    print(registry.rollback(Project().root, load_params()))


@app.command()
def export(
    name: Named,
    out: Annotated[Path, typer.Argument(help="The folder it goes to")],
    license: License = None,
    force: Annotated[bool, typer.Option("--force", help="Write into a folder that isn't empty")] = False,
) -> None:
    """Copy a model or variant into a folder, with its model card as README.md."""
    from pipeline.apps import push
    from pipeline.project import Project

    print(f"{name} with its card is in {push.export(Project().root, name, out, force, license)}")


@app.command()
def push(
    name: Named,
    repo: Annotated[str, typer.Argument(help="A name on the hub, such as me/half-int8; made if it isn't there")],
    private: Annotated[bool, typer.Option("--private", help="Make a new repository private")] = False,
    endpoint: Annotated[str | None, typer.Option(envvar="HF_ENDPOINT", help="The hub; by default huggingface.co")] = None,
    revision: Annotated[str | None, typer.Option(help="The branch; made if it isn't there")] = None,
    license: License = None,
    force: Annotated[bool, typer.Option("--force", help="Even if it doesn't pass the gate")] = False,
) -> None:
    """Put a model or variant with its model card on a Hugging Face hub; the token is HF_TOKEN's or `hf auth login`'s."""
    from pipeline.apps import push
    from pipeline.project import Project

    print(f"{name} is at {push.push(Project().root, name, repo, private, endpoint, revision, license, force)}")


@app.command()
def use(
    profile: Annotated[str, typer.Argument(help="The name of a file in profiles/, without .yaml")],
    force: Annotated[bool, typer.Option("--force", help="Overwrite edits of params.yaml that are saved nowhere")] = False,
) -> None:
    """Make a profile the params.yaml in use, and bring back what `dvc repro` has made of it before.

    Edits of params.yaml that are neither committed nor in a profile are not overwritten, except by --force.
    """
    from pipeline.project import Project

    project = Project()
    chosen, target = project.profile(profile), project.params
    if not force and _has_unsaved_edits(target):
        raise BigfootError("params.yaml has edits that are neither committed nor in a profile: commit them, or add --force")
    shutil.copyfile(chosen, target)
    print(f"params.yaml is now the profile {profile}; next: dvc repro")
    if project.lock.is_file():
        _checkout()


def _has_unsaved_edits(target: Path) -> bool:
    """Whether a params.yaml holds what neither git's last commit nor any profile has."""
    from pipeline.project import Project

    if not target.is_file() or any(filecmp.cmp(target, path, shallow=False) for path in Project().profiles.glob("*.yaml")):
        return False
    committed = subprocess.run(["git", "show", f"HEAD:./{target.name}"], cwd=target.parent, capture_output=True)
    return committed.returncode != 0 or committed.stdout != target.read_bytes()


def _checkout() -> None:
    """`dvc checkout`: outs of the profile in use come back from the cache, those of no stage any more are cleared."""
    done = subprocess.run([sys.executable, "-m", "dvc", "checkout", "--quiet"], capture_output=True, text=True)
    if done.returncode:  # so it is wherever a stage of this profile has not run yet: repro makes what is missing
        logging.getLogger(__name__).debug("dvc checkout: %s", done.stderr)


if __name__ == "__main__":
    main()
