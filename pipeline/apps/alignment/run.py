"""Aligns recordings with their transcripts, each in a text file of the same name beside it, and cuts them into utterances."""

import json
import math
import os
import sys
from collections.abc import Sequence, Sized
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Literal, Protocol

import numpy as np

from pipeline.apps.alignment import anchors, formats, pieces
from pipeline.apps.alignment.align import AlignedWord, align, spelled
from pipeline.apps.alignment.formats import Alignment
from pipeline.apps.transcription import files, outputs, variant
from pipeline.apps.transcription.files import Failure, Recording
from pipeline.common.command import Unwritten, write_out
from pipeline.common.errors import BigfootError, one_line
from pipeline.common.progress import Progress
from pipeline.common.shapes import is_torn
from pipeline.models.vocabulary import Vocabulary
from pipeline.project import Project
from pipeline.recognition.recognizer import WINDOW_SECONDS, Recognizer
from pipeline.speech import audio
from pipeline.speech.normalization import TextRules


def align_recordings(
    model: str,
    names: Sequence[str],
    write: "Writer",
    project: Project,
    threads: int | None = None,
    channels: Literal["mix", "first"] = "mix",
) -> bool:
    """Align every recording that `names` name, and `write` each; returns whether all could be aligned.

    `model`: a variant's folder, or an MLflow model. A recording that can't be read or aligned is one line on
    stderr. Raises BigfootError where outputs would get mixed up, the variant can't be opened, or was made by a Bigfoot that
    kept no text rules with it.
    """
    with ExitStack() as stack:
        recordings = files.find(names, stack)
        write.expect(recordings)
        recognizer = Recognizer.load(stack.enter_context(variant.opened(model, project)), threads)
        variant.require_text_rules(recognizer.info, model)
        progress = stack.enter_context(Progress("align", len(recordings), "recordings"))
        is_complete = True
        for recording in recordings:
            if failure := _failure(recognizer, recording, channels, write):
                is_complete = False
                print(f"error: {one_line(failure.reason)}", file=sys.stderr)
            progress.advance(1)
    return is_complete


def _failure(
    recognizer: Recognizer,
    recording: Recording | Failure,
    channels: Literal["mix", "first"],
    write: "Writer",
) -> Failure | None:
    """Align and write one recording; the reason why it can't be done, None where it was."""
    if isinstance(recording, Failure):
        return recording
    try:
        write(_aligned(recognizer, recording, channels), recording)
    except Unwritten:
        raise
    except BigfootError as error:
        return Failure.of(recording, error)
    return None


def _aligned(recognizer: Recognizer, recording: Recording, channels: Literal["mix", "first"]) -> Alignment:
    info = recognizer.info
    words = spelled(_transcript(recording), TextRules(**info["text"]), info["language"])
    if not words:
        raise BigfootError(f"the transcript of {recording.name} has no word, only marks: write down what is said in it")
    rate = info["sample_rate"]
    (channel,) = files.channels(recording, channels)
    measured, parts = files.measured(recording, channel, keep=int(WINDOW_SECONDS * rate))
    logits = np.concatenate(list(recognizer.stream(parts, measured.samples, measured.mean, measured.variance)))
    found = aligned(logits, words, info)
    return Alignment(recording.name, round(measured.samples / rate, 3), found, info.get("variant", ""))


def aligned(logits: np.ndarray, words: list[tuple[str, str]], info: dict) -> list[AlignedWord]:
    """Words with their spellings, aligned with logits [frames, vocab] of the variant whose variant.json is `info`.

    In one search where it has room for them, else part by part.
    """
    vocabulary = Vocabulary(tuple(info["vocab"]), info["blank"])
    frame_seconds = math.prod(info["conv_strides"]) / info["sample_rate"]
    spellings = [spelling for _, spelling in words]
    if anchors.fits(len(logits), sum(len(spelling) + 1 for spelling in spellings)):
        return align(logits, words, vocabulary, frame_seconds)
    found: list[AlignedWord] = []
    for frames, of_text in anchors.parts(logits, spellings, info, frame_seconds):
        anchors.check(frames, spellings[of_text.start : of_text.stop], frame_seconds)
        goes_on = of_text.stop < len(words)
        part = align(
            logits[frames.start : frames.stop], words[of_text.start : of_text.stop], vocabulary, frame_seconds, goes_on
        )
        found += [word.later(round(frames.start * frame_seconds, 3)) for word in part]
    return found


