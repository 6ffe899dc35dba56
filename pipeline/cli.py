"""Command line for everything except running the pipeline. Each command calls one function.

Commands that need a project are run in its folder. Imports stay inside commands, so that `bigfoot transcribe` loads PyTorch
only for a PyTorch variant.
"""

import filecmp
import os
import shutil
import subprocess
import sys
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from pipeline.common.command import errors_as_lines, exit_on_sigterm, log_to, open_stderr
from pipeline.common.errors import BigfootError
from pipeline.speech.live import Live

if TYPE_CHECKING:
    from pipeline.project import Project

app = typer.Typer(
    name="bigfoot",
    help="Turn one large wav2vec 2.0 recognizer into a family of small ones. `dvc repro` makes them; this does the rest.",
    no_args_is_help=True,
    rich_markup_mode="markdown",  # which joins the lines of a paragraph
    add_completion=False,
    pretty_exceptions_enable=False,
)


def _named(given: str) -> str:
    """A variant by its name, folder or slug, as every command takes it."""
    from pipeline.project import Project

    return Project().variant_name(given)


def _of_live(about: str, default: float) -> Any:
    return typer.Option(help=about, show_default=f"{default:g}", rich_help_panel="Live")


MAKE, COMPARE, RUN, MLFLOW = "Make students and variants", "Compare", "Use a variant", "Champion and MLflow"  # groups of --help
VARIANT = "Its name (half.int8-openvino), folder, or an MLflow model: models:/NAME@champion"
Named = Annotated[str, typer.Argument(help="A model (half) or a variant (half.int8-openvino)", parser=_named, metavar="NAME")]
MAX_SECONDS, MIN_SCORE = 15.0, 0.5  # of `align --cut`
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for programs")]
Chunk = Annotated[float | None, _of_live("Seconds of audio that are recognized at a time", Live.chunk)]
Left = Annotated[float | None, _of_live("Seconds heard again before each chunk", Live.left)]
Right = Annotated[float | None, _of_live("Seconds waited for after each chunk: fewer errors, later", Live.right)]
License = Annotated[str | None, typer.Option(help="The license of the weights, such as apache-2.0, for the card")]


def main() -> None:
    """The entry point: an error that the user can correct is one line on stderr and its exit status, without a traceback."""
    open_stderr()
    log_to(sys.stderr)
    exit_on_sigterm()
    with errors_as_lines():
        typer.main.get_command(app)()  # app() would put typer's own sys.excepthook in the place of exit_on_sigterm's


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


@app.command(rich_help_panel=RUN)
def transcribe(
    variant: Annotated[str, typer.Argument(help=VARIANT)],
    files: Annotated[
        list[str] | None,
        typer.Argument(
            help="Recordings of any format, rate and length; folders, at any depth; s3://, https:// ...; - for stdin"
        ),
    ] = None,
    form: Annotated[Literal["txt", "json", "srt", "vtt"], typer.Option("--format", help="The format of the output")] = "txt",
    out_dir: Annotated[Path | None, typer.Option(help="Write one file per recording into this folder, not to stdout")] = None,
    out: Annotated[
        Path | None, typer.Option(help="Write one table, .jsonl or .parquet; run it again after a stop, and it goes on")
    ] = None,
    channels: Annotated[
        Literal["mix", "first", "split"],
        typer.Option(help="Of several channels: their mix, the first one, or each by itself (a speaker per channel)"),
    ] = "mix",
    hot_words: Annotated[
        list[str] | None,
        typer.Option("--hot-word", help="A name or word to expect, made likelier; give it once for each: docs/decoding.md"),
    ] = None,
    workers: Annotated[int, typer.Option(min=1, max=1_024, help="Recordings transcribed in parallel, in one process each")] = 1,
    threads: Annotated[int | None, typer.Option(min=1, help="CPU threads per worker; by default the runtime chooses")] = None,
    is_live: Annotated[
        bool,
        typer.Option("--live", help="While it is spoken: - is PCM on stdin, no name the microphone", rich_help_panel="Live"),
    ] = False,
    chunk: Chunk = None,
    left: Left = None,
    right: Right = None,
) -> None:
    """Transcribe recordings, in the order named: as text, or with the times of words as JSON or subtitles.

    Text is one line per file, which begins with the file's name if there are several; JSON is one object per line. A file
    that can't be read is one line on stderr, the others are still transcribed, and the exit status is 1. docs/transcribe.md
    explains times and confidences, docs/live.md --live.
    """
    from pipeline.apps.transcription import batch, run
    from pipeline.project import Project

    if is_live:
        from pipeline.apps.live import run as live

        if out_dir or out or workers > 1 or channels != "mix" or hot_words or len(files or []) > 1:
            options = "--out-dir, --out, --workers, --channels and --hot-word"
            raise BigfootError(f"--live takes one source and writes to stdout: leave out {options}")
        live.transcribe(variant, files[0] if files else None, form, Project(), _live(chunk, left, right), threads)
        return
    if (chunk, left, right) != (None, None, None):
        raise BigfootError("--chunk, --left and --right are of --live: add it, or leave them out")
    if not files:
        raise BigfootError("name the recordings, or - for stdin; for the microphone add --live")
    how = (Project(), threads, workers, channels, hot_words or ())
    if out and (out_dir or form != "txt"):
        raise BigfootError("--out writes one table in the form of its name: leave out --out-dir and --format")
    is_complete = batch.transcribe(variant, files, out, *how) if out else run.transcribe(variant, files, form, out_dir, *how)
    if not is_complete:
        raise typer.Exit(1)


