"""Transcribes one recording in the memory of a window, or many, in processes or on a cluster, in the order of their names."""

import os
import sys
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import TypeVar

from tqdm import tqdm

from pipeline.apps.transcription import files, formats, outputs, variant
from pipeline.apps.transcription.files import Channels, Failure, Recording
from pipeline.apps.transcription.formats import Transcript
from pipeline.apps.transcription.searched import SearchedWords, word_decoder
from pipeline.apps.transcription.words import Word, WordDecoder
from pipeline.common import cluster, engine
from pipeline.common.command import write_out
from pipeline.common.errors import BigfootError, one_line
from pipeline.common.progress import Progress
from pipeline.project import Project
from pipeline.recognition.recognizer import WINDOW_SECONDS, Recognizer
from pipeline.speech.audio import Channel

Result = TypeVar("Result")


def transcribe_file(
    recognizer: Recognizer | str | Path,
    file: str | Path,
    threads: int | None = None,
    channels: Channels = "mix",
    hot_words: Sequence[str] = (),
) -> Transcript:
    """The transcript of an audio file of any format, rate and length, with word times and confidences.

    Of several channels it is of their mix, of the first, or of each of them (split), whose words are merged by time.
    `hot_words`, such as names, are made likelier.
    `recognizer` may be a variant's folder, which is then opened with `threads` CPU threads; for several files open it once.
    Raises BigfootError where the variant or the file can't be read.
    """
    if not isinstance(recognizer, Recognizer):
        recognizer = Recognizer.load(recognizer, threads=threads)
    return transcribe_recording(recognizer, Recording(str(file), Path(file), Path(file)), channels, hot_words)


def transcribe_recording(
    recognizer: Recognizer,
    recording: Recording,
    channels: Channels = "mix",
    hot_words: Sequence[str] = (),
    advance: Callable[[float], None] = lambda seconds: None,
) -> Transcript:
    """The transcript of a recording, which is read twice where it is longer than a window, and as often for each channel.

    `advance` is called with the seconds of audio that were done since its last call.
    """
    picked = files.channels(recording, channels)
    seconds, words = 0.0, []
    for channel in picked:
        decoder = word_decoder(recognizer, hot_words)
        seconds, spoken = _words(recognizer, recording, channel, decoder, lambda done: advance(done / len(picked)))
        words += [replace(word, channel=channel + 1) for word in spoken] if channels == "split" and channel != "mix" else spoken
    words.sort(key=lambda word: word.start)
    return Transcript(recording.name, round(seconds, 3), words, recognizer.info.get("variant", ""))


def _words(
    recognizer: Recognizer,
    recording: Recording,
    channel: Channel,
    decoder: WordDecoder | SearchedWords,
    advance: Callable[[float], None],
) -> tuple[float, list[Word]]:
    """The seconds of a recording, and the words of one channel."""
    rate = recognizer.info["sample_rate"]
    measured, pieces = files.measured(recording, channel, keep=int(WINDOW_SECONDS * rate))
    words: list[Word] = []
    for logits in recognizer.stream(pieces, measured.samples, measured.mean, measured.variance):
        words += decoder.decode(logits)
        advance(measured.samples / rate * len(logits) / max(1, recognizer.frames(measured.samples)))
    return measured.samples / rate, words + decoder.end()


def transcribe(
    model: str,
    names: Sequence[str],
    form: str,
    out: Path | None,
    project: Project,
    threads: int | None = None,
    workers: int = 1,
    channels: Channels = "mix",
    hot_words: Sequence[str] = (),
) -> bool:
    """Write transcripts to stdout, or to one file each in `out`; returns whether every name has one.

    `model`: a variant's folder, or an MLflow model (see variant.py). A recording that can't be read is one
    line on stderr. Raises BigfootError where the variant can't be opened, outputs would get mixed up, or hot words are not
    accepted.
    """
    with ExitStack() as stack:
        recordings = files.find(names, stack)
        targets = _targets(recordings, form, out)
        folder = stack.enter_context(opened(model, project))
        progress = stack.enter_context(Progress("transcribe", total_seconds(recordings), "seconds of audio"))
        options = (channels, hot_words, threads, workers, progress.advance)
        results = stack.enter_context(closing(spread(transcribed, folder, recordings, *options)))
        is_complete = True
        for target, result in zip(targets, results, strict=True):
            with tqdm.external_write_mode():  # the bar makes room
                if isinstance(result, Failure):
                    is_complete = False
                    print(f"error: {one_line(result.reason)}", file=sys.stderr)
                elif target is None:
                    _print(result, form, is_alone=len(recordings) == 1)
                else:
                    outputs.write(target, formats.FORMATS[form](result))
    return is_complete


@contextmanager
def opened(model: str, project: Project) -> Iterator[Path]:
    """The folder of a variant, which this process's recognizer forgets afterwards: the next one may be another in its place."""
    with variant.opened(model, project) as folder:
        if not os.path.isfile(folder / "variant.json"):
            raise BigfootError(f"{folder} has no readable variant.json: give a folder of variants/")
        try:
            yield folder
        finally:
            _recognizer.cache_clear()


def total_seconds(recordings: Sequence[Recording | Failure]) -> float:
    """The duration of all recordings; 0 where it is not known, since a header states none."""
    durations = [files.seconds(recording) for recording in recordings if isinstance(recording, Recording)]
    known = [duration for duration in durations if duration is not None]
    return sum(known) if len(known) == len(durations) else 0.0


def _targets(recordings: list[Recording | Failure], form: str, out: Path | None) -> list[Path | None]:
    """The file that each transcript goes to, None for stdout."""
    if out is None:
        outputs.require_room(form, recordings)
        return [None] * len(recordings)
    named: dict[Path, str] = {}
    return [None if isinstance(each, Failure) else outputs.target(each, out, form, named) for each in recordings]


def _print(transcript: Transcript, form: str, is_alone: bool) -> None:
    text = formats.FORMATS[form](transcript)
    if form == "txt" and not is_alone:
        text = "".join(f"{one_line(transcript.file)}\t{line}\n" for line in text[:-1].split("\n"))
    write_out(text)


def spread(
    function: Callable[..., Result],
    folder: Path,
    recordings: Sequence[Recording | Failure],
    channels: Channels,
    hot_words: Sequence[str],
    threads: int | None,
    workers: int,
    advance: Callable[[float], None],
) -> Generator[Result]:
    """One result of `function`, which takes what `transcribed` does, per recording, in order.

    `advance` is called with seconds of audio as they are done.
    """
    workers = min(workers, len(recordings))
    if cluster.is_used():
        threads = threads or 1
    elif workers <= 1:
        workers = 0
    else:
        threads = threads or max(1, engine.cores() // workers)
    return engine.mapped(function, ((folder, threads, channels, hot_words, each) for each in recordings), workers, advance)


def transcribed(
    folder: Path, threads: int | None, channels: Channels, hot_words: Sequence[str], recording: Recording | Failure
) -> Transcript | Failure:
    """The transcript, or the reason why there is none. Raises BigfootError where the variant or hot words can't be used."""
    if isinstance(recording, Failure):
        return recording
    recognizer = _recognizer(folder, threads)
    recognizer.decoder(hot_words)
    try:
        with files.here(recording) as file:
            return transcribe_recording(recognizer, file, channels, hot_words, engine.advance)
    except BigfootError as error:
        return Failure.of(recording, error)


@lru_cache(maxsize=1)
def _recognizer(folder: Path, threads: int | None) -> Recognizer:
    """A process keeps it from one recording to the next."""
    return Recognizer.load(folder, threads=threads)
