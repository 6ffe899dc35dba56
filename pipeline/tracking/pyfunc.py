"""A variant as an MLflow model: audio files in, text out. MLflow runs this file itself (models-from-code); no pickle.

    model = mlflow.pyfunc.load_model("models:/MODEL_ID")
    model.predict(pandas.DataFrame({"audio": [Path("speech.wav").read_bytes()]}))     # -> columns text, duration

`audio` is a whole file (WAV, FLAC, MP3, OGG, any rate) as bytes, which a served model accepts as base64 in JSON. A request's
params may have `hot_words`, a list of names and words to expect (docs/decoding.md).

Decision: the files of a request are transcribed one by one, under a lock. A Recognizer is not safe to share between threads,
and MLflow's server answers each request in a thread of its own; one file at a time bounds memory and gives the same text
whatever other requests there are. What batches would gain is rtfx_batched compared with rtfx.
`mlflow models serve --workers N` has N recognizers.

A request that takes longer than the server's `--timeout` is answered with 504 by then. So it gives up, while it waits for its
turn, before each file or between the windows of a long one, and doesn't make the next one wait.

Bigfoot's modules are imported inside functions: MLflow also runs this file when it saves a model, and the copy of them that
the model carries (pipeline/tracking/closure.py) can be imported only once it is loaded.
"""

import logging
import threading
import time
from pathlib import Path

import pandas
from mlflow.exceptions import MlflowException
from mlflow.models import set_model
from mlflow.protos.databricks_pb2 import INTERNAL_ERROR, INVALID_PARAMETER_VALUE, TEMPORARILY_UNAVAILABLE
from mlflow.pyfunc.model import PythonModel

log = logging.getLogger(__name__)


class Transcriber(PythonModel):
    """The Recognizer behind MLflow's interface."""

    def load_context(self, context):
        from pipeline.recognition import seal
        from pipeline.recognition.recognizer import Recognizer
        from pipeline.recognition.uploads import Limits, number
        from pipeline.tracking.requests import guard

        self.limits = Limits.from_environment()
        folder = Path(context.artifacts["variant"])
        seal.read(folder)
        self.recognizer = Recognizer.load(folder, number("BIGFOOT_SERVE_THREADS", int, None))
        self.lock = threading.Lock()
        self.seconds = number("MLFLOW_SCORING_SERVER_REQUEST_TIMEOUT", float, threading.TIMEOUT_MAX)  # set by the server
        guard(self.limits)

    def predict(self, context, model_input: pandas.DataFrame, params=None) -> pandas.DataFrame:
        """One row per recording, column `audio` (bytes of a file) -> one row each, columns `text` and `duration` (seconds).

        Raises MlflowException: INVALID_PARAMETER_VALUE (HTTP 400), with the reason, where a file is at fault, and then
        none is transcribed; INTERNAL_ERROR (500) where the server is at fault; TEMPORARILY_UNAVAILABLE (503) where it took
        longer than the server waits.
        """
        deadline = time.monotonic() + self.seconds
        from pipeline.common.errors import BigfootError

        files, rows = list(model_input["audio"]), []
        hot_words = list((params or {}).get("hot_words", ()))
        if len(files) > self.limits.files:
            raise _refused(f"{len(files)} files in one request, more than the {self.limits.files} accepted here: send fewer")
        for position, content in enumerate(files, 1):
            try:
                rows.append(self._transcribe(content, hot_words, deadline))
            except MlflowException:
                raise
            except BigfootError as error:
                raise _refused(f"file {position} of {len(files)}: {error}" if len(files) > 1 else str(error)) from None
            except Exception as error:  # otherwise MLflow reports a mistake of the client
                log.exception("file %d of %d could not be transcribed", position, len(files))
                raise MlflowException("transcribing failed, see the server's log", INTERNAL_ERROR) from error
        return pandas.DataFrame(rows, columns=["text", "duration"], index=model_input.index)

    def _transcribe(self, content: object, hot_words: list[str], deadline: float) -> tuple[str, float]:
        from pipeline.common.errors import BigfootError
        from pipeline.recognition import uploads
        from pipeline.speech import audio

        def require_time() -> None:
            if time.monotonic() > deadline:
                raise _late()

        if not self.lock.acquire(timeout=max(0.0, deadline - time.monotonic())):
            raise _late()
        try:
            waveform = uploads.decode_upload(content, self.limits)
        except audio.AudioError as error:
            raise BigfootError(f"{error}; {uploads.ACCEPTED}") from None
        else:
            self.recognizer.before_pass = require_time
            return self.recognizer.transcribe(waveform, hot_words), len(waveform) / audio.SAMPLE_RATE
        finally:
            self.lock.release()


def _late() -> MlflowException:
    return MlflowException("the request took longer than this server waits, try again later", TEMPORARILY_UNAVAILABLE)


def _refused(reason: str) -> MlflowException:
    return MlflowException(reason, INVALID_PARAMETER_VALUE)


set_model(Transcriber())
