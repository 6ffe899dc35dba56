"""What MLflow's scoring server is given to parse, and what it answers where it can't parse it.

MLflow parses a whole request before the model sees any of it, without limits, and answers with 500 what its parser fails on:
deep JSON, an integer of 5,000 digits, a request without Content-Type. It has no place for a check before that. But it looks its
function `invocations` up at each request, so a served model puts its own in front, which

- refuses a body that is larger than the files it may hold (413), and one that isn't JSON (415): CSV can't carry bytes, and
  Parquet, which can, is compressed, so that its size says nothing;
- refuses JSON of more values than such a request has (400), as parsing, nesting and columns cost time by their number;
- turns errors of MLflow's parser into 400, without their traceback, and cuts what they repeat of the request.

An error of this server stays 500, as pyfunc.py marks it.
"""

import logging
import sys
from collections.abc import Callable
from functools import wraps
from typing import Any

from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import INVALID_PARAMETER_VALUE, ErrorCode

from pipeline.recognition.uploads import Limits

SERVER = "mlflow.pyfunc.scoring_server"
MOST_VALUES = 10_000  # of JSON; base64 holds no mark of any
SPARE = 100_000  # bytes of a body besides its files
MOST_SHOWN = 1_000  # characters of the beginning and of the end of a message

log = logging.getLogger(__name__)


def guard(limits: Limits) -> None:
    """Put the checks before the server's function, once, if this process is a server."""
    server: Any = sys.modules.get(SERVER)
    if server is not None and not hasattr(server.invocations, "__wrapped__"):
        server.invocations = guarded(server.invocations, server.InvocationsResponse, limits)


def guarded(answer: Callable, response: Callable, limits: Limits) -> Callable:
    """MLflow's `invocations` behind the checks; `response` is its kind of answer."""
    most = int(limits.files * limits.mb * 1e6 * 4 / 3) + SPARE

    @wraps(answer)
    def invocations(data: bytes, content_type: str | None, model: Any, input_schema: Any) -> Any:
        if len(data) > most:
            return response(f"a request of {len(data):,} bytes, more than the {most:,} accepted here", 413, "text/plain")
        if (content_type or "").partition(";")[0].strip().lower() != "application/json":
            return response("send JSON, with the header Content-Type: application/json", 415, "text/plain")
        if sum(map(data.count, (b"[", b"{", b",", b":"))) > MOST_VALUES:
            raise MlflowException(f"the request holds more than {MOST_VALUES:,} values", INVALID_PARAMETER_VALUE)
        try:
            return answer(data, content_type, model, input_schema)
        except MlflowException as error:
            raise MlflowException(_shortened(error.message), ErrorCode.Value(error.error_code)) from None
        except Exception as error:
            log.warning("a request could not be parsed: %s", type(error).__name__)
            raise MlflowException(f"the request can't be read ({type(error).__name__})", INVALID_PARAMETER_VALUE) from None

    return invocations


def _shortened(message: str) -> str:
    return message if len(message) <= 2 * MOST_SHOWN else f"{message[:MOST_SHOWN]} ... {message[-MOST_SHOWN:]}"
