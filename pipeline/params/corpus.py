"""Section `corpus`: the source, its text rules, and the checks that utterances have to pass."""

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field, field_validator, model_validator

from pipeline.params.section import LONGEST, NAME, Count, Fraction, Seconds, Section, Seed, Text
from pipeline.speech import number_words
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
Words = Annotated[int, Field(ge=1, le=1_000)]
TestSet = Annotated[str, Field(pattern=r"^test[a-z0-9_-]*$")]


class SyntheticSource(Section):
    """Strings of digits spoken by espeak-ng's voices; the voices and sentences of dev, gate and test never occur in train."""

    kind: Literal["synthetic"]
    seed: Seed = Field(7, description="of sentences, voices, noise and rooms")
    train_utterances: Count = Field(3200, description="utterances of train, 1.6 s each: 3,200 are 87 minutes")
    dev_utterances: Count = Field(200, description="utterances of dev and gate, which get half of the voices each")
    test_utterances: Count = Field(150, description="utterances of test")
    words: tuple[Words, Words] = Field((2, 6), description="the fewest and the most words of a sentence")

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
    uses: int = Field(4, ge=1, le=10_000, description="how often each training recording is used")
    train: tuple[Annotated[int, Field(ge=20)], Annotated[int, Field(le=45)]] = Field(
        (20, 45), description="the first of the training recordings of each digit and speaker, and the one after the last"
    )
    unlabelled: Fraction = Field(0.0, lt=1, description="share of the training recordings whose text is kept back")

    @field_validator("train")
    @classmethod
    def _rises(cls, train: tuple[int, int]) -> tuple[int, int]:
        if train[0] >= train[1]:
            raise ValueError(f"[{train[0]}, {train[1]}] leaves none: the first comes first")
        return train

    @model_validator(mode="after")
    def _has_both_kinds(self) -> "DigitsSource":
        count = self.train[1] - self.train[0]
        if self.unlabelled and not 0 < self.without_text < count:
            raise ValueError(f"unlabelled: {self.unlabelled:g} of the {count} recordings of train is none or all: change it")
        return self

    @property
    def without_text(self) -> int:
        """How many of the training recordings of each digit and speaker have no text."""
        return round(self.unlabelled * (self.train[1] - self.train[0]))


class Column(Section):
    """A column of somebody's table, or the part of it that the first group of a regular expression takes."""

    name: str = Field(alias="from", description="the column's name")
    pattern: str | None = Field(None, description="a regular expression, whose first group is taken; null: all of it")

    @field_validator("pattern")
    @classmethod
    def _has_a_group(cls, pattern: str | None) -> str | None:
        try:
            groups = re.compile(pattern or "()").groups
        except re.error as error:
            raise ValueError(f"is not a regular expression: {error}") from None
        if not groups:
            raise ValueError("has no group: put what is to be taken in brackets, as in '^(\\w{8})'")
        return pattern


# `speaker: client_id`, or `speaker: {from: file, pattern: '^(\w{8})'}`
Taken = Annotated[Column, BeforeValidator(lambda given: {"from": given} if isinstance(given, str) else given)]
Share = Annotated[float, Field(gt=0, lt=1)]


class Shares(Section):
    """Shares of dev and test, drawn by speaker where speakers are known, else by recording, else by utterance.

    Half of dev becomes gate.
    """

    dev: Share = Field(0.1, description="share of the utterances")
    test: Share = Field(0.1, description="share of the utterances")
    seed: Seed = Field(7, description="of what is drawn")

    @model_validator(mode="after")
    def _leaves_train(self) -> "Shares":
        if self.dev + self.test >= 1:
            raise ValueError(f"dev {self.dev:g} and test {self.test:g} leave nothing for train")
        return self


