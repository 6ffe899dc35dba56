"""Every check that `prepare` makes of an utterance by itself; `whole` has those of the corpus as a whole.

`examine` runs in the worker processes, and also makes the audio a FLAC file. A finding names the check; params (corpus.checks)
decide what follows: report, drop or stop. That is decided where the finding is added, and stored with the utterance. What a
model can't write never drops an utterance of dev, gate or test; an empty text always drops one of train.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path
from typing import Literal

import numpy as np

from pipeline.common.errors import BigfootError, one_line
from pipeline.params import Checks, Corpus, Limits
from pipeline.prepare import segments
from pipeline.prepare.raw import Raw, file_name
from pipeline.speech import audio, media
from pipeline.speech.corpus import UNLABELLED
from pipeline.speech.level import Level
from pipeline.speech.normalization import normalize, unspellable
from pipeline.speech.text import frames_needed

FULL_SCALE = 0.999  # a sample at or above it counts as clipped


@dataclass(frozen=True)
class Finding:
    """A check that failed, and the reason in words."""

    check: str
    why: str


SEVERITIES = ("keep", "report", "drop", "stop")  # what happens to an utterance, the most severe last
SCORED = ("unspellable", "text_too_long")  # what a model can't write: in dev, gate and test these are errors, no reason to drop


@dataclass(slots=True)
class Examined:
    """An utterance after its checks; `digest` is a hash of its audio (b"" where there is none), `rate` its source's, in Hz.

    `fate` is what its findings lead to, the most severe of SEVERITIES.
    """

    id: str
    split: str
    text: str
    speaker: str
    recording: str = ""
    seconds: float = 0.0
    rate: int = 0
    digest: bytes = b""
    findings: list[Finding] = field(default_factory=list)
    fate: str = "keep"
    decisive: Finding | None = None

    def add(self, finding: Finding, checks: Checks) -> None:
        """Add a finding, and decide again what happens to the utterance."""
        self.findings.append(finding)
        fate = severity(finding.check, self.split, checks)
        if SEVERITIES.index(fate) > SEVERITIES.index(self.fate):
            self.fate, self.decisive = fate, finding

    @property
    def because(self) -> Finding:
        """The first finding that leads to its fate; only for utterances with a finding."""
        assert self.decisive, "every severity is above keep, so the first finding already decides"
        return self.decisive

    @property
    def is_kept(self) -> bool:
        return self.fate in ("keep", "report")


def severity(check: str, split: str, checks: Checks) -> str:
    """What follows from a failed check in a split: one of SEVERITIES."""
    wanted = getattr(checks, check)
    if check == "no_text" and wanted == "keep":
        return "drop" if split == "train" else "report"
    return "report" if check in SCORED and split != "train" else wanted


def examine(raw: Raw, corpus: Corpus) -> tuple[Examined, bytes]:
    """Check one utterance by itself; with its audio as a FLAC file, b"" where it is dropped."""
    text = normalize(raw.text, corpus.text, corpus.language)
    examined = Examined(file_name(raw.id), raw.split, text, raw.speaker, raw.recording)
    for finding in _text_findings(raw, text, corpus):
        examined.add(finding, corpus.checks)
    try:
        channels, rate = _heard(raw, corpus)
        _require_samples(raw, channels)
        channel: audio.Channel = "mix" if corpus.channels == "mix" else 0
        taken = channels if channel == "mix" else channels[:, [channel]]
        bad = int((~np.isfinite(taken)).sum())
        if bad:
            examined.add(Finding("nan", f"{bad} samples are NaN or infinite"), corpus.checks)
            return examined, b""
        level = _level(raw, channels)
        divided_by = audio.divisor(_name(raw), level, channel)
        picked = audio.pick(channels, channel)
        for finding in _level_findings(audio.scaled(picked, divided_by), np.abs(taken), level, corpus.limits):
            examined.add(finding, corpus.checks)
        samples = audio.scaled(audio.change_rate(picked, rate), divided_by)
        _require_samples(raw, samples)
        examined.rate = rate if isinstance(raw.audio, Path | bytes) else raw.audio.rate
    except audio.AudioError as error:
        is_elsewhere = error.check == "missing" and raw.instead
        why = f"{one_line(str(raw.audio))} is missing; {one_line(raw.instead)} is there" if is_elsewhere else str(error)
        examined.add(Finding(error.check, why), corpus.checks)
        return examined, b""
    claimed = raw.duration if raw.offset is None else None  # a segment has just the length that was asked for
    for finding in _length_findings(samples.size, examined.text, claimed, corpus.limits):
        examined.add(finding, corpus.checks)
    examined.digest = blake2b(audio.pcm16(samples).tobytes(), digest_size=16).digest()
    examined.seconds = samples.size / audio.SAMPLE_RATE
    return examined, audio.flac(samples) if examined.is_kept else b""


def frames(samples: int) -> int:
    """The number of wav2vec 2.0's frames of 20 ms for a number of samples at 16 kHz; other models: pipeline.train.fitting."""
    return max(0, (samples - 400) // 320 + 1)


def _text_findings(raw: Raw, text: str, corpus: Corpus) -> Iterator[Finding]:
    if raw.split == UNLABELLED:
        return
    if not text:
        yield Finding("no_text", f"nothing to recognize is left of {raw.text!r}" if raw.text else "no text")
    if odd := unspellable(text, corpus.text):
        yield Finding("unspellable", f"the text rules have no words for {', '.join(map(repr, odd))}: {raw.text!r}")


def _require_samples(raw: Raw, samples: np.ndarray) -> None:
    if not samples.size:
        raise audio.AudioError("empty", f"{_name(raw)} has no samples")


def _heard(raw: Raw, corpus: Corpus) -> tuple[np.ndarray, int]:
    """What is decoded; of several channels the one that is the utterance's own. Raises BigfootError where that isn't known."""
    channels, rate = _decoded(raw)
    count = channels.shape[1]
    if raw.channel is None and (count == 1 or corpus.channels != "split"):
        return channels, rate
    if raw.channel is None:
        raise BigfootError(
            f"{_name(raw)} has {count} channels, and corpus.channels is split: say in corpus.source.columns.channel "
            "which column has the channel of each text, or take mix or first"
        )
    if raw.channel >= count:
        raise audio.AudioError("unreadable", f"{_name(raw)} has no channel {raw.channel + 1}, only {count}")
    return channels[:, [raw.channel]], rate


def _decoded(raw: Raw) -> tuple[np.ndarray, int]:
    """float32 [samples, channels] and their rate."""
    if isinstance(raw.audio, Path) and raw.offset is not None:
        return segments.decode(raw.audio, raw.offset, raw.duration)
    if isinstance(raw.audio, Path | bytes):
        return media.decode(raw.audio)
    return raw.audio.make()[:, None], audio.SAMPLE_RATE


def _level(raw: Raw, channels: np.ndarray) -> Level:
    if isinstance(raw.audio, Path) and raw.offset is not None:
        return segments.level(raw.audio, channels)
    return Level.of(channels)


def channel_of(corpus: Corpus) -> audio.Channel | Literal["split"]:
    """What `corpus.channels` takes of a recording."""
    return 0 if corpus.channels == "first" else corpus.channels


def _name(raw: Raw) -> str:
    return audio.name_of(raw.audio) if isinstance(raw.audio, Path) else raw.id


def _level_findings(mono: np.ndarray, loudness: np.ndarray, level: Level, limits: Limits) -> Iterator[Finding]:
    """Silence is judged by the mix, clipping by each channel that is in it, before an overshoot is scaled down."""
    divided_by = level.divisor or 1.0
    if divided_by != 1:
        yield Finding("out_of_range", f"its samples, up to {level.peak:,.5g}, were divided by {divided_by:,.5g}")
        loudness = loudness / divided_by if level.is_whole else loudness
    peak = 20 * np.log10(max(float(np.abs(mono).max()), 1e-10))
    if peak < limits.silence_dbfs:
        yield Finding("silent", f"its peak is {peak:.0f} dBFS, below {limits.silence_dbfs:g}")
    clipped = float((loudness >= FULL_SCALE).mean(axis=0).max())
    if clipped > limits.clipped_fraction:
        yield Finding(
            "clipped", f"{clipped:.1%} of the samples are at or beyond full scale, more than {limits.clipped_fraction:.1%}"
        )


def _length_findings(samples: int, text: str, claimed: float | None, limits: Limits) -> Iterator[Finding]:
    seconds = samples / audio.SAMPLE_RATE
    if claimed and abs(seconds - claimed) > max(0.25, 0.05 * claimed):
        check = "truncated" if seconds < claimed else "longer_than_stated"
        yield Finding(check, f"{seconds:.2f} s of audio where the manifest says {claimed:.2f} s")
    if seconds < limits.min_seconds:
        yield Finding("too_short", f"{seconds:.2f} s, shorter than {limits.min_seconds:g} s")
    if seconds > limits.max_seconds:
        yield Finding("too_long", f"{seconds:.2f} s, longer than {limits.max_seconds:g} s")
    if frames_needed(text) > frames(samples):
        yield Finding("text_too_long", f"the text needs {frames_needed(text)} frames, {seconds:.2f} s have {frames(samples)}")
