"""Every check that `prepare` makes of an utterance, and of the corpus as a whole.

Two kinds. What one utterance shows by itself is found by `examine`, in the worker processes, which also lays its audio
into the corpus. What only the whole shows (the same audio, sentence or speaker in two splits) is found by `compare`. A
finding says what; params (corpus.checks) say what follows: report, drop or stop. Where two splits share something, the
utterance of train is the one at fault before dev's, and dev's before test's, so that dropping keeps the tests as they are.

Audio counts as the same when its samples are, at 16 kHz and 16 bits: another encoding of a recording is not recognized.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from hashlib import blake2b
from itertools import combinations
from pathlib import Path

import numpy as np

from pipeline.params import Checks, Corpus, Limits
from pipeline.prepare.raw import Raw, file_name
from pipeline.speech import audio
from pipeline.speech.text import alphabet, frames_needed, normalize, unspellable

FULL_SCALE = 0.999  # a sample this loud counts as clipped


@dataclass(frozen=True)
class Finding:
    """A check that failed, and why in words."""

    check: str
    why: str


@dataclass(slots=True)
class Examined:
    """An utterance after its own checks; digest tells its audio from others (b"" where there is none)."""

    id: str
    split: str
    text: str
    speaker: str
    recording: str = ""
    seconds: float = 0.0
    digest: bytes = b""
    findings: list[Finding] = field(default_factory=list)

    def worst(self, checks: Checks) -> tuple[str, Finding | None]:
        """The severest of what its findings lead to ("" where there are none), and the first finding that does."""
        order = ("stop", "drop", "report")
        found = [(getattr(checks, finding.check), finding) for finding in self.findings]
        for severity in order:
            for one, finding in found:
                if one == severity:
                    return severity, finding
        return "", None


def examine(raw: Raw, corpus: Corpus, folder: Path) -> Examined:
    """Check one utterance by itself, and write its audio to `folder`/SPLIT/ID.flac if nothing speaks against keeping it."""
    one = Examined(file_name(raw.id), raw.split, normalize(raw.text, corpus.text), raw.speaker, raw.recording)
    if not one.text:
        one.findings.append(Finding("no_text", f"nothing to say is left of {raw.text!r}" if raw.text else "no text"))
    if odd := unspellable(one.text, corpus.text):
        one.findings.append(Finding("unspellable", f"{odd!r} can't be written by the text rules: {raw.text!r}"))
    try:
        samples = _samples(raw, corpus.limits, one)
    except audio.AudioError as error:
        one.findings.append(Finding(error.check, str(error)))
        return one
    if samples is None:
        return one
    one.findings += _length_findings(samples.size, one.text, raw.duration, corpus.limits)
    pcm = audio.pcm16(samples)
    one.digest = blake2b(pcm.tobytes(), digest_size=16).digest()
    one.seconds = samples.size / audio.SAMPLE_RATE
    if one.worst(corpus.checks)[0] in ("", "report"):
        audio.write(folder / one.split / f"{one.id}.flac", samples)
    return one


def compare(kept: Callable[[], Iterator[Examined]]) -> Iterator[list[Examined]]:
    """Add the findings that only the whole corpus shows, check by check, to the utterances that `kept` gives.

    Yields those found by each check, so that the caller can act on them before the next one looks.
    """
    yield _duplicates(kept())
    for check, key in SHARED.items():
        yield _shared(list(kept()), check, key)
    yield _beyond_alphabet(list(kept()))


SHARED: dict[str, Callable[[Examined], object]] = {
    "shared_audio": lambda one: one.digest,
    "shared_sentence": lambda one: one.text,
    "shared_speaker": lambda one: one.speaker,
}


def leaks(kept: list[Examined]) -> dict[str, dict[str, int]]:
    """{check: {"train-test": utterances of test whose audio, sentence or speaker train has too}}, for all pairs."""
    tests = sorted({one.split for one in kept} - {"train", "dev"})
    order = ["train", "dev", *tests]
    pairs = list(combinations(order, 2))
    found: dict[str, dict[str, int]] = {}
    for check, key in SHARED.items():
        known = {split: {key(one) for one in kept if one.split == split} - {""} for split in order}
        found[check] = {
            f"{left}-{right}": sum(one.split == right and key(one) in known[left] for one in kept) for left, right in pairs
        }
    return found


def frames(samples: int) -> int:
    """How many frames of 20 ms wav2vec 2.0 makes of so many samples at 16 kHz."""
    return max(0, (samples - 400) // 320 + 1)


def _samples(raw: Raw, limits: Limits, one: Examined) -> np.ndarray | None:
    """float32 [T] at 16 kHz; None, with the finding, where it is not even numbers. Adds what its levels show."""
    if isinstance(raw.audio, Path | bytes):
        channels, rate = audio.decode(raw.audio)
    else:
        channels, rate = raw.audio.make()[:, None], audio.SAMPLE_RATE
    bad = int((~np.isfinite(channels)).sum())
    if bad:
        one.findings.append(Finding("nan", f"{bad} samples are NaN or infinite"))
        return None
    heard = audio.mono(channels)
    one.findings += _level_findings(heard, np.abs(channels), limits)
    return audio.change_rate(heard, rate)


def _level_findings(heard: np.ndarray, loudness: np.ndarray, limits: Limits) -> Iterator[Finding]:
    """Silence is judged by what is heard (channels may cancel out), clipping channel by channel."""
    peak = 20 * np.log10(max(float(np.abs(heard).max()), 1e-10))
    if peak < limits.silence_dbfs:
        yield Finding("silent", f"its peak is {peak:.0f} dBFS, below {limits.silence_dbfs:g}")
    clipped = float((loudness >= FULL_SCALE).mean(axis=0).max())
    if clipped > limits.clipped_fraction:
        yield Finding("clipped", f"{clipped:.1%} of the samples are at full scale, more than {limits.clipped_fraction:.1%}")


def _length_findings(samples: int, text: str, claimed: float | None, limits: Limits) -> Iterator[Finding]:
    seconds = samples / audio.SAMPLE_RATE
    if claimed and seconds < claimed - max(0.25, 0.05 * claimed):
        yield Finding("truncated", f"{seconds:.2f} s of audio where the manifest says {claimed:.2f} s")
    if seconds < limits.min_seconds:
        yield Finding("too_short", f"{seconds:.2f} s, shorter than {limits.min_seconds:g} s")
    if seconds > limits.max_seconds:
        yield Finding("too_long", f"{seconds:.2f} s, longer than {limits.max_seconds:g} s")
    if frames_needed(text) > frames(samples):
        yield Finding("text_too_long", f"the text needs {frames_needed(text)} frames, {seconds:.2f} s have {frames(samples)}")


def _duplicates(kept: Iterator[Examined]) -> list[Examined]:
    first: dict[tuple[str, bytes], str] = {}
    found = []
    for one in kept:
        known = first.setdefault((one.split, one.digest), one.id)
        if known != one.id:
            one.findings.append(Finding("duplicate_audio", f"the same audio as {known}"))
            found.append(one)
    return found


def _shared(kept: list[Examined], check: str, key: Callable[[Examined], object]) -> list[Examined]:
    held: dict[object, str] = {}
    found = []
    tests = dict.fromkeys(one.split for one in kept if one.split not in ("train", "dev"))
    for split in (*tests, "dev", "train"):
        mine = [one for one in kept if one.split == split]
        at_fault = [one for one in mine if key(one) and key(one) in held]
        for one in at_fault:
            one.findings.append(Finding(check, f"the same {check.removeprefix('shared_')} as {held[key(one)]}"))
        found += at_fault
        for one in mine:
            held.setdefault(key(one), f"{one.split}/{one.id}")
    return found


def _beyond_alphabet(kept: list[Examined]) -> list[Examined]:
    """Utterances of dev and test with characters that no training text has, so that no model can write them."""
    known = set(alphabet(one.text for one in kept if one.split == "train"))
    found = []
    for one in kept:
        odd = "".join(sorted(set(one.text) - known))
        if odd:
            one.findings.append(Finding("unspellable", f"{odd!r} never occurs in the training text"))
            found.append(one)
    return found