class FolderSource(Section):
    """Tables of audio files and their texts in `corpus.data`, one per split or one for all: JSON lines (.jsonl, .json), .csv,
    .tsv, a Kaldi data folder, or lhotse's cuts (.jsonl.gz). docs/recordings.md shows each.
    """

    kind: Literal["folder"]
    train: str | None = Field(
        None, description="the table of train; with `manifest` its name in the split column; null: train.jsonl or train"
    )
    dev: str | None = Field(None, description="the same of dev; null: dev.jsonl, with `manifest` dev")
    gate: str | None = Field(None, description="the same of gate; null: half of dev")
    test: dict[TestSet, str] | None = Field(None, description="the same of each test set, by name; null: one, called test")
    unlabelled: str | None = Field(None, description="a table of audio without text; null: there is none")
    manifest: str | None = Field(
        None, description="one table for all splits, with a split column unless `split` is given; null: one per split"
    )
    split: Shares | None = Field(None, description="draws dev and test from `manifest`; null: they are named")
    columns: dict[Literal["audio", "text", "speaker", "recording", "id", "duration", "offset", "split", "channel"], Taken] = (
        Field({}, description="which column of the tables is which; {}: they are called so")
    )
    audio_folder: str | None = Field(None, description="what audio paths are relative to, in corpus.data; null: their table")

    @property
    def splits(self) -> dict[str, str]:
        """{split: the table it is in, or with `manifest` its name in the split column}, train, dev and gate first."""
        suffix = "" if self.manifest else ".jsonl"
        tests = self.test or {"test": f"test{suffix}"}
        own = {"train": self.train or f"train{suffix}", "dev": self.dev or f"dev{suffix}"}
        return own | ({"gate": self.gate} if self.gate else {}) | tests

    @model_validator(mode="after")
    def _one_way_to_split(self) -> "FolderSource":
        if self.split and (self.train or self.dev or self.gate or self.test or "split" in self.columns):
            raise ValueError("split draws all splits from `manifest`: leave out train, dev, gate, test and columns.split")
        if not self.manifest and (self.split or "split" in self.columns):
            raise ValueError("manifest is missing: the one table that has all splits")
        if self.manifest and len(set(self.splits.values())) < len(self.splits):
            raise ValueError("two splits have one name in the split column")
        return self


class LibriSpeechSource(Section):
    """LibriSpeech in its own folder layout under `corpus.data`; pipeline/prepare/librispeech.py also fetches it."""

    kind: Literal["librispeech"]
    train: list[str] = Field(["train-clean-100"], min_length=1, description="the parts of LibriSpeech that are train")
    dev: list[str] = Field(["dev-clean"], min_length=1, description="the parts that are dev")
    gate: list[str] = Field([], description="the parts that are gate; []: half of dev's speakers")
    test: list[str] = Field(["test-clean", "test-other"], min_length=1, description="the parts that are test, each a test set")
    unlabelled: list[str] = Field([], description="the parts whose texts are not used; []: none")


class HuggingFaceSource(Section):
    """Any Hugging Face dataset with audio and text: one of the hub, or one in `corpus.data`."""

    kind: Literal["huggingface"]
    path: str | None = Field(None, description="the dataset's name on the hub; null: the one in corpus.data")
    name: str | None = Field(None, description="its configuration, such as a language; null: its only one")
    revision: str | None = Field(None, description="a commit of the hub's dataset, so that it never changes; null: the newest")
    columns: dict[Literal["audio", "text", "speaker", "recording"], Taken] = Field(
        {}, description="which column of the dataset is which; {}: audio and text, others unknown"
    )
    train: str = Field("train", description="the dataset's split that is train")
    dev: str = Field("validation", description="the dataset's split that is dev")
    gate: str | None = Field(None, description="the dataset's split that is gate; null: half of dev")
    test: dict[TestSet, str] = Field(
        default_factory=lambda: {"test": "test"}, min_length=1, description="the dataset's split of each test set, by name"
    )
    unlabelled: str | None = Field(None, description="the dataset's split of audio without text; null: there is none")


class Limits(Section):
    """The bounds of the checks that have one."""

    min_seconds: float = Field(0.3, ge=0, le=86_400, description="seconds; an utterance below it is too_short")
    max_seconds: Seconds = Field(20.0, description="seconds; an utterance above it is too_long")
    silence_dbfs: float = Field(
        -60.0, ge=-1_000, le=0, description="dB below full scale; an utterance whose peak is lower is silent"
    )
    clipped_fraction: Fraction = Field(0.01, description="an utterance with more of its samples at full scale is clipped")

    @model_validator(mode="after")
    def _leave_something(self) -> "Limits":
        if self.min_seconds >= self.max_seconds:
            raise ValueError(f"min_seconds {self.min_seconds:g} and max_seconds {self.max_seconds:g} leave no utterance")
        return self


