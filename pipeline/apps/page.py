"""`bigfoot app`: a page on this machine that lets one recording be heard by several variants, side by side.

Decision: everything but the page itself works, and is tested, without Gradio, which is an optional extra. `Listener.hear` is
what a hearing is: text, errors against what was said, latency. Latency is measured here and now, one variant after the other,
each after one hearing that isn't timed (a runtime prepares itself for a length it hasn't met); it is what this machine does
while you look, and the comparison's figures are the ones to quote. Energy can't be measured in one hearing, so it is the
benchmark's, where there is one. Nothing leaves the machine: no share link, no usage data, no fonts from elsewhere.
"""

import html
import os
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from pipeline.benchmark.timings import REFERENCE
from pipeline.common.errors import BigfootError
from pipeline.common.numbers import percent, shown
from pipeline.compare import comparison
from pipeline.evaluate import wer
from pipeline.project import Project, load_params
from pipeline.recognition import uploads
from pipeline.recognition.recognizer import Recognizer
from pipeline.speech import audio, text
from pipeline.speech.corpus import read_info
from pipeline.speech.text import TextRules

MOST = 4  # variants, where nobody says which
LIMITS = uploads.Limits()
SLOW_SECONDS = 1.0  # a hearing that takes longer is timed once, others three times
INSTALL = 'gradio is not installed: run `make app`, which installs it, or pip install "bigfoot-asr[app]"'

Step = tuple[str, str, str]  # (equal, substitute, delete or insert; word of the reference; word heard), "" where there is none


@dataclass(frozen=True)
class Answer:
    """What one variant made of a recording; `wer` (a fraction) and `alignment` are None without a reference."""

    variant: str
    text: str
    latency_ms: float
    energy_wh_per_audio_hour: float | None
    wer: float | None = None
    errors: int | None = None
    words: int | None = None
    alignment: tuple[Step, ...] | None = None


class Listener:
    """Several variants, open, with the text rules of the corpus and the energy that the last benchmark found."""

    def __init__(self, folders: Sequence[Path], root: Path = Path()):
        self.recognizers = {folder: Recognizer.load(folder) for folder in folders}
        self.energy = {row.variant: row["energy_wh_per_audio_hour"] for row in _rows(root)}
        self.rules, self.rules_from = _rules(root)

    def hear(self, content: bytes, said: str = "") -> tuple[float, str, list[Answer]]:
        """One audio file and what was said in it, if known -> its seconds, the reference scored against, an answer a variant.

        Raises BigfootError where the file is no audio, or too long.
        """
        heard, reference = uploads.decode_upload(content, LIMITS), text.normalize(said, self.rules)
        answers = []
        for folder, recognizer in self.recognizers.items():
            name = recognizer.info.get("variant", folder.name)
            words, milliseconds = _timed(recognizer, heard)
            scored = compare(reference, words) if reference else {}
            answers.append(Answer(name, words, milliseconds, self.energy.get(name), **scored))
        return len(heard) / audio.SAMPLE_RATE, reference, answers


def compare(reference: str, hypothesis: str) -> dict:
    """How a text differs from its reference, as evaluate counts it: {wer, errors, words, alignment}."""
    steps = tuple((kind, said, heard) for kind, said, heard in wer.align(reference, hypothesis))
    errors, words = sum(kind != "equal" for kind, *_ in steps), sum(kind != "insert" for kind, *_ in steps)
    return {"wer": errors / words, "errors": errors, "words": words, "alignment": steps}


def chosen(root: Path = Path()) -> list[Path]:
    """The variants to open where none is named: teacher.fp32 and the champion of the last comparison, else the first four."""
    champion = comparison.champion_of(_rows(root))
    names = [REFERENCE, *([champion.variant] if champion else [])]
    project = Project(root)
    found = [project.variant(name) for name in names if (project.variant(name) / "variant.json").is_file()]
    if len(found) < 2:
        found = sorted(path.parent for path in project.variants.glob("*/variant.json"))[:MOST]
    if not found:
        raise BigfootError("there is no variant under variants/: run `dvc repro`, or name the folders of some")
    return found


def page(seconds: float, reference: str, answers: Sequence[Answer], rules: str) -> str:
    """The answers as HTML: a card a variant, and below what the figures are."""
    cards = "".join(_card(answer) for answer in answers)
    scored = f"Scored against “{html.escape(reference)}” by the text rules of {html.escape(rules)}. " if reference else ""
    notes = (
        f"{seconds:.1f} s of audio. {scored}Latency was measured just now in this process, after one hearing that isn't timed; "
        "energy per hour of audio is from the last benchmark (reports/comparison.json), not from this hearing."
    )
    return f'<div class="cards">{cards}</div><p class="notes">{notes}</p>'