def _live(chunk: float | None, left: float | None, right: float | None) -> Live:
    given = {"chunk": chunk, "left": left, "right": right}
    try:
        return Live(**{name: value for name, value in given.items() if value is not None})
    except ValueError as error:
        raise BigfootError(f"--{error}") from None


@app.command(rich_help_panel=RUN)
def align(
    variant: Annotated[str, typer.Argument(help=VARIANT)],
    files: Annotated[list[str], typer.Argument(help="Recordings or folders of them; the transcript of a.wav is in a.txt")],
    form: Annotated[
        Literal["json", "srt", "textgrid", "ctm"], typer.Option("--format", help="The format of the output")
    ] = "json",
    out_dir: Annotated[Path | None, typer.Option(help="Write one file per recording into this folder, not to stdout")] = None,
    cut: Annotated[Path | None, typer.Option(help="Cut the recordings into utterances: write this JSONL manifest")] = None,
    max_seconds: Annotated[float, typer.Option(min=1, help="--cut: no utterance is longer")] = MAX_SECONDS,
    min_score: Annotated[
        float, typer.Option(min=0, max=1, help="--cut: leave out utterances whose score is lower")
    ] = MIN_SCORE,
    channels: Annotated[Literal["mix", "first"], typer.Option(help="Of several channels: their mix, or the first one")] = "mix",
    threads: Annotated[int | None, typer.Option(min=1, help="CPU threads; by default the runtime chooses")] = None,
) -> None:
    """Find when each word and character of known transcripts is spoken; with --cut, make training utterances of them.

    A recording that can't be read or aligned is one line on stderr, the others are still aligned, and the exit status is 1.
    docs/align.md explains times and scores.
    """
    from pipeline.apps.alignment import run
    from pipeline.project import Project

    if cut and (out_dir or form != "json"):
        raise BigfootError("--cut writes a manifest: leave out --out-dir and --format")
    if not cut and (max_seconds, min_score) != (MAX_SECONDS, MIN_SCORE):
        raise BigfootError("--max-seconds and --min-score are of --cut: add it, or leave them out")
    cutter = run.Cutter(cut, max_seconds, min_score) if cut else None
    write = cutter or run.Printer(form, out_dir)
    is_complete = run.align_recordings(variant, files, write, Project(), threads, channels)
    if cutter:
        print(cutter.finish())
    if not is_complete:
        raise typer.Exit(1)


