"""`bigfoot web`: a folder of static files that recognizes speech in a browser, with the ONNX variants of the last run inside.

Decisions, and what they cost:
- The page is static: any file server serves it, and once it was opened it needs none. Each model is what `bigfoot export` makes
  of a variant, so the page's text is that of the exported graph.
- The runtime is onnxruntime-web (14 MB of WebAssembly), from node_modules/ as package-lock.json pins it. A file server doesn't
  compress, so the build does (3.7 MB), and the page unpacks. transformers.js would bring the same runtime and a second decoder.
- The first model is loaded with the page and stored with it for use without a network; others when they are chosen.
- Five recordings of the test set come with the page, unless the corpus is proprietary: whoever opens the page can save them.
"""

import gzip
import hashlib
import json
import math
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pipeline.apps import push
from pipeline.common.errors import BigfootError
from pipeline.common.files import read_json, write_json
from pipeline.compare import comparison
from pipeline.compare.comparison import Row
from pipeline.evaluate import scores
from pipeline.params import Variant
from pipeline.project import Project
from pipeline.recognition import seal
from pipeline.speech.corpus import Corpus, open_corpus

PAGE = Path(__file__).parent / "page"
RUNTIME = Path("node_modules") / "onnxruntime-web" / "dist"
EXAMPLES, LONGEST_EXAMPLE = 5, 30  # seconds
PROPRIETARY = "proprietary"  # what docs/own-data.md calls data that may not be passed on


def build(root: Path, names: Sequence[str], out: Path) -> list[str]:
    """Write the page into the folder `out`, in place of an older one; `names`: its variants, by default all in ONNX.

    Returns lines on what is in it. Raises BigfootError where a variant is unknown or not in ONNX, the runtime isn't installed,
    or `out` has something else.
    """
    out = out.resolve()  # a link to a web root stays one
    compared = comparison.read(root)
    chosen = _chosen(compared.rows, names)
    if out.exists() and any(out.iterdir()) and not (out / "files.js").is_file():
        raise BigfootError(f"{out} has something other than the page in it: move it away")
    corpus = open_corpus(Project(root).corpus(compared.corpus))
    Project(root).scratch.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="web-", dir=Project(root).scratch) as scratch:
        page = Path(scratch) / "page"
        shutil.copytree(PAGE, page)
        runtime_bytes = _runtime(root, page / "runtime")
        models = [_model(root, row, page, corpus.info.get("objective", "wer")) for row in chosen]
        examples = _examples(root, corpus, page)
        words = _scored_words(Project(root), chosen[0], corpus)
        write_json(page / "models.json", _about(corpus, models, examples, runtime_bytes, words))
        _list_files(page, {models[0]["file"]})
        shutil.rmtree(out, ignore_errors=True)
        shutil.move(page, out)
    return _lines(compared.champion, models, examples, corpus)


def _chosen(rows: Sequence[Row], names: Sequence[str]) -> list[Row]:
    """The rows of the named variants, else of all in ONNX: the champion, those within the budget by size, the others.

    Those with a language model are left out: the page decodes greedily.
    """
    known = {row.variant: row for row in rows if row.runtime == "onnxruntime" and row.kind == "own" and "+" not in row.scheme}
    if not known:
        raise BigfootError("no compared variant is in ONNX, which is what a browser runs: add one with scheme int8-onnx")
    if unknown := [name for name in names if name not in known]:
        raise BigfootError(f"{unknown[0]} is none of the compared variants in ONNX, which a browser runs: {', '.join(known)}")
    if names:
        return [known[name] for name in dict.fromkeys(names)]
    return sorted(known.values(), key=lambda row: (not row.champion, not row.gate.passed, row["disk_mb"]))


def _runtime(root: Path, out: Path) -> int:
    """Vendor ONNX Runtime Web, its WebAssembly compressed; returns the bytes that a browser loads."""
    folder = root / RUNTIME
    if not folder.is_dir():
        raise BigfootError(f"{folder} is missing: run `make web`, which installs it with npm (Node.js 20 or newer) and builds")
    out.mkdir()
    shutil.copyfile(folder / "ort.wasm.bundle.min.mjs", out / "ort.mjs")
    packed = gzip.compress((folder / "ort-wasm-simd-threaded.wasm").read_bytes(), mtime=0)
    (out / "ort.wasm.gzip").write_bytes(packed)  # not .gz: some servers would unpack that by themselves
    return len(packed) + (out / "ort.mjs").stat().st_size


