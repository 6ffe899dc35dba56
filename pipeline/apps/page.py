"""`bigfoot app`: a local page that transcribes one recording with several variants, side by side.

Decision: everything except the page itself works, and is tested, without Gradio, which is an optional extra.
`Transcribers.transcribe` gives text, errors against a reference, and latency. Latency is measured when you press the button,
one variant after the other, each after one untimed pass (a runtime prepares itself for a new length). It holds for this machine
at that moment; quote the comparison's figures instead. Energy can't be measured in so short a time, so it is taken from the
last benchmark, if there is one. Nothing leaves the machine: no share link, no usage data, no fonts from other servers.
"""

import html
import os
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict

import numpy as np

from pipeline.benchmark.timings import REFERENCE
from pipeline.common.errors import BigfootError
from pipeline.common.numbers import percent, shown
from pipeline.compare import comparison
from pipeline.evaluate import wer
from pipeline.project import Project, load_params
from pipeline.recognition import uploads
from pipeline.recognition.recognizer import Recognizer
from pipeline.speech import audio
from pipeline.speech.corpus import read_info
from pipeline.speech.normalization import normalize
from pipeline.speech.scoring import Scoring, scoring

if TYPE_CHECKING:
    import gradio

MOST = 4  # variants, where none is named
LIMITS = uploads.Limits()
SLOW_SECONDS = 1.0  # a pass that takes longer is timed once, others three times
INSTALL = 'gradio is not installed: run `make app`, which installs it, or pip install "bigfoot-asr[app]"'

# (equal, substitute, delete or insert; word of the reference; word of the hypothesis), "" where there is none
Step = tuple[str, str, str]


@dataclass(frozen=True)
class Answer:
    """One variant's text of a recording; `wer` (a fraction), counts and `alignment` are None without a reference."""

    variant: str
    text: str
    latency_ms: float
    energy_wh_per_audio_hour: float | None
    wer: float | None = None
    errors: int | None = None
    words: int | None = None
    alignment: tuple[Step, ...] | None = None


class Differences(TypedDict):
    """How a text differs from its reference."""

    wer: float
    errors: int
    words: int
    alignment: tuple[Step, ...]


class Transcribers:
    """Several opened variants, with the text rules of the corpus and the energy figures of the last benchmark.

    `root` is the project's folder, where both are read.
    """

    def __init__(self, folders: Sequence[Path], root: Path):
        self.recognizers = {folder: Recognizer.load(folder) for folder in folders}
        self.energy = {row.variant: row["energy_wh_per_audio_hour"] for row in _rows(root)}
        self.scoring, self.rules_from = _scoring(root)

    def transcribe(self, content: bytes, reference: str = "") -> tuple[float, str, list[Answer]]:
        """The bytes of an audio file, and its text if known -> its seconds, that text normalized, one answer per variant.

        Raises BigfootError where the file is not audio, or too long.
        """
        waveform = uploads.decode_upload(content, LIMITS)
        reference = normalize(reference, self.scoring.rules, self.scoring.language)
        answers = []
        for folder, recognizer in self.recognizers.items():
            name = recognizer.info.get("variant", folder.name)
            hypothesis, milliseconds = _timed(recognizer, waveform)
            energy = self.energy.get(name)
            if reference:
                answers.append(Answer(name, hypothesis, milliseconds, energy, **compare(reference, hypothesis)))
            else:
                answers.append(Answer(name, hypothesis, milliseconds, energy))
        return len(waveform) / audio.SAMPLE_RATE, reference, answers


def compare(reference: str, hypothesis: str) -> Differences:
    """How a text differs from its reference, counted as `evaluate` does."""
    steps = tuple((kind, missed, extra) for kind, missed, extra in wer.align(reference, hypothesis))
    errors, words = sum(kind != "equal" for kind, *_ in steps), sum(kind != "insert" for kind, *_ in steps)
    return {"wer": errors / words, "errors": errors, "words": words, "alignment": steps}


def default_variants(root: Path) -> list[Path]:
    """The folders of teacher.fp32 and the last comparison's champion, otherwise of the first four variants.

    Raises BigfootError where there is no variant.
    """
    champion = comparison.champion_of(_rows(root))
    names = [REFERENCE, *([champion.variant] if champion else [])]
    project = Project(root)
    folders = [project.variant(name) for name in names if (project.variant(name) / "variant.json").is_file()]
    if len(folders) < 2:
        folders = sorted(path.parent for path in project.variants.glob("*/variant.json"))[:MOST]
    if not folders:
        raise BigfootError(f"there are no variants in {project.variants}: run `dvc repro`, or name the folders of some")
    return folders


def page(seconds: float, reference: str, answers: Sequence[Answer], rules: str) -> str:
    """The answers as HTML: one card per variant, and a note on what the figures are."""
    cards = "".join(_card(answer) for answer in answers)
    scored = f"Scored against “{html.escape(reference)}” by the text rules of {html.escape(rules)}. " if reference else ""
    notes = (
        f"{seconds:.1f} s of audio. {scored}Latency was measured just now in this process, after one untimed pass; "
        "energy per hour of audio is from the last benchmark (reports/comparison.json), not from this recording."
    )
    return f'<div class="cards">{cards}</div><p class="notes">{notes}</p>'


