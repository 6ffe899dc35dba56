"""Section `corpus`: the source, its text rules, and the checks that utterances have to pass."""

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, field_validator, model_validator

from pipeline.params.section import NAME, Fraction, Section, Seed
from pipeline.speech import numerals
from pipeline.speech.normalization import TextRules
from pipeline.speech.scoring import Objective

Severity = Literal["report", "drop", "stop"]
Unusable = Literal["drop", "stop"]  # for checks whose failure leaves nothing to train on or to score
_LANGUAGE = re.compile(  # RFC 5646: language, script, region, variants, extensions, private use
    r"[A-Za-z]{2,3}(-[A-Za-z]{3}){0,3}(-[A-Za-z]{4})?(-([A-Za-z]{2}|\d{3}))?(-([A-Za-z\d]{5,8}|\d[A-Za-z\d]{3}))*"
    r"(-[\dA-WY-Za-wy-z](-[A-Za-z\d]{2,8})+)*(-[Xx](-[A-Za-z\d]{1,8})+)?"
)
ENGLISH = ("synthetic", "digits")  # sources that speak English and nothing else


def _well_formed(tag: str) -> str:
    if not _LANGUAGE.fullmatch(tag):
        raise ValueError(f"{tag!r} is not a BCP 47 tag: use one such as de, de-CH, pt-BR or ar")
    return tag


Language = Annotated[str, AfterValidator(_well_formed)]
TestSet = Annotated[str, Field(pattern=r"^test[a-z0-9_-]*$")]


class SyntheticSource(Section):
    """Strings of digits spoken by espeak-ng's voices; the voices and sentences of dev and test never occur in train."""

    kind: Literal["synthetic"]
    seed: Seed = 7
    train_utterances: int = Field(3200, ge=1, description="1.4 s each: 75 minutes")
    dev_utterances: int = Field(100, ge=1)
    test_utterances: int = Field(150, ge=1)
    words: tuple[Annotated[int, Field(ge=1)], int] = Field((2, 6), description="the fewest and the most words of a sentence")

    @field_validator("words")
    @classmethod
    def _rises(cls, words: tuple[int, int]) -> tuple[int, int]:
        if words[0] > words[1]:
            raise ValueError(f"the fewest come first: [{words[1]}, {words[0]}]")
        return words


class DigitsSource(Section):
    """Strings joined from the single digits of FSDD: real people, closed vocabulary, known speakers."""

    kind: Literal["digits"]
    seed: Seed = 7
    uses: int = Field(4, ge=1, description="how often each training recording is used")


class FolderSource(Section):
    """One JSONL or CSV manifest per split, in `corpus.data`: audio (path relative to the manifest), text; speaker, recording,
    duration, id.
    """

    kind: Literal["folder"]
    train: str = "train.jsonl"
    dev: str = "dev.jsonl"
    test: dict[TestSet, str] = Field(default_factory=lambda: {"test": "test.jsonl"})


class LibriSpeechSource(Section):
    """LibriSpeech in its own folder layout under `corpus.data`; pipeline/prepare/librispeech.py also fetches it."""

    kind: Literal["librispeech"]
    train: list[str] = ["train-clean-100"]
    dev: list[str] = ["dev-clean"]
    test: list[str] = ["test-clean", "test-other"]


class HuggingFaceSource(Section):
    """Any Hugging Face dataset with audio and text: one of the hub, or one in `corpus.data`."""

    kind: Literal["huggingface"]
    path: str | None = Field(None, description="the dataset's name on the hub; null: the one in corpus.data")
    name: str | None = Field(None, description="its configuration, such as a language")
    revision: str | None = Field(None, description="a commit of the hub's dataset, so that it never changes")
    audio_column: str = "audio"
    text_column: str = "text"
    speaker_column: str | None = None
    recording_column: str | None = Field(None, description="what several utterances were cut from")
    train: str = "train"
    dev: str = "validation"
    test: dict[TestSet, str] = Field(default_factory=lambda: {"test": "test"})


class Limits(Section):
    """The bounds of the checks that have one."""

    min_seconds: float = Field(0.3, ge=0)
    max_seconds: float = Field(20.0, gt=0)
    silence_dbfs: float = Field(-60.0, le=0, description="an utterance whose peak is below this is silent")
    clipped_fraction: Fraction = Field(0.01, description="an utterance with more of its samples at full scale is clipped")


class Checks(Section):
    """What happens to an utterance that fails a check: it is reported, dropped, or stops the stage.

    What a model can't write (unspellable, text_too_long, beyond_alphabet) never drops an utterance of dev or test: that would
    flatter every error rate. It is reported and scored. no_text: keep scores silence too, in dev and test alone.
    """

    missing: Unusable = "drop"
    unreadable: Unusable = "drop"
    empty: Unusable = "drop"
    truncated: Unusable = "drop"
    nan: Unusable = "drop"
    silent: Severity = "drop"
    clipped: Severity = "report"
    too_short: Severity = "drop"
    too_long: Severity = "drop"
    no_text: Literal["keep", "drop", "stop"] = "drop"
    unspellable: Severity = "drop"
    beyond_alphabet: Literal["report", "stop"] = Field("report", description="in dev and test: characters that train lacks")
    text_too_long: Severity = "drop"
    duplicate_audio: Severity = "drop"
    shared_audio: Severity = "stop"
    shared_sentence: Severity = "report"
    shared_speaker: Severity = "report"


Source = Annotated[
    SyntheticSource | DigitsSource | FolderSource | LibriSpeechSource | HuggingFaceSource, Field(discriminator="kind")
]


class Corpus(Section):
    """How `prepare` makes a corpus from a source; `data`: the folder of raw data, which DVC watches, or data/none."""

    name: str = Field(pattern=NAME)
    data: str
    license: str
    language: Language = Field(description="BCP 47 tag: how numbers are spoken and letters change case")
    objective: Objective = Field(
        "wer", description="the error rate that decides: of words, or of characters for scripts without gaps between words"
    )
    source: Source
    text: TextRules = TextRules()
    limits: Limits = Limits()
    checks: Checks = Checks()

    @model_validator(mode="after")
    def _can_be_written(self) -> "Corpus":
        if self.source.kind in ENGLISH and self.language.split("-")[0].lower() != "en":
            raise ValueError(f"language: the source {self.source.kind} speaks English, so language has to be en")
        if self.text.digits == "spell" and not numerals.is_spoken(self.language):
            raise ValueError(f"text.digits: num2words can't spell numbers in {self.language}: set text.digits to keep")
        return self
