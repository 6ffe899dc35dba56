"""How long a fresh process takes from its start to its first text, by the steps of `bigfoot transcribe`.

    python -m pipeline.benchmark.cold_start VARIANT_FOLDER AUDIO_FILE THREADS     what each of these processes runs

Decision: the file cache is warm. The benchmark has opened the same files before, so reading the disk is not in these figures;
the first start after a boot takes longer, by the time to read the runtime and the weights. They exclude importing typer too.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

MODULE = "pipeline.benchmark.cold_start"
ENOUGH_SECONDS = 6.0  # after so many seconds on one variant, no further process is started


def measure(folder: Path, file: str, threads: int, runs: int) -> dict:
    """Medians in ms: `cold_start_ms`, from before the process exists to its text, and the part of it that is
    `Recognizer.load` with its imports, `load_ms`. Both are None for 0 runs; raises Failed where no process gives a text.
    """
    starts: list[float] = []
    loads: list[float] = []
    while len(starts) < runs and sum(starts) < 1000 * ENOUGH_SECONDS:
        began = time.perf_counter()
        load = _first_text(folder, file, threads)
        starts.append(1000 * (time.perf_counter() - began))
        loads.append(load)
    if not starts:
        return {"cold_start_ms": None, "load_ms": None}
    return {"cold_start_ms": statistics.median(starts), "load_ms": statistics.median(loads)}


def _first_text(folder: Path, file: str, threads: int) -> float:
    """Start a process and return its load_ms as soon as it has printed its text."""
    from pipeline.benchmark.processes import Failed

    environment = os.environ | {"OMP_NUM_THREADS": str(threads), "HF_HUB_OFFLINE": "1"}
    command = [sys.executable, "-m", MODULE, str(folder), file, str(threads)]
    with (
        tempfile.TemporaryFile("w+") as errors,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True, env=environment) as process,
    ):
        assert process.stdout, "stdout is a pipe"
        answer = next((line for line in process.stdout if line.startswith('{"load_ms"')), None)
        process.kill()  # do not time the shutdown
        if answer is None:
            errors.seek(0)
            reason = " ".join(errors.read().split())[-300:] or "it gives no reason"
            raise Failed(folder.name, f"a fresh process does not transcribe with it: {reason}")
    return json.loads(answer)["load_ms"]


def main(folder: str, file: str, threads: str) -> None:
    """Load the variant, transcribe the file, and print load_ms and the text as one JSON object."""
    from pipeline.recognition.recognizer import Recognizer
    from pipeline.speech import audio

    began = time.perf_counter()
    recognizer = Recognizer.load(folder, threads=int(threads))
    load = 1000 * (time.perf_counter() - began)
    text = recognizer.transcribe(audio.read(file))
    print(json.dumps({"load_ms": load, "text": text}), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
