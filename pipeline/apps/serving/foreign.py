"""Files of strangers that only FFmpeg reads (M4A, WebM ...), decoded in a process of their own: bytes in, float32 out.

Decision: FFmpeg has many parsers, in C. So it runs in a process that has bounds of memory and time and ends with its file;
whatever brings it down is a file that is refused, and the server goes on. The price is half a second per file.
"""

import logging
import os
import resource
import subprocess
import sys

import numpy as np

from pipeline.common.command import errors_as_lines
from pipeline.common.errors import BigfootError, one_line
from pipeline.recognition.uploads import MOST_SAMPLES_PER_SECOND, Limits, decode_upload
from pipeline.speech import media

SECONDS = 60.0
SPARE_BYTES = 1 << 30  # of memory, beside the samples and one copy of them
ONE_THREAD = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}  # on a host of many cores their threads take all that memory

log = logging.getLogger(__name__)


def is_foreign(content: bytes) -> bool:
    """Whether these are the bytes of a file that libsndfile doesn't read and FFmpeg may."""
    return media.demuxer(content[:16]) is not None


def decode(content: bytes) -> np.ndarray:
    """float32 [T], mono, 16 kHz, within the limits that the environment sets; raises BigfootError as `decode_upload` does."""
    command = [sys.executable, "-P", "-m", __name__]  # -P: no module of the folder that the server was started in
    env = os.environ | ONE_THREAD
    try:  # in a session of its own: Ctrl-C stops the server, which answers this file first
        done = subprocess.run(command, input=content, env=env, capture_output=True, timeout=SECONDS, start_new_session=True)
    except subprocess.TimeoutExpired:
        raise BigfootError(f"the audio is not decoded within {SECONDS:g} s: convert it to WAV or FLAC") from None
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip()
        _, is_refused, reason = said.rpartition("error: ")
        if is_refused and done.returncode == BigfootError.status:
            raise BigfootError(reason)
        log.warning("a file's decoder ended with status %d: %s", done.returncode, one_line(said.rpartition("\n")[2]))
        raise BigfootError("the audio can't be decoded, it is damaged or needs too much memory: convert it to WAV or FLAC")
    return np.frombuffer(done.stdout, np.float32).copy()


def main() -> None:
    limits = Limits.from_environment()
    most = min(SPARE_BYTES + round(2 * 4 * limits.seconds * MOST_SAMPLES_PER_SECOND), sys.maxsize)
    resource.setrlimit(resource.RLIMIT_DATA, (most, most))
    sys.stdout.buffer.write(decode_upload(sys.stdin.buffer.read(), limits, media.opened).tobytes())


if __name__ == "__main__":
    with errors_as_lines():
        main()