@app.command(rich_help_panel=COMPARE)
def evaluate(
    names: Annotated[
        list[str],
        typer.Argument(
            metavar="[VARIANT]... TABLE", help="Variants, by default the champion, and a table of recordings and texts"
        ),
    ],
    page: Annotated[Path | None, typer.Option(help="Write an HTML file, too, which plays the worst utterances")] = None,
    json: AsJson = False,
) -> None:
    """Count the errors of variants on your own recordings: WER and CER with intervals, their difference, the worst utterances.

    Trains and changes nothing. A variant is given as in `bigfoot transcribe`. The table is one as for training: .csv, .tsv,
    .jsonl, a Kaldi folder (docs/recordings.md); its texts are written by the rules that the variant was made with. Only what
    can't be heard or has no text is left out, and counted.
    """
    from pipeline.apps.evaluation import formats, run
    from pipeline.apps.evaluation import page as html
    from pipeline.apps.transcription import outputs
    from pipeline.project import Project

    *variants, table = names
    if page and (page.exists() and page.suffix != ".html" or not page.parent.is_dir()):
        raise BigfootError(f"--page {page}: give a new file, or an .html file to replace, in a folder that exists")
    result = run.evaluate(Project(), variants, Path(table))
    print(formats.as_json(result) if json else formats.text(result), end="", flush=True)
    if page:
        with outputs.errors_of(page, "--page"):
            page.write_text(html.page(result), encoding="utf-8")


@app.command(rich_help_panel=MAKE)
def check(
    plan: Annotated[bool, typer.Option("--plan", help="Print the hours and the disk that `dvc repro` would take")] = False,
) -> None:
    """Check all of params.yaml, and print what `dvc repro` would run, how long it takes if the profile states that, how much
    memory each training needs, and which models have too few frames for some of the texts.

    Runs no stage. Errors are also: missing data, a scheme whose packages are not installed or that can't lower its model,
    and a pretrained model in a folder that can't be taken in: of its weights the names and shapes are read. A model that is on
    the hub is not looked at. Once the corpus is prepared, so is training.augment.join where it names no speakers.
    """
    from pipeline.common import graph
    from pipeline.distill import memory, texts
    from pipeline.prepare.report import gaps_note
    from pipeline.project import Project, load_params, require_data
    from pipeline.quantize import schemes
    from pipeline.train import speakers, teacher

    project = Project()
    params = load_params(project.params)
    require_data(project, params)
    on_the_hub = teacher.check(params.teacher, project.root / params.teacher.data)
    used = {variant.scheme: params.schemes[variant.scheme] for variant in params.variants.values()}
    for scheme, settings in used.items():
        schemes.require_packages(scheme, settings)
    schemes.check(params, lambda: memory.configs(params, project.root))
    corpus = project.corpus(params.corpus.name)
    speakers.check(params, corpus)
    found = [*schemes.not_timed_here(used), *memory.lines(params, project.root), *texts.lines(params, project.root, corpus)]
    names = ", ".join(["teacher", *params.students])
    print(f"params.yaml is valid: profile {params.profile}, models {names}, {len(params.variants)} variants")
    if on_the_hub:
        print(on_the_hub)
    if purpose := project.purpose():
        print(purpose)
    if note := gaps_note(params.corpus, corpus):
        print(note)
    for line in found:
        print(line)
    if project.graph.is_file():
        print(graph.plan(project.root))
    if plan:
        from pipeline.lab.plan import run

        print(run.text(params, project))


@app.command(rich_help_panel=MAKE)
def propose(
    max_mb: Annotated[float, typer.Option(min=0.0001, max=1e9, help="Megabytes (10^6 bytes) of a variant's folder, at most")],
    max_ms: Annotated[float, typer.Option(min=0.001, max=1e9, help="Milliseconds for --length seconds of audio, at most")],
    length: Annotated[float, typer.Option(min=0.1, max=30, help="Seconds of audio that --max-ms is for")] = 3.0,
    threads: Annotated[int, typer.Option(min=1, max=1_024, help="CPU threads")] = 1,
    runtime: Annotated[Literal["onnx", "openvino", "any"], typer.Option(help="The runtime; any: the better one")] = "any",
    max_wer_rise: Annotated[
        float | None,
        typer.Option(min=0, max=100, help="Points of WER (or CER) over the teacher, at most; by default gate.max_rise stays"),
    ] = None,
) -> None:
    """Propose students for a budget: shapes and schemes that fit, with their foretold size, time and memory, and the loss after
    a short distillation.

    The best are written into params.yaml as students and variants, for `dvc repro` to train and measure; earlier proposals are
    replaced. Needs the trained teacher. The first time, some untrained shapes are timed on this machine, for minutes, which
    .bigfoot/costs.json remembers. docs/propose.md explains the figures.
    """
    from pipeline.params import Budget
    from pipeline.project import Project
    from pipeline.propose import run

    budget = Budget(max_mb=max_mb, max_ms=max_ms, length=length, threads=threads, runtime=runtime, max_wer_rise=max_wer_rise)
    print(run.propose(Project(), budget))


