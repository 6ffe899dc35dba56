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
    seed: Seed = Field(7, description="of sentences, voices, noise and rooms")
    train_utterances: int = Field(3200, ge=1, description="utterances of train, 1.4 s each: 3,200 are 75 minutes")
    dev_utterances: int = Field(100, ge=1, description="utterances of dev")
    test_utterances: int = Field(150, ge=1, description="utterances of test")
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
    seed: Seed = Field(7, description="of which recordings are joined, and of the pauses between them")
    uses: int = Field(4, ge=1, description="how often each training recording is used")


class FolderSource(Section):
    """One JSONL or CSV manifest per split, in `corpus.data`: audio (path relative to the manifest), text; speaker, recording,
    duration, id.
    """

    kind: Literal["folder"]
    train: str = Field("train.jsonl", description="the manifest of train")
    dev: str = Field("dev.jsonl", description="the manifest of dev")
    test: dict[TestSet, str] = Field(
        default_factory=lambda: {"test": "test.jsonl"}, description="the manifest of each test set, by name"
    )


class LibriSpeechSource(Section):
    """LibriSpeech in its own folder layout under `corpus.data`; pipeline/prepare/librispeech.py also fetches it."""

    kind: Literal["librispeech"]
    train: list[str] = Field(["train-clean-100"], description="the parts of LibriSpeech that are train")
    dev: list[str] = Field(["dev-clean"], description="the parts that are dev")
    test: list[str] = Field(["test-clean", "test-other"], description="the parts that are test, each a test set")


class HuggingFaceSource(Section):
    """Any Hugging Face dataset with audio and text: one of the hub, or one in `corpus.data`."""

    kind: Literal["huggingface"]
    path: str | None = Field(None, description="the dataset's name on the hub; null: the one in corpus.data")
    name: str | None = Field(None, description="its configuration, such as a language; null: its only one")
    revision: str | None = Field(None, description="a commit of the hub's dataset, so that it never changes; null: the newest")
    audio_column: str = Field("audio", description="the column with the audio")
    text_column: str = Field("text", description="the column with the text")
    speaker_column: str | None = Field(None, description="the column with the speaker; null: speakers are unknown")
    recording_column: str | None = Field(
        None, description="the column with the recording that utterances were cut from; null: unknown"
    )
    train: str = Field("train", description="the dataset's split that is train")
    dev: str = Field("validation", description="the dataset's split that is dev")
    test: dict[TestSet, str] = Field(
        default_factory=lambda: {"test": "test"}, description="the dataset's split of each test set, by name"
    )


class Limits(Section):
    """The bounds of the checks that have one."""

    min_seconds: float = Field(0.3, ge=0, description="seconds; an utterance below it is too_short")
    max_seconds: float = Field(20.0, gt=0, description="seconds; an utterance above it is too_long")
    silence_dbfs: float = Field(-60.0, le=0, description="dB below full scale; an utterance whose peak is lower is silent")
    clipped_fraction: Fraction = Field(0.01, description="an utterance with more of its samples at full scale is clipped")


class Checks(Section):
    """What happens to an utterance that fails a check: it is reported, dropped, or stops the stage.

    What a model can't write (unspellable, text_too_long, beyond_alphabet) never drops an utterance of dev or test: that would
    flatter every error rate. It is reported and scored. no_text: keep scores silence too, in dev and test alone.
    """

    missing: Unusable = Field("drop", description="its file is not there; drop or stop")
    unreadable: Unusable = Field("drop", description="its file is not audio that can be decoded; drop or stop")
    empty: Unusable = Field("drop", description="its file has no samples; drop or stop")
    truncated: Unusable = Field("drop", description="its file ends early, or before the duration in its manifest; drop or stop")
    nan: Unusable = Field("drop", description="samples that are not numbers; drop or stop")
    silent: Severity = Field("drop", description="below limits.silence_dbfs; report, drop or stop")
    clipped: Severity = Field("report", description="above limits.clipped_fraction; report, drop or stop")
    too_short: Severity = Field("drop", description="below limits.min_seconds; report, drop or stop")
    too_long: Severity = Field("drop", description="above limits.max_seconds; report, drop or stop")
    no_text: Literal["keep", "drop", "stop"] = Field(
        "drop", description="no text is left after the text rules; drop, stop, or keep: dev and test score it as silence"
    )
    unspellable: Severity = Field(
        "drop", description="in train: symbols or digits that the text rules can't spell; report, drop or stop"
    )
    beyond_alphabet: Literal["report", "stop"] = Field(
        "report", description="in dev and test: characters that train lacks; report or stop"
    )
    text_too_long: Severity = Field(
        "drop", description="in train: more characters than the audio has frames for; report, drop or stop"
    )
    duplicate_audio: Severity = Field(
        "drop", description="the same audio as another utterance of its split; report, drop or stop"
    )
    shared_audio: Severity = Field("stop", description="the same audio in two splits; report, drop or stop")
    shared_sentence: Severity = Field("report", description="the same text in two splits; report, drop or stop")
    shared_speaker: Severity = Field("report", description="the same speaker in two splits; report, drop or stop")


Source = Annotated[
    SyntheticSource | DigitsSource | FolderSource | LibriSpeechSource | HuggingFaceSource, Field(discriminator="kind")
]


class Corpus(Section):
    """How `prepare` makes a corpus from a source; `data`: the folder of raw data, which DVC watches, or data/none."""

    name: str = Field(
        pattern=NAME, description="of its folder in corpora/ and, as bigfoot-NAME, of the model in MLflow's registry"
    )
    data: str = Field(description="the folder of raw data, which DVC watches; data/none where there is none")
    license: str = Field(description="of the audio and texts: it is shown in the report and on model cards")
    language: Language = Field(description="BCP 47 tag: how numbers are spoken and letters change case")
    objective: Objective = Field(
        "wer", description="the error rate that decides: wer, or cer for scripts without gaps between words"
    )
    source: Source = Field(description="where utterances come from: one of the kinds below")
    text: TextRules = Field(TextRules(), description="how texts are written: `TextRules` in `pipeline/speech/normalization.py`")
    limits: Limits = Field(Limits(), description="bounds of the checks")
    checks: Checks = Field(Checks(), description="what happens to an utterance that fails a check")

    @model_validator(mode="after")
    def _can_be_written(self) -> "Corpus":
        if self.source.kind in ENGLISH and self.language.split("-")[0].lower() != "en":
            raise ValueError(f"language: the source {self.source.kind} speaks English, so language has to be en")
        if self.text.digits == "spell" and not numerals.is_spoken(self.language):
            raise ValueError(f"text.digits: num2words can't spell numbers in {self.language}: set text.digits to keep")
        return self