class Checks(Section):
    """What happens to an utterance that fails a check: it is reported, dropped, or stops the stage.

    What a model can't write (unspellable, text_too_long, beyond_alphabet) never drops an utterance of dev, gate or test: that
    would flatter every error rate. It is reported and scored. no_text: keep scores silence too, in these alone.
    """

    missing: Unusable = Field("drop", description="its file is not there; drop or stop")
    unreadable: Unusable = Field("drop", description="its file is not audio that can be decoded; drop or stop")
    empty: Unusable = Field("drop", description="its file has no samples; drop or stop")
    truncated: Unusable = Field("drop", description="its file ends early, or before the duration in its manifest; drop or stop")
    longer_than_stated: Severity = Field("drop", description="lasts longer than its manifest's duration; report, drop or stop")
    out_of_range: Severity = Field(
        "report", description="float samples beyond [-1, 1], which were scaled; report, drop or stop"
    )
    opposite_phase: Unusable = Field("drop", description="channels that cancel each other in their mix; drop or stop")
    nan: Unusable = Field("drop", description="samples that are not numbers; drop or stop")
    silent: Severity = Field("drop", description="below limits.silence_dbfs; report, drop or stop")
    clipped: Severity = Field("report", description="above limits.clipped_fraction; report, drop or stop")
    too_short: Severity = Field("drop", description="below limits.min_seconds; report, drop or stop")
    too_long: Severity = Field("drop", description="above limits.max_seconds; report, drop or stop")
    no_text: Literal["keep", "drop", "stop"] = Field(
        "drop", description="no text is left after the text rules; drop, stop, or keep: dev, gate and test score it as silence"
    )
    unspellable: Severity = Field(
        "drop", description="in train: symbols or digits that the text rules can't spell; report, drop or stop"
    )
    beyond_alphabet: Literal["report", "stop"] = Field(
        "report", description="in dev, gate and test: characters that train lacks; report or stop"
    )
    text_too_long: Severity = Field(
        "drop", description="in train: more characters than the audio has frames for; report, drop or stop"
    )
    duplicate_audio: Severity = Field(
        "drop", description="the same audio as another utterance of its split; report, drop or stop"
    )
    shared_audio: Severity = Field("stop", description="the same audio in two splits; report, drop or stop")
    shared_recording: Severity = Field("report", description="parts of the same recording in two splits; report, drop or stop")
    shared_sentence: Severity = Field("report", description="the same text in two splits; report, drop or stop")
    shared_speaker: Severity = Field("report", description="the same speaker in two splits; report, drop or stop")


Source = Annotated[
    SyntheticSource | DigitsSource | FolderSource | LibriSpeechSource | HuggingFaceSource, Field(discriminator="kind")
]


def _one_line(text: str) -> str:
    if len(text.strip().splitlines()) != 1:
        raise ValueError("has to be one line of text")
    return text.strip()


class Corpus(Section):
    """How `prepare` makes a corpus from a source; `data`: the folder of raw data, which DVC watches, or data/none."""

    name: str = Field(
        pattern=NAME,
        max_length=LONGEST,
        description="of its folder in corpora/ and, as bigfoot-NAME, of the model in MLflow's registry",
    )
    data: Text = Field(description="the folder of raw data, which DVC watches; data/none where there is none")
    license: Annotated[str, AfterValidator(_one_line)] = Field(
        description="of the audio and texts: it is shown in the report and on model cards"
    )
    language: Language = Field(description="BCP 47 tag: how numbers are spoken and letters change case")
    objective: Objective = Field(
        "wer", description="the error rate that decides: wer, or cer for scripts without gaps between words"
    )
    source: Source = Field(description="where utterances come from: one of the kinds below")
    text: TextRules = Field(TextRules(), description="how texts are written: `TextRules` in `pipeline/speech/normalization.py`")
    channels: Literal["mix", "first", "split"] = Field(
        "mix", description="what is taken of several channels: mix (their mean), first, or split (utterances of each)"
    )
    limits: Limits = Field(Limits(), description="bounds of the checks")
    checks: Checks = Field(Checks(), description="what happens to an utterance that fails a check")

    @model_validator(mode="after")
    def _channels_are_split_by_their_column(self) -> "Corpus":
        if isinstance(self.source, FolderSource) and "channel" in self.source.columns and self.channels != "split":
            raise ValueError(
                f"channels: source.columns.channel picks one of each row, so channels is split, not {self.channels}"
            )
        return self

    @model_validator(mode="after")
    def _can_be_written(self) -> "Corpus":
        if self.source.kind in ENGLISH and self.language.split("-")[0].lower() != "en":
            raise ValueError(f"language: the source {self.source.kind} speaks English, so language has to be en")
        if self.text.digits == "spell" and not number_words.is_spoken(self.language):
            raise ValueError(f"text.digits: num2words can't spell numbers in {self.language}: set text.digits to keep")
        return self