@app.command(rich_help_panel=MLFLOW)
def track(
    rebuild: Annotated[
        bool,
        typer.Option("--rebuild", help="Set mlflow.db, with its earlier comparisons and champions, aside and make a new one"),
    ] = False,
) -> None:
    """Log what is on disk and not yet in MLflow: training runs, the last comparison, its variants and their models.

    The store is MLFLOW_TRACKING_URI, otherwise mlflow.db in this folder. Nothing is logged twice. If something could not be
    logged, one line says why and the exit status is 1; run the command again later.
    """
    from pipeline.project import Project, load_params
    from pipeline.tracking import sync

    if not (sync.rebuild if rebuild else sync.sync)(load_params(), Project().root):
        raise typer.Exit(1)


@app.command(rich_help_panel=COMPARE)
def table(json: AsJson = False) -> None:
    """Print the last comparison, and where to find more; as JSON one object per variant with all its figures."""
    from pipeline.common.files import read_text
    from pipeline.project import Project

    path = Project().comparison if json else Project().table
    if not path.is_file():
        raise BigfootError(f"{path} is missing: run `dvc repro` first, in the project's folder")
    print(read_text(path, "dvc repro compare"))
    if json:
        return
    print("More: `bigfoot table --json`, reports/index.html, `dvc metrics show`,")
    print("      `dvc plots show`, `mlflow ui --backend-store-uri sqlite:///mlflow.db`")


@app.command(rich_help_panel=COMPARE)
def schemes(json: AsJson = False) -> None:
    """List the schemes: each one's precision, granularity, hardware, limits and settings, and whether this machine runs it.

    `schemes` and `variants` in params.yaml name schemes. "yes" means that this machine makes and runs it as intended;
    otherwise the list shows what happens where the CPU lacks a feature. Settings are shown with their defaults. Each may decode
    with a language model, under a name such as int8-onnx+lm: docs/decoding.md.
    """
    from pipeline.quantize import table

    print(table.as_json() if json else table.text(), end="")


@app.command(rich_help_panel=MAKE)
def lm(
    out: Annotated[Path, typer.Argument(help="The file to write: .arpa, or .arpa.gz, which is smaller")],
    text: Annotated[
        Path | None, typer.Option(help="Learn from this file, a sentence a line, not from the text of the split train")
    ] = None,
    order: Annotated[int, typer.Option(min=1, max=6, help="Words of the longest n-gram")] = 3,
    least_count: Annotated[int, typer.Option(min=1, help="Leave out longer n-grams that occur less often")] = 1,
) -> None:
    """Make an n-gram language model, and print how well it foretells the text of dev. docs/decoding.md explains the figures.

    A file is written by the rules of corpus.text first. A scheme such as int8-onnx+lm makes its own from the split train; this
    is for other text, and to choose an order.
    """
    from pipeline.project import Project, load_params
    from pipeline.quantize import decodings
    from pipeline.speech.corpus import open_corpus

    if text and text.exists() and out.exists() and out.samefile(text):
        raise BigfootError(f"{out} is the text to learn from: name another file for the model")
    params = load_params()
    print(decodings.made(out, open_corpus(Project().corpus(params.corpus.name)), text, order, least_count))


@app.command(rich_help_panel=COMPARE)
def results(license: License = None) -> None:
    """Publish the last comparison: copy its figures to results/, and write RESULTS.md and README's tables from there.

    The tables of figures in docs/numbers.md and of params in docs/params.md are written too, from the lists in the code.
    Without a comparison on disk, as in a fresh clone, the figures in results/ are used.
    """
    from pipeline.lab import publish
    from pipeline.project import Project

    folder = publish.keep(Project().root, license)
    publish.write(Project().root)
    copied = f"the figures are in {folder}" if folder else "no comparison is on disk, results/ is unchanged"
    print(f"{copied}; RESULTS.md and README.md are updated")