def run(folders: Sequence[Path], host: str, port: int) -> None:
    """Open the page and keep it open until ctrl-C; BigfootError where Gradio is missing or the port is taken."""
    if find_spec("gradio") is None:
        raise BigfootError(INSTALL)
    blocks, looks = build(Listener(folders or chosen()))
    try:
        blocks.launch(server_name=host, server_port=port, prevent_thread_lock=True, **looks)
    except OSError:
        raise BigfootError(f"{host}:{port} can't be opened, most likely it is taken: choose another --port") from None
    print(f"http://{host}:{port}   (ctrl-C stops it)", flush=True)
    blocks.block_thread()


def build(listener: Listener):
    """The page, as Gradio's Blocks, and what its `launch` has to be given."""
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
    import gradio

    def hear(path: str | None, said: str) -> str:
        if not path:
            raise gradio.Error("Record something or drop a file first.", print_exception=False)
        try:
            return page(*listener.hear(Path(path).read_bytes(), said), listener.rules_from)
        except BigfootError as error:
            raise gradio.Error(str(error), print_exception=False) from None

    with gradio.Blocks(title="Bigfoot", analytics_enabled=False, delete_cache=(3600, 3600)) as blocks:
        gradio.Markdown("# Bigfoot\nOne recording, heard by several variants.")
        with gradio.Row():
            recording = gradio.Audio(sources=["upload", "microphone"], type="filepath", label="Audio", buttons=[])
            with gradio.Column():
                said = gradio.Textbox(label="What is said in it (optional)", lines=3, placeholder="to count errors against")
                button = gradio.Button("Listen", variant="primary")
        answers = gradio.HTML()
        gradio.on([button.click, said.submit], hear, [recording, said], answers, api_name="hear", concurrency_limit=1)
    fonts = {"font": ["system-ui", "sans-serif"], "font_mono": ["ui-monospace", "monospace"]}
    looks = {"theme": gradio.themes.Default(**fonts), "css": CSS, "share": False, "quiet": True, "ssr_mode": False}
    return blocks, {**looks, "run_history": False, "footer_links": [], "max_file_size": int(LIMITS.mb * 1e6)}


def _timed(recognizer: Recognizer, heard) -> tuple[str, float]:
    """The text, and the median time in ms to get it."""
    began = time.perf_counter()
    words, times = recognizer.transcribe(heard), []
    for _ in range(1 if time.perf_counter() - began > SLOW_SECONDS else 3):
        began = time.perf_counter()
        recognizer.transcribe(heard)
        times.append(1000 * (time.perf_counter() - began))
    return words, statistics.median(times)


def _rows(root: Path) -> list[comparison.Row]:
    """Those of the last comparison; none where there was none yet."""
    return comparison.read_rows(Project(root).reports / "comparison.json") if comparison.exists(root) else []


def _rules(root: Path) -> tuple[TextRules, str]:
    """The text rules of the prepared corpus that params.yaml names, else the defaults; and whose they are."""
    project = Project(root)
    if not project.params.is_file():
        return TextRules(), "Bigfoot (there is no params.yaml here)"
    corpus = project.corpus(load_params(project.params).corpus.name) / "corpus.json"
    if not corpus.is_file():
        return TextRules(), f"Bigfoot ({corpus.parent.name} isn't prepared)"
    return TextRules(**read_info(corpus.parent)["text"]), f"the corpus {corpus.parent.name}"


def _card(answer: Answer) -> str:
    figures = [] if answer.wer is None else [f"{percent(answer.wer)}% WER ({answer.errors} of {answer.words} words)"]
    figures.append(shown(answer.latency_ms, ".1f", " ms"))
    if answer.energy_wh_per_audio_hour is not None:
        figures.append(shown(answer.energy_wh_per_audio_hour, ".3g", " Wh per audio hour"))
    heard = " ".join(map(_marked, answer.alignment)) if answer.alignment else html.escape(answer.text) or "<i>(nothing)</i>"
    told = "".join(f"<li>{one}</li>" for one in figures)
    return f"<section><h3>{html.escape(answer.variant)}</h3><p>{heard}</p><ul>{told}</ul></section>"


def _marked(step: Step) -> str:
    """A step of the alignment: what was said and not heard is struck out, what was heard instead is underlined."""
    kind, said, heard = step
    if kind == "equal":
        return html.escape(said)
    parts = [f"<del>{html.escape(said)}</del>" if said else "", f"<ins>{html.escape(heard)}</ins>" if heard else ""]
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
