"""The decoding of a scheme such as int8-onnx+lm: a language model beside the weights, and what of it is chosen on dev.

A scheme's name may end in + and the name of a decoding; then its settings hold `lm`, the language model:

    schemes:
      int8-onnx: {}
      int8-onnx+lm: {lm: {order: 3}}

Decision: it is a scheme, because a variant is named by that, and a variant's DVC stage depends on its settings alone. The
price: settings of the scheme without it are written again, and its weights are made again (to the same bytes). A file outside
the corpus is no dependency that DVC could watch, so params.yaml pins its hash.

The two weights are the best of ALPHAS x BETAS at a beam of BEAM on at most HOURS of dev; then the beam is the smallest of BEAMS
with no more errors than any other. Neither gate nor test chooses anything. Of equally good weights the smaller are taken.
"""

import logging
import shutil
from collections.abc import Callable, Mapping
from itertools import product
from pathlib import Path

import numpy as np
from pydantic import Field, ValidationError, model_validator

from pipeline.common.errors import BigfootError
from pipeline.common.files import read_text, sha256
from pipeline.common.settings import Settings
from pipeline.quantize import ngrams
from pipeline.recognition import decoding, language_model, runtimes
from pipeline.recognition.recognizer import Recognizer
from pipeline.speech.corpus import Corpus, drawn
from pipeline.speech.normalization import normalize
from pipeline.speech.scoring import UNITS, scoring

MARK = "+"  # between the name of a scheme and that of its decoding
ALPHAS, BETAS = (0.1, 0.25, 0.5, 1.0, 1.5), (0.0, 1.0, 2.0, 4.0)
BEAMS, BEAM = (8, 16, 32, 64, 128), 32
HOURS, SEED = 0.5, 7

log = logging.getLogger(__name__)


class LanguageModelSettings(Settings):
    """`schemes.NAME.lm`: where the language model of a decoding comes from."""

    file: str | None = Field(
        None, description="an ARPA file (.arpa, .arpa.gz) or KenLM's binary of one; null: an n-gram of the training text"
    )
    sha256: str | None = Field(
        None, pattern=r"^[0-9a-f]{64}$", description="of the file, which DVC doesn't watch: sha256sum prints it"
    )
    order: int = Field(3, ge=1, le=6, description="words of the longest n-gram")
    least_count: int = Field(
        1, ge=1, le=1_000_000, description="n-grams of two words and more that occur less often are left out"
    )

    @model_validator(mode="after")
    def _file_is_pinned(self) -> "LanguageModelSettings":
        if (self.file is None) != (self.sha256 is None):
            raise ValueError("file and sha256 belong together: give both, or neither for an n-gram of the training text")
        if self.file is not None and self.model_fields_set & {"order", "least_count"}:
            raise ValueError("order and least_count are for an n-gram of the training text, not for a file: leave them out")
        return self


def of(scheme: str, settings: Mapping | None) -> LanguageModelSettings | None:
    """The language model of a scheme, None where there is none. Raises BigfootError where its name and settings disagree."""
    given = (settings or {}).get("lm")
    if (MARK in scheme) != (given is not None):
        raise BigfootError(
            f"schemes.{scheme}: a scheme that decodes with a language model has a {MARK} in its name and the setting lm: "
            f"write both (int8-onnx{MARK}lm: {{lm: {{order: 3}}}}), or neither"
        )
    if given is None:
        return None
    try:
        return LanguageModelSettings.model_validate(given)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(["schemes", scheme, "lm", *map(str, first["loc"])])
        message = first["msg"].removeprefix("Value error, ")
        raise BigfootError(f"{key}: {message} (settings of lm: {', '.join(LanguageModelSettings.model_fields)})") from None


def check(settings: LanguageModelSettings) -> None:
    """Raise BigfootError where a language model of the user's own is missing, another one, or can't be read."""
    if settings.file is None:
        return
    source = Path(settings.file)
    if not source.is_file():
        raise BigfootError(f"lm.file: {source} is missing: put it there, or correct the path")
    if (found := sha256(source)) != settings.sha256:
        raise BigfootError(f"lm.file: {source} is another file than lm.sha256 says: set it to {found}, or get the right one")
    language_model.words(source)


