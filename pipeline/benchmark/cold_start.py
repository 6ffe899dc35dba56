"""How long a fresh process takes from its start to its first words, as `bigfoot transcribe` goes about it.

    python -m pipeline.benchmark.cold_start VARIANT_FOLDER AUDIO_FILE THREADS     what each of these processes is

Decision: warm file cache. Whoever measures has opened the same files before, so the disk is not in these figures; after a
boot the first start takes longer by what the disk needs to read the runtime and the weights. Typer is not in them either.
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
ENOUGH_SECONDS = 6.0  # once that much is spent on a variant, no further process is started


def measure(folder: Path, file: str, threads: int, runs: int) -> dict:
    """Medians: cold_start_ms, from before the process is there to its text; load_ms, of it, `Recognizer.load` with imports."""
    starts, loads = [], []
    while len(starts) < runs and sum(starts) < 1000 * ENOUGH_SECONDS:
        began = time.perf_counter()
        load = _first_words(folder, file, threads)
        starts.append(1000 * (time.perf_counter() - began))
        loads.append(load)
    if not starts:
        return {"cold_start_ms": None, "load_ms": None}
    return {"cold_start_ms": statistics.median(starts), "load_ms": statistics.median(loads)}


def _first_words(folder: Path, file: str, threads: int) -> float:
    """Start a process, return once it has said what it heard; gives its load_ms."""
    from pipeline.benchmark.processes import Failed

    environment = os.environ | {"OMP_NUM_THREADS": str(threads), "HF_HUB_OFFLINE": "1"}
    command = [sys.executable, "-m", MODULE, str(folder), file, str(threads)]
    with (
        tempfile.TemporaryFile("w+") as errors,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True, env=environment) as process,
    ):
        said = next((line for line in process.stdout if line.startswith('{"load_ms"')), None)
        process.kill()  # how it winds up is nobody's wait
        if said is None:
            errors.seek(0)
            reason = " ".join(errors.read().split())[-300:] or "it says nothing"
            raise Failed(folder.name, f"a fresh process does not transcribe with it: {reason}")
    return json.loads(said)["load_ms"]


def main(folder: str, file: str, threads: str) -> None:
    from pipeline.recognition.recognizer import Recognizer
    from pipeline.speech import audio

    began = time.perf_counter()
    recognizer = Recognizer.load(folder, threads=int(threads))
    load = 1000 * (time.perf_counter() - began)
    text = recognizer.transcribe(audio.read(file))
    print(json.dumps({"load_ms": load, "text": text}), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