def _transcript(recording: Recording) -> str:
    if recording.is_alone:
        kind = "at an address" if recording.url else "a pipe"
        raise BigfootError(f"{recording.name} is {kind}, with no transcript beside it: save it as a file")
    audio.open_bytes(recording.path, recording.name).close()  # a recording that is missing lacks no transcript
    path = recording.path.with_suffix(".txt")
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise BigfootError(f"{recording.name} has no transcript: put it into {path}") from None
    except (OSError, UnicodeDecodeError) as error:
        reason = "it is not UTF-8" if isinstance(error, UnicodeDecodeError) else error.strerror
        raise BigfootError(f"{path} can't be read: {reason}") from None
    if "\0" in text:
        raise BigfootError(f"{path}, the transcript of {recording.name}, has a NUL: it is UTF-16 or not text, save it as UTF-8")
    if not text.strip():
        raise BigfootError(f"{path} is empty: write down what is said in {recording.name}")
    return text


class Writer(Protocol):
    """What becomes of alignments: `expect` is called once, with all recordings, before any of them is aligned."""

    def expect(self, recordings: Sized) -> None: ...

    def __call__(self, alignment: Alignment, recording: Recording) -> None: ...


class Printer:
    """Writes alignments to stdout, or into a file of the recording's name in `out`."""

    def __init__(self, form: str, out: Path | None):
        self.form, self.out = form, out
        self.named: dict[Path, str] = {}

    def expect(self, recordings: Sized) -> None:
        if self.out is None:
            outputs.require_room(self.form, recordings)

    def __call__(self, alignment: Alignment, recording: Recording) -> None:
        text = formats.FORMATS[self.form](alignment)
        if self.out is None:
            write_out(text)
        else:
            suffix = formats.SUFFIXES.get(self.form, self.form)
            outputs.write(outputs.target(recording, self.out, suffix, self.named), text)


class Cutter:
    """Writes a manifest of utterances that are cut from aligned recordings, and one of those that were left out."""

    def __init__(self, manifest: Path, most_seconds: float, least_score: float):
        if manifest.suffix.lower() not in (".jsonl", ".json"):
            raise BigfootError(f"--cut {manifest}: it will hold JSON lines, so call it {manifest.with_suffix('.jsonl').name}")
        self.rest = manifest.with_name(f"{manifest.stem}.left-out.jsonl")
        if there := next(filter(os.path.lexists, (manifest, self.rest)), None):
            raise BigfootError(f"--cut {manifest}: {there} is there already: name a new file, or remove it")
        self.manifest, self.most_seconds, self.least_score = manifest, most_seconds, least_score
        self.rows: list[dict] = []
        self.left_out: list[dict] = []
        self.seen: set[str] = set()  # recordings

    def expect(self, recordings: Sized) -> None:
        """Any number of recordings fits into a manifest."""

    def __call__(self, alignment: Alignment, recording: Recording) -> None:
        # Folders without links, or .. would lead elsewhere; but the file's own name, since DVC links files to its cache.
        place, home = (os.path.realpath(folder) for folder in (recording.path.parent, self.manifest.parent))
        audio = os.path.relpath(os.path.join(place, recording.path.name), home)
        if is_torn(audio):
            raise BigfootError("its path is not UTF-8, as a manifest has to be: rename it")
        if audio in self.seen:
            raise BigfootError("is named twice: its utterances are in the manifest once")
        self.seen.add(audio)
        for piece in pieces.cut(alignment.words, alignment.duration, self.most_seconds):
            row = {"audio": audio, **asdict(piece)}
            is_good = piece.score is not None and piece.score >= self.least_score
            (self.rows if is_good else self.left_out).append(row)

    def finish(self) -> str:
        """Write both manifests, and return what became of the recordings, in one line."""
        for path, rows in ((self.manifest, self.rows), (self.rest, self.left_out)):
            outputs.write(path, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), "--cut")
        minutes = sum(row["duration"] for row in self.rows) / 60
        unspelled = sum(row["score"] is None for row in self.left_out)
        return (
            f"{self.manifest}: {len(self.rows):,} utterances, {minutes:.1f} min; left out, in {self.rest.name}: "
            f"{len(self.left_out) - unspelled:,} with a score below {self.least_score:g}, "
            f"{unspelled:,} with a word that can't be spelled"
        )