@app.command(rich_help_panel=RUN)
def web(
    variants: Annotated[
        list[str] | None,
        typer.Argument(
            help="Variants in ONNX, the first of which is loaded at once; by default all of them", parser=_named, metavar="NAME"
        ),
    ] = None,
) -> None:
    """Build web/, a page that recognizes speech in the browser: static files, for any file server.

    In it are the variants of the last comparison that are in ONNX, the champion first. Needs onnxruntime-web in node_modules/:
    `make web` installs it and builds. docs/web.md explains the page and its figures.
    """
    from pipeline.apps.web import build
    from pipeline.project import Project

    print("\n".join(build.build(Project().root, variants or [], Project().page)))
    print("The page is in web/: `python -m http.server -d web -b 127.0.0.1` shows it at http://localhost:8000")


@app.command(rich_help_panel=RUN)
def serve(
    variant: Annotated[str, typer.Argument(help=VARIANT)],
    host: Annotated[str, typer.Option(help="0.0.0.0 opens the server, without a password, to the network")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65_535, help="The port; 0: a free one")] = 8000,
    workers: Annotated[int, typer.Option(min=1, max=1_024, help="Recognizers that streams are shared out among")] = 1,
    chunk: Chunk = None,
    left: Left = None,
    right: Right = None,
) -> None:
    """Serve a variant: /v1/audio/transcriptions for OpenAI's clients, /v1/live for streams, /health and /metrics.

    Limits are environment variables, BIGFOOT_SERVE_...; SIGTERM lets what is under way end. docs/serve.md explains both.
    """
    from pipeline.apps.serving import run
    from pipeline.project import Project

    run.serve(variant, Project(), _live(chunk, left, right), host, port, workers)


@app.command(rich_help_panel=COMPARE)
def gate(
    variants: Annotated[
        list[str] | None,
        typer.Argument(
            help="Variants that have to pass; if none is named, there has to be a champion", parser=_named, metavar="NAME"
        ),
    ] = None,
    json: AsJson = False,
) -> None:
    """Print whether each variant is within the budget of params.yaml, and why; for CI, exit status 0 if so, 1 if not.

    Reads the last comparison. Without names the gate passes if there is a champion, with names if all of them pass.
    """
    from pipeline.compare import gate
    from pipeline.project import Project, load_params

    verdict = gate.check(Project().root, load_params(), variants or [])
    print(verdict.as_json() if json else verdict.text())
    if not verdict.is_open:
        raise typer.Exit(1)


@app.command(rich_help_panel=MLFLOW)
def champion(json: AsJson = False) -> None:
    """Show the champion in MLflow's registry with its evidence, and the former ones."""
    from pipeline.project import Project, load_params
    from pipeline.tracking.history import history

    found = history(Project().root, load_params())
    print(found.as_json() if json else found.text())


@app.command(rich_help_panel=MLFLOW)
def promote(
    variant: Annotated[
        str,
        typer.Argument(help="A variant of the last comparison, such as half.int8-openvino", parser=_named, metavar="NAME"),
    ],
    force: Annotated[bool, typer.Option("--force", help="Even if it is worse, fails the gate or can't be compared")] = False,
) -> None:
    """Make a variant the champion in MLflow's registry, even one that was rolled back.

    `bigfoot track` promotes a better variant by itself.
    """
    from pipeline.project import Project, load_params
    from pipeline.tracking import registry

    print(registry.promote(Project().root, load_params(), variant, force))


@app.command(rich_help_panel=MLFLOW)
def rollback() -> None:
    """Make the former champion the champion again; the present one is not promoted again by itself."""
    from pipeline.project import Project, load_params
    from pipeline.tracking import registry

    print(registry.rollback(Project().root, load_params()))


@app.command(rich_help_panel=RUN)
def export(
    name: Named,
    out: Annotated[Path, typer.Argument(help="The folder to write")],
    layout: Annotated[
        str | None,
        typer.Option(
            "--for", help="Lay a variant out for other runtimes: onnx, openvino, onnx-asr, executorch or litert: docs/deploy.md"
        ),
    ] = None,
    license: License = None,
    force: Annotated[bool, typer.Option("--force", help="Write into a folder that is not empty")] = False,
) -> None:
    """Copy a model or variant into a folder, with its model card as README.md; with --for, as other runtimes open it."""
    from pipeline.apps import push
    from pipeline.project import Project

    print(f"{name} with its card is in {push.export(Project().root, name, out, force, license, layout)}")