def _model(root: Path, row: Row, page: Path, objective: str) -> dict[str, Any]:
    """Export a variant into the page; returns what the page has to know of it."""
    folder = push.export(root, row.variant, page / "exported" / row.variant, layout="onnx")
    if list(folder.glob("onnx/*_data")):
        raise BigfootError(f"{row.variant} has weights of more than 2 GB, too many for a browser: name other variants")
    (graph,) = folder.glob("onnx/*.onnx")
    info = seal.read_info(Project(root).variant(row.variant))
    return {
        "name": row.variant, "champion": row.champion,
        "file": graph.relative_to(page).as_posix(), "bytes": graph.stat().st_size,
        "rate": row[objective], "low": row[f"{objective}_low"], "high": row[f"{objective}_high"],
        "tokens": info["vocab"], "blank": info["blank"],
        "hop": math.prod(info["conv_strides"]), "field": seal.receptive_field(info),
    }  # fmt: skip


def _examples(root: Path, corpus: Corpus, page: Path) -> list[dict[str, Any]]:
    """The worst utterances of the first test set, as FLAC files; none of a proprietary corpus."""
    if _is_proprietary(corpus):
        return []
    test = corpus.test_sets[0]
    mistakes = read_json(Project(root).reports / "worst.json", "dvc repro compare", list)
    worst = [mistake["id"] for mistake in mistakes if mistake["set"] == test]
    by_id = {utterance.id: utterance for utterance in corpus.utterances(test)}
    utterances = [by_id[name] for name in worst if name in by_id and by_id[name].duration <= LONGEST_EXAMPLE][:EXAMPLES]
    examples = []
    for number, utterance in enumerate(utterances, start=1):
        file = page / "examples" / f"{number}.flac"
        file.parent.mkdir(exist_ok=True)
        file.write_bytes(corpus.flac(utterance))
        name = file.relative_to(page).as_posix()
        examples.append({"file": name, "text": utterance.text, "seconds": utterance.duration})
    return examples


def _scored_words(project: Project, row: Row, corpus: Corpus) -> int:
    """How many words of the first test set were scored, which may be a part of it; all, where the score is not here."""
    test, file = corpus.test_sets[0], project.score(row.variant)
    if not file.is_file():
        return corpus.info["splits"][test]["words"]
    return scores.read(file, Variant(model=row.model, scheme=row.scheme).slug).sets[test].words


def _about(corpus: Corpus, models: list, examples: list, runtime_bytes: int, test_words: int) -> dict[str, Any]:
    """models.json: what the page knows. `test_words`: those of the test set that were scored."""
    info, test = corpus.info, corpus.test_sets[0]
    return {
        "corpus": info["name"], "synthetic": info.get("synthetic", False), "objective": info.get("objective", "wer"),
        "language": info.get("language", "en"), "test": test, "test_words": test_words,
        "runtime_bytes": runtime_bytes, "models": models, "examples": examples,
    }  # fmt: skip


def _list_files(page: Path, first: set[str]) -> None:
    """Write files.js, the service worker's list: all that it stores at once, under a hash of the whole page."""
    files = {path.relative_to(page).as_posix(): path for path in sorted(page.rglob("*")) if path.is_file()}
    digest = hashlib.sha256()
    for name, path in files.items():
        digest.update(f"{name}\n".encode() + hashlib.sha256(path.read_bytes()).digest())
    later = {name for name in files if name.startswith(("exported/", "examples/"))} - first
    stored = ["./", *sorted(set(files) - later - {"index.html", "sw.js"})]  # a browser asks for the folder, not for index.html
    text = f"const VERSION = {json.dumps(digest.hexdigest()[:16])};\nconst FILES = {json.dumps(stored, indent=1)};\n"
    (page / "files.js").write_text(text, encoding="utf-8")


def _is_proprietary(corpus: Corpus) -> bool:
    return corpus.info.get("license", PROPRIETARY).lower() == PROPRIETARY


def _lines(champion: Row | None, models: list, examples: list, corpus: Corpus) -> list[str]:
    """What is in the page, and what is not that one may expect."""
    lines = [f"{model['name']}: {model['bytes'] / 1e6:.1f} MB" for model in models]
    if champion and champion.variant not in [model["name"] for model in models]:
        lines.append(f"The champion, {champion.variant}, is not among them")
    if _is_proprietary(corpus):
        return [*lines, "No recording of the test set: the corpus is proprietary"]
    return [*lines, f"{len(examples)} recordings of the test set, under the license of the corpus: {corpus.info['license']}"]