def run(root: Path, folders: Sequence[Path], host: str, port: int) -> None:
    """Serve the page until Ctrl-C; `folders`: of the variants, by default `default_variants(root)`.

    Raises BigfootError where Gradio is missing, or the port is in use.
    """
    if find_spec("gradio") is None:
        raise BigfootError(INSTALL)
    blocks, looks = build(Transcribers(folders or default_variants(root), root))
    try:
        blocks.launch(server_name=host, server_port=port, prevent_thread_lock=True, **looks)
    except OSError:
        raise BigfootError(f"{host}:{port} can't be opened, most likely it is in use: choose another --port") from None
    print(f"http://{host}:{port}   (Ctrl-C stops it)", flush=True)
    blocks.block_thread()


def build(transcribers: Transcribers) -> "tuple[gradio.Blocks, dict]":
    """The page, as Gradio's Blocks, and the settings for its `launch`."""
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
    import gradio

    def transcribe(path: str | None, reference: str) -> str:
        if not path:
            raise gradio.Error("Record something or drop a file first.", print_exception=False)
        try:
            return page(*transcribers.transcribe(Path(path).read_bytes(), reference), transcribers.rules_from)
        except BigfootError as error:
            raise gradio.Error(str(error), print_exception=False) from None

    with gradio.Blocks(title="Bigfoot", analytics_enabled=False, delete_cache=(3600, 3600)) as blocks:
        gradio.Markdown("# Bigfoot\nOne recording, transcribed by several variants.")
        with gradio.Row():
            recording = gradio.Audio(sources=["upload", "microphone"], type="filepath", label="Audio", buttons=[])
            with gradio.Column():
                reference = gradio.Textbox(label="Its text (optional)", lines=3, placeholder="errors are counted against it")
                button = gradio.Button("Transcribe", variant="primary")
        answers = gradio.HTML()
        inputs = [recording, reference]
        gradio.on([button.click, reference.submit], transcribe, inputs, answers, api_name="transcribe", concurrency_limit=1)
    fonts = {"font": ["system-ui", "sans-serif"], "font_mono": ["ui-monospace", "monospace"]}
    looks = {"theme": gradio.themes.Default(**fonts), "css": CSS, "share": False, "quiet": True, "ssr_mode": False}
    return blocks, {**looks, "run_history": False, "footer_links": [], "max_file_size": int(LIMITS.mb * 1e6)}


def _timed(recognizer: Recognizer, waveform: np.ndarray) -> tuple[str, float]:
    """The text, and the median time in ms that it takes."""
    started = time.perf_counter()
    hypothesis, times = recognizer.transcribe(waveform), []
    for _ in range(1 if time.perf_counter() - started > SLOW_SECONDS else 3):
        started = time.perf_counter()
        recognizer.transcribe(waveform)
        times.append(1000 * (time.perf_counter() - started))
    return hypothesis, statistics.median(times)


def _rows(root: Path) -> list[comparison.Row]:
    """The rows of the last comparison; empty where there is none."""
    return comparison.read_rows(Project(root).comparison) if comparison.exists(root) else []


def _scoring(root: Path) -> tuple[Scoring, str]:
    """The text rules and language of the prepared corpus of params.yaml, else the defaults and English; and whose they are."""
    project = Project(root)
    if not project.params.is_file():
        return scoring({}), "Bigfoot (there is no params.yaml here)"
    corpus = project.corpus(load_params(project.params).corpus.name) / "corpus.json"
    if not corpus.is_file():
        return scoring({}), f"Bigfoot ({corpus.parent.name} isn't prepared)"
    return scoring(read_info(corpus.parent)), f"the corpus {corpus.parent.name}"


def _card(answer: Answer) -> str:
    figures = [] if answer.wer is None else [f"{percent(answer.wer)}% WER ({answer.errors} of {answer.words} words)"]
    figures.append(shown(answer.latency_ms, ".1f", " ms"))
    if answer.energy_wh_per_audio_hour is not None:
        figures.append(shown(answer.energy_wh_per_audio_hour, ".3g", " Wh per audio hour"))
    words = " ".join(map(_marked, answer.alignment)) if answer.alignment else html.escape(answer.text) or "<i>(no words)</i>"
    items = "".join(f"<li>{figure}</li>" for figure in figures)
    return f"<section><h3>{html.escape(answer.variant)}</h3><p>{words}</p><ul>{items}</ul></section>"


def _marked(step: Step) -> str:
    """A step of the alignment as HTML: a missed word of the reference is struck out, a wrong or extra word is underlined."""
    kind, missed, extra = step
    if kind == "equal":
        return html.escape(missed)
    parts = [f"<del>{html.escape(missed)}</del>" if missed else "", f"<ins>{html.escape(extra)}</ins>" if extra else ""]
    return " ".join(filter(None, parts))


CSS = """
.cards { display: grid; grid-template-columns: repeat(auto-fit, minmax(260px, 1fr)); gap: 16px; }
.cards section { border: 1px solid var(--border-color-primary); border-radius: 8px; padding: 12px 16px; }
.cards h3 { margin: 0 0 8px; font-weight: 600; }
.cards p { font-size: 1.15em; min-height: 2.4em; margin: 0 0 8px; }
.cards ul { list-style: none; margin: 0; padding: 0; color: var(--body-text-color-subdued); }
.cards del { color: #c62828; } .cards ins { color: #2e7d32; text-decoration: underline; }
.notes { color: var(--body-text-color-subdued); font-size: 0.9em; }
"""
