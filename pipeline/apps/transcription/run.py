"""Transcribes one recording in the memory of a window, or many in several processes, in the order of their names."""

import multiprocessing
import signal
import sys
import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack, closing, contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from tqdm import tqdm

from pipeline.apps.transcription import files, formats, outputs, variant
from pipeline.apps.transcription.files import Channels, Failure, Recording
from pipeline.apps.transcription.formats import Transcript
from pipeline.apps.transcription.words import Word, WordDecoder
from pipeline.common import engine
from pipeline.common.errors import BigfootError, one_line
from pipeline.common.parent import end_with_pool
from pipeline.common.progress import Progress
from pipeline.recognition.recognizer import WINDOW_SECONDS, Recognizer
from pipeline.speech.audio import Channel

if TYPE_CHECKING:
    from multiprocessing.sharedctypes import Synchronized

POLL_SECONDS = 0.5  # between two looks at the progress of other processes


def transcribe_file(
    recognizer: Recognizer | str | Path, file: str | Path, threads: int | None = None, channels: Channels = "mix"
) -> Transcript:
    """The transcript of an audio file of any format, rate and length, with word times and confidences.

    Of several channels it is of their mix, of the first, or of each of them (split), whose words are merged by time.
    `recognizer` may be a variant's folder, which is then opened with `threads` CPU threads; for several files open it once.
    Raises BigfootError where the variant or the file can't be read.
    """
    if not isinstance(recognizer, Recognizer):
        recognizer = Recognizer.load(recognizer, threads=threads)
    return transcribe_recording(recognizer, Recording(str(file), Path(file), Path(file)), channels)


def transcribe_recording(
    recognizer: Recognizer,
    recording: Recording,
    channels: Channels = "mix",
    advance: Callable[[float], None] = lambda seconds: None,
) -> Transcript:
    """The transcript of a recording, which is read twice where it is longer than a window, and as often for each channel.

    `advance` is called with the seconds of audio that were done since its last call.
    """
    picked = files.channels(recording, channels)
    seconds, words = 0.0, []
    for channel in picked:
        seconds, spoken = _words(recognizer, recording, channel, lambda done: advance(done / len(picked)))
        words += [replace(word, channel=channel + 1) for word in spoken] if channels == "split" and channel != "mix" else spoken
    words.sort(key=lambda word: word.start)
    return Transcript(recording.name, round(seconds, 3), words, recognizer.info.get("variant", ""))


def _words(
    recognizer: Recognizer, recording: Recording, channel: Channel, advance: Callable[[float], None]
) -> tuple[float, list[Word]]:
    """The seconds of a recording, and the words of one channel."""
    rate = recognizer.info["sample_rate"]
    measured, pieces = files.measured(recording, channel, keep=int(WINDOW_SECONDS * rate))
    decoder = WordDecoder(recognizer.info)
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
    database: Path,
    threads: int | None = None,
    workers: int = 1,
    channels: Channels = "mix",
) -> bool:
    """Write transcripts to stdout, or to one file each in `out`; returns whether every name has one.

    `model`: a variant's folder, or an MLflow model in `database` (see variant.py). A recording that can't be read is one
    line on stderr. Raises BigfootError where the variant can't be opened, or outputs would get mixed up.
    """
    with ExitStack() as stack:
        recordings = files.find(names, stack)
        targets = _targets(recordings, form, out)
        folder = stack.enter_context(variant.opened(model, database))
        if not (folder / "variant.json").is_file():
            raise BigfootError(f"{folder} has no readable variant.json: give a folder of variants/")
        progress = stack.enter_context(Progress("transcribe", _total_seconds(recordings), "seconds of audio"))
        results = stack.enter_context(closing(_transcripts(folder, recordings, channels, threads, workers, progress.advance)))
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


def _total_seconds(recordings: Sequence[Recording | Failure]) -> float:
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
    sys.stdout.write(text)
    sys.stdout.flush()


# ---------------------------------------------------------------- one process or several


def _transcripts(
    folder: Path,
    recordings: list[Recording | Failure],
    channels: Channels,
    threads: int | None,
    workers: int,
    advance: Callable[[float], None],
) -> Generator[Transcript | Failure]:
    """One result per recording, in order. `advance` is called with seconds of audio as they are done."""
    workers = min(workers, len(recordings))
    if workers <= 1:
        _Worker.begin(folder, channels, threads, advance)
        yield from map(_Worker.work, recordings)
        return
    each = threads or max(1, engine.cores() // workers)
    context = multiprocessing.get_context("spawn")
    count: Synchronized[float] = context.Value("d", 0.0)  # seconds of audio done by all workers
    done = 0.0  # of them, those that `advance` was called with
    pool = ProcessPoolExecutor(workers, context, _Worker.begin_apart, (folder, channels, each, count))
    try:
        # pool.map would cancel waiting futures on exit, which a pool fails on whose workers are then terminated.
        with _interrupts_ignored():  # by workers from their first moment on, as a process inherits it
            waiting = [pool.submit(_Worker.work, recording) for recording in recordings]
        while waiting:
            is_done = bool(wait(waiting[:1], POLL_SECONDS).done)
            # Read without its lock, which a killed worker may hold.
            so_far = count.get_obj().value
            advance(so_far - done)
            done = so_far
            if is_done:
                yield waiting.pop(0).result()
        pool.shutdown()
    except BrokenProcessPool:
        raise BigfootError("a worker process was killed, most likely for lack of memory: try fewer --workers") from None
    finally:  # all is done, or the caller stopped early
        pool.shutdown(wait=False)
        for child in multiprocessing.active_children():
            child.terminate()


@contextmanager
def _interrupts_ignored() -> Iterator[None]:
    """Ctrl-C does nothing in this process, or in those that it starts, while the block runs."""
    if threading.current_thread() is not threading.main_thread():  # only the main thread may change it
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


class _Worker:
    """The state that a process keeps from one recording to the next."""

    folder: Path
    channels: Channels
    threads: int | None
    advance: Callable[[float], None]
    recognizer: Recognizer | None = None

    @classmethod
    def begin(cls, folder: Path, channels: Channels, threads: int | None, advance: Callable[[float], None]) -> None:
        cls.folder, cls.channels, cls.threads = folder, channels, threads
        cls.advance, cls.recognizer = staticmethod(advance), None

    @classmethod
    def begin_apart(cls, folder: Path, channels: Channels, threads: int, count: "Synchronized[float]") -> None:
        """In a process of its own, which ends with its parent in any case, and leaves Ctrl-C to it."""
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        end_with_pool()
        cls.begin(folder, channels, threads, partial(_add, count))

    @classmethod
    def work(cls, recording: Recording | Failure) -> Transcript | Failure:
        """The transcript, or the reason why there is none. Raises BigfootError where the variant can't be opened."""
        if isinstance(recording, Failure):
            return recording
        cls.recognizer = cls.recognizer or Recognizer.load(cls.folder, threads=cls.threads)
        try:
            return transcribe_recording(cls.recognizer, recording, cls.channels, cls.advance)
        except BigfootError as error:
            return Failure.of(recording, error)


def _add(count: "Synchronized[float]", seconds: float) -> None:
    with count.get_lock():
        count.value += seconds
