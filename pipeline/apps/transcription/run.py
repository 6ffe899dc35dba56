"""Transcribing: one recording in the memory of a window, or many in several processes, in the order they were named."""

import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack, closing
from pathlib import Path

from pipeline.apps.transcription import files, formats, variant
from pipeline.apps.transcription.files import Failure, Recording
from pipeline.apps.transcription.formats import Transcript
from pipeline.apps.transcription.progress import Progress
from pipeline.apps.transcription.words import Speller
from pipeline.common.errors import BigfootError
from pipeline.common.files import write_whole
from pipeline.recognition.recognizer import WINDOW_SECONDS, Recognizer


def transcribe_file(recognizer: Recognizer | str | Path, file: str | Path, threads: int | None = None) -> Transcript:
    """The transcript of an audio file of any format, rate and length, with word times and confidences.

    `recognizer` may be a variant's folder, which is then opened with so many threads; for several files open it once.
    Raises BigfootError where either can't be read.
    """
    if not isinstance(recognizer, Recognizer):
        recognizer = Recognizer.load(recognizer, threads=threads)
    return transcribe_recording(recognizer, Recording(str(file), Path(file), Path(file)))


def transcribe_recording(
    recognizer: Recognizer, recording: Recording, heard: Callable[[float], None] = lambda seconds: None
) -> Transcript:
    """`heard` is told of seconds of audio as they are done. What is longer than a window is read twice."""
    rate = recognizer.info["sample_rate"]
    found, kept = files.measure(files.blocks(recording), keep=int(WINDOW_SECONDS * rate))
    pieces = files.blocks(recording) if kept is None else kept
    speller, words = Speller(recognizer.info), []
    for logits in recognizer.stream(pieces, found.samples, found.mean, found.variance):
        words += speller.hear(logits)
        heard(found.samples / rate * len(logits) / max(1, recognizer.frames(found.samples)))
    words += speller.end()
    return Transcript(recording.name, round(found.samples / rate, 3), words, recognizer.info.get("variant", ""))


def transcribe(
    model: str, names: Sequence[str], form: str, out: Path | None, threads: int | None = None, workers: int = 1
) -> bool:
    """The command: transcripts to stdout, or to a file each in `out`; True where all that was named has one."""
    with ExitStack() as stack:
        recordings = files.find(names, stack)
        targets = _targets(recordings, form, out)
        folder = stack.enter_context(variant.opened(model))
        if not (folder / "variant.json").is_file():
            raise BigfootError(f"{folder} has no readable variant.json: give a folder of variants/")
        count = multiprocessing.get_context("spawn").Value("d", 0.0)
        total = sum(files.seconds(one) for one in recordings if isinstance(one, Recording))
        # Read without its lock, which a worker that was killed may have held.
        progress = stack.enter_context(Progress(total, lambda: count.get_obj().value))
        results = stack.enter_context(closing(_transcripts(folder, recordings, threads, workers, count)))
        is_whole = True
        for target, result in zip(targets, results, strict=True):
            progress.make_room()
            if isinstance(result, Failure):
                is_whole = False
                print(f"error: {result.reason}", file=sys.stderr)
            elif target is None:
                _print(result, form, is_alone=len(recordings) == 1)
            else:
                _write(target, formats.FORMATS[form](result))
    return is_whole


def _targets(recordings: list[Recording | Failure], form: str, out: Path | None) -> list[Path | None]:
    """The file that each transcript goes to, None for stdout."""
    if out is None:
        if form in ("srt", "vtt") and len(recordings) > 1:
            raise BigfootError(f"{form} of {len(recordings)} files can't share stdout: give --out-dir, for a file each")
        return [None] * len(recordings)
    named: dict[Path, str] = {}
    for one in recordings:
        if isinstance(one, Failure):
            continue
        target = out / one.out.with_name(f"{one.out.name}.{form}")
        if target in named:
            raise BigfootError(f"{named[target]} and {one.name} would both become {target}: transcribe them apart")
        named[target] = one.name
    waiting = iter(named)
    return [None if isinstance(one, Failure) else next(waiting) for one in recordings]


def _write(target: Path, text: str) -> None:
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        write_whole(target, text)
    except OSError as error:
        raise BigfootError(f"{target} can't be written: {error.strerror or error}: give another --out-dir") from None


def _print(transcript: Transcript, form: str, is_alone: bool) -> None:
    text = formats.FORMATS[form](transcript)
    if form == "txt" and not is_alone:
        text = f"{transcript.file}\t{text}"
    sys.stdout.write(text)
    sys.stdout.flush()


# ---------------------------------------------------------------- one process or several


def _transcripts(
    folder: Path, recordings: list[Recording | Failure], threads: int | None, workers: int, count
) -> Iterator[Transcript | Failure]:
    """One for each recording, in order. `count` is a shared number: the seconds of audio heard so far."""
    workers = min(workers, len(recordings))
    if workers <= 1:
        _Worker.begin(folder, threads, count)
        yield from map(_Worker.work, recordings)
        return
    each = threads or max(1, len(os.sched_getaffinity(0)) // workers)
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(workers, context, _Worker.begin_apart, (folder, each, count))
    try:
        # Not pool.map: it cancels what waits when it is left, and a pool whose workers are then ended stumbles over that.
        waiting = [pool.submit(_Worker.work, one) for one in recordings]
        while waiting:
            yield waiting.pop(0).result()
        pool.shutdown()
    except BrokenProcessPool:
        raise BigfootError("a worker was ended from outside, most likely for want of memory: try fewer --workers") from None
    finally:  # nothing is left to do, or nobody waits for it any more
        pool.shutdown(wait=False)
        for child in multiprocessing.active_children():
            child.terminate()


class _Worker:
    """What a process keeps from one recording to the next."""

    folder: Path
    threads: int | None
    count = None
    recognizer: Recognizer | None = None

    @classmethod
    def begin(cls, folder: Path, threads: int | None, count) -> None:
        cls.folder, cls.threads, cls.count, cls.recognizer = folder, threads, count, None

    @classmethod
    def begin_apart(cls, folder: Path, threads: int, count) -> None:
        """In a process of its own, which ends with its parent however that ends, and leaves Ctrl-C to it."""
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        parent = multiprocessing.parent_process()
        threading.Thread(target=lambda: (parent.join(), os._exit(1)), daemon=True).start()
        cls.begin(folder, threads, count)

    @classmethod
    def work(cls, recording: Recording | Failure) -> Transcript | Failure:
        """The transcript, or why there is none. A variant that can't be opened raises: it is so for all recordings."""
        if isinstance(recording, Failure):
            return recording
        cls.recognizer = cls.recognizer or Recognizer.load(cls.folder, threads=cls.threads)
        try:
            return transcribe_recording(cls.recognizer, recording, cls._heard)
        except BigfootError as error:
            named = str(error) if recording.name in str(error) else f"{recording.name}: {error}"
            return Failure(recording.name, named)

    @classmethod
    def _heard(cls, seconds: float) -> None:
        with cls.count.get_lock():
            cls.count.value += seconds
