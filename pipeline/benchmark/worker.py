"""A process that holds one variant open and measures on command; the others wait on their pipes meanwhile.

Decision: one process per variant, because threads, allocators and caches of two runtimes in one process disturb each other,
and because peak memory belongs to a process. Commands and answers are JSON, one per line; the end of the input ends the
process, also in the middle of a command, so that no worker outlives the benchmark, however that ends.
"""

import json
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from queue import SimpleQueue

import numpy as np

from pipeline.common.errors import BigfootError
from pipeline.speech.audio import SAMPLE_RATE


class Worker:
    """Each method is a command: its arguments are the command's, its result is the answer."""

    def open(self, folder: str, threads: int, files: list[str], untimed: list[int] | None = None) -> dict:
        """Open the variant and transcribe these utterances, or all, once untimed (runtimes compile for new lengths).

        The answer is the peak memory so far.
        """
        from pipeline.recognition.recognizer import Recognizer
        from pipeline.speech import audio

        self.folder, self.threads = Path(folder), threads
        self.audios = [audio.read(file) for file in files]
        self.recognizer = Recognizer.load(self.folder, threads)
        self.untimed = range(len(files)) if untimed is None else untimed
        self._transcribe_untimed()
        return {"peak_mb": _peak_mb()}

    def turn(self, utterances: list[int]) -> dict:
        """Seconds from float array to text for each of these utterances, after one untimed run."""
        self.recognizer.transcribe(self.audios[utterances[0]])
        seconds = []
        for index in utterances:
            began = time.perf_counter()
            self.recognizer.transcribe(self.audios[index])
            seconds.append(time.perf_counter() - began)
        return {"seconds": seconds}

    def one_thread(self) -> dict:
        """Open the variant again, with one thread: from now on, `turn` and `length` use that."""
        from pipeline.recognition.recognizer import Recognizer

        del self.recognizer
        self.recognizer = Recognizer.load(self.folder, 1)
        self._transcribe_untimed()
        return {}

    def batched(self, size: int) -> dict:
        """Seconds of audio per second, in a batch of `size` equally long utterances (of the sample's median length)."""
        length = int(np.median([waveform.size for waveform in self.audios]))
        batch = [np.resize(self.audios[i % len(self.audios)], length) for i in range(size)]
        return {"rtfx": size * length / SAMPLE_RATE / _second_time(lambda: self.recognizer.transcribe_batch(batch))}

    def length(self, seconds: float) -> dict:
        """Seconds for this much audio: all utterances, one after the other, and again from the first."""
        long = np.resize(np.concatenate(self.audios), round(seconds * SAMPLE_RATE))
        return {"seconds": _second_time(lambda: self.recognizer.transcribe(long))}

    def work(self, seconds: float) -> dict:
        """Transcribe without a break for so many seconds: -> seconds of audio transcribed."""
        began, samples, index = time.perf_counter(), 0, 0
        while time.perf_counter() - began < seconds:
            waveform = self.audios[index % len(self.audios)]
            self.recognizer.transcribe(waveform)
            samples, index = samples + waveform.size, index + 1
        return {"audio_seconds": samples / SAMPLE_RATE}

    def profile(self) -> dict:
        """Milliseconds in the parts of the model, and the share of products in int8; None where the runtime doesn't tell.

        A GPU's operations end later than the calls that start them, so of these nothing is told.
        """
        from pipeline.benchmark import int8_share, profile
        from pipeline.recognition import gpu

        if gpu.is_needed(self.recognizer.info):
            return {"cnn_ms": None, "encoder_ms": None, "int8_share": None}
        share = int8_share.share(self.recognizer, self.folder, self.threads)
        return {**profile.parts(self.recognizer, self.folder, self.threads, self.audios), "int8_share": share}

    def _transcribe_untimed(self) -> None:
        for index in self.untimed:
            self.recognizer.transcribe(self.audios[index])

    def idle(self, runtime: str) -> dict:
        """Peak memory of a process that has only imported what this runtime needs, without a variant."""
        import pipeline.recognition.recognizer  # noqa: F401

        if runtime == "torch":
            import torch
            from transformers import Wav2Vec2ForCTC  # noqa: F401

            torch.zeros(1)
        elif runtime == "onnxruntime":
            import onnxruntime  # noqa: F401
        elif runtime == "ctranslate2":
            import ctranslate2  # noqa: F401
        elif runtime == "sherpa_onnx":
            import sherpa_onnx  # noqa: F401
        elif runtime == "executorch":
            import executorch.runtime  # noqa: F401
        elif runtime == "ai_edge_litert":
            import ai_edge_litert.interpreter  # noqa: F401
        else:
            import openvino

            openvino.Core().available_devices  # noqa: B018  loads the plug-ins
        return {"peak_mb": _peak_mb()}


def main(worker: Worker) -> None:
    """Answer commands until the input ends, which ends the process."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what a runtime prints is not an answer
    lines: SimpleQueue[bytes] = SimpleQueue()
    threading.Thread(target=_receive, args=(lines,), daemon=True).start()
    while True:
        command = json.loads(lines.get())
        try:
            answer = getattr(worker, command.pop("do"))(**command)
        except BigfootError as error:
            answer = {"error": str(error)}
        except Exception as error:  # a damaged file makes each runtime raise its own kind of error
            answer = {"error": f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


def _receive(lines: "SimpleQueue[bytes]") -> None:
    """Pass on the lines of the input, then end the process.

    It is read without Python's buffer, whose lock this thread would hold while a runtime forks: the child would wait for ever.
    """
    with open(0, "rb", buffering=0, closefd=False) as commands:
        for line in commands:
            lines.put(line)
    os._exit(0)


def _second_time(work: Callable[[], object]) -> float:
    """Seconds that it takes once it was done before: runtimes compile and allocate in the first run of a shape."""
    work()
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def _peak_mb() -> float:
    """Peak resident memory of this process so far, in 10^6 bytes.

    Linux keeps it for each program in VmHWM; the one in getrusage starts at the parent's peak.
    """
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmHWM:")).split()[1]) * 1024 / 1e6


if __name__ == "__main__":
    main(Worker())