def write(settings: LanguageModelSettings, corpus: Corpus, folder: Path, info: dict) -> dict:
    """Write the language model into a variant's folder, whose `info` is complete but for its decoding; returns `decoding`.

    That is what `pipeline.recognition.decoding` reads, and the evidence: `dev`, errors on dev as {"greedy": ..., "beam search":
    ..., "of": words, "utterances": ...}. Raises BigfootError where the file is another one, or can't be read.
    """
    file = _put(settings, corpus, folder)
    run = runtimes.start(folder, info["runtime"], info["file"], precision=info["precision"])
    utterances, recognizer, scored_as = (
        drawn(corpus.utterances("dev"), HOURS, SEED),
        Recognizer(info, run),
        scoring(corpus.rules),
    )
    logits = [recognizer.logits(corpus.audio(utterance)) for utterance in utterances]

    def errors(decode: Callable[[np.ndarray], str]) -> tuple[int, int]:
        return scored_as.errors((utterance.text, decode(each)) for utterance, each in zip(utterances, logits, strict=True))

    def searched(alpha: float, beta: float, beam: int) -> int:
        weights = {"file": file, "alpha": alpha, "beta": beta, "beam": beam}
        return errors(decoding.BeamDecoder(info | {"decoding": weights}, folder).text)[0]

    chosen, least = _chosen(searched)
    greedy, of = errors(recognizer.text)
    objective = scored_as.objective
    log.info("%s: %d errors on dev, %d greedily, of %d %s; %s", info["variant"], least, greedy, of, UNITS[objective], chosen)
    dev = {"greedy": greedy, "beam search": least, "of": of, "objective": objective, "utterances": len(utterances)}
    return {"file": file, **chosen, "settings": settings.model_dump(), "dev": dev}


def _chosen(errors: Callable[[float, float, int], int]) -> tuple[dict[str, float], int]:
    """The weights and the beam with the fewest errors, and how many these are."""
    of_weights = {(alpha, beta): errors(alpha, beta, BEAM) for alpha, beta in product(ALPHAS, BETAS)}
    alpha, beta = min(of_weights, key=lambda weights: (of_weights[weights], weights))
    of_beams = {beam: errors(alpha, beta, beam) for beam in BEAMS}
    beam = min(of_beams, key=lambda beam: (of_beams[beam], beam))
    return {"alpha": alpha, "beta": beta, "beam": beam}, of_beams[beam]


def made(out: Path, corpus: Corpus, text: Path | None, order: int, least_count: int) -> str:
    """Write the n-gram model of a text file, None: of the corpus's split train; returns its figures on dev, for a person."""
    if not out.name.endswith((".arpa", ".arpa.gz")):
        raise BigfootError(f"{out}: its name has to end in .arpa or .arpa.gz")
    scored_as = scoring(corpus.rules)
    if text is None:
        lines = [utterance.text for utterance in corpus.utterances("train")]
    else:
        lines = [normalize(line, scored_as.rules, scored_as.language) for line in read_text(text, None).splitlines()]
    if not any(lines):
        raise BigfootError(f"{text or 'the split train'} has no words: nothing can be learned from it")
    model = ngrams.estimate(filter(None, lines), order, least_count)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        model.write(out)
    except OSError as error:
        raise BigfootError(f"{out} can't be written: {error.strerror or error}") from None
    perplexity, unknown = model.perplexity(utterance.text for utterance in corpus.utterances("dev"))
    counts = ", ".join(f"{len(grams):,} of {n}" for n, grams in enumerate(model.probabilities, 1))
    return (
        f"{out}: {out.stat().st_size / 1e6:.3g} MB, n-grams: {counts}\n"
        f"dev: perplexity {perplexity:.1f} per word, {unknown:.1%} of its words unknown\n"
        f"in params.yaml: lm: {{file: {out}, sha256: {sha256(out)}}}"
    )


def _put(settings: LanguageModelSettings, corpus: Corpus, folder: Path) -> str:
    """Put the language model into a variant's folder; returns its file's name there."""
    if settings.file is None:
        texts = (utterance.text for utterance in corpus.utterances("train"))
        ngrams.estimate(texts, settings.order, settings.least_count).write(folder / "lm.arpa.gz")
        return "lm.arpa.gz"
    check(settings)
    source = Path(settings.file)
    name = f"lm{''.join(source.suffixes[-2:]) if source.suffix == '.gz' else source.suffix}"
    shutil.copyfile(source, folder / name)
    if (words := source.with_name("unigrams.txt")).is_file():
        shutil.copyfile(words, folder / words.name)
    return name