@app.command(rich_help_panel=RUN)
def export_corpus(out: Annotated[Path, typer.Argument(help="The folder to write")]) -> None:
    """Copy the prepared corpus of params.yaml into a folder: a FLAC file per utterance, and a JSONL manifest per split."""
    from pipeline.apps import corpus_files
    from pipeline.project import Project, load_params
    from pipeline.speech.corpus import open_corpus

    corpus = open_corpus(Project().corpus(load_params().corpus.name))
    print(f"{corpus_files.export(corpus, out):,} utterances are in {out}")


@app.command(rich_help_panel=RUN)
def push(
    name: Named,
    repo: Annotated[str, typer.Argument(help="A repository on the hub, such as me/half-int8; created if it is missing")],
    private: Annotated[bool, typer.Option("--private", help="Create a new repository as private")] = False,
    endpoint: Annotated[str | None, typer.Option(envvar="HF_ENDPOINT", help="The hub; by default huggingface.co")] = None,
    revision: Annotated[str | None, typer.Option(help="The branch; created if it is missing")] = None,
    license: License = None,
    force: Annotated[bool, typer.Option("--force", help="Even if it does not pass the gate")] = False,
) -> None:
    """Upload a model or variant with its model card to a Hugging Face hub; the token is HF_TOKEN or that of `hf auth login`."""
    from pipeline.apps import push
    from pipeline.project import Project

    print(f"{name} is at {push.push(Project().root, name, repo, private, endpoint, revision, license, force)}")


@app.command(rich_help_panel=MAKE)
def use(
    profile: Annotated[str, typer.Argument(help="The name of a file in profiles/, without .yaml")],
    force: Annotated[bool, typer.Option("--force", help="Overwrite unsaved edits of params.yaml")] = False,
) -> None:
    """Copy a profile to params.yaml, and restore the outputs that `dvc repro` has already made with it.

    They come from DVC's cache, no stage runs; one whose code or data changed since then waits for `dvc repro`. Outputs that the
    profile does not have, or not yet, are removed from the folder, named, and stay in the cache. Edits of params.yaml that are
    neither committed nor in a profile are only overwritten with --force.
    """
    from pipeline.project import Project

    project = Project()
    source, target = project.profile(profile), project.params
    if not force and _has_unsaved_edits(project):
        raise BigfootError("params.yaml has edits that are neither committed nor in a profile: commit them, or add --force")
    beside = target.with_name(f".{target.name}.part")
    shutil.copyfile(source, beside)
    os.replace(beside, target)  # in place of a link to a profile, not through it
    print(f"params.yaml is now the profile {profile}; next: dvc repro")
    if project.lock.is_file():
        print(_restored(project), end="")
    if lacking := _lacking_data(project):
        print(f"first, since {lacking}\n\n{project.purpose()}")


def _lacking_data(project: "Project") -> str:
    """Which data that params.yaml names is missing, if any; the purpose of a profile says where to get it."""
    from pipeline.project import load_params, require_data

    with suppress(BigfootError):  # of params: `bigfoot check` says what is wrong with them
        params = load_params(project.params)
        try:
            require_data(project, params)
        except BigfootError as error:
            return str(error)
    return ""


def _has_unsaved_edits(project: "Project") -> bool:
    """Whether params.yaml equals neither a profile nor its version in git's last commit."""
    target = project.params
    if not target.is_file() or any(filecmp.cmp(target, path, shallow=False) for path in project.profiles.glob("*.yaml")):
        return False
    committed = subprocess.run(["git", "show", f"HEAD:./{target.name}"], cwd=target.parent, capture_output=True)
    return committed.returncode != 0 or committed.stdout != target.read_bytes()


def _restored(project: "Project") -> str:
    """Restores outputs from DVC's cache, and says what came and what went."""
    from pipeline.common import graph

    restored, removed = graph.restore(project.root)
    lines = [f"restored from DVC's cache: {', '.join(restored)}"] if restored else []
    if removed:
        lines.append(
            f"removed here, and kept in DVC's cache: {', '.join(removed)}; `bigfoot use` of their profile restores them"
        )
    return "".join(f"{line}\n" for line in lines)


if __name__ == "__main__":
    main()
