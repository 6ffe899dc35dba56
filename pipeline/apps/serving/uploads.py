"""`POST /v1/audio/transcriptions`, as OpenAI's clients send it: a file in a form, text in one of OpenAI's formats back.

Decision: what would change the text and is not supported (a prompt, a temperature above 0, another language) is refused, never
ignored in silence. Where a client vanishes, its file is given up between two windows.
"""

import asyncio
import io
import threading
import time
from dataclasses import dataclass

from fastapi import Request
from fastapi.responses import JSONResponse, PlainTextResponse, Response
from starlette.requests import ClientDisconnect
from werkzeug.exceptions import HTTPException
from werkzeug.formparser import FormDataParser
from werkzeug.http import parse_options_header

from pipeline.apps.serving import foreign
from pipeline.apps.serving.service import Full, Service, Worker
from pipeline.apps.transcription import formats
from pipeline.apps.transcription.formats import Transcript
from pipeline.apps.transcription.searched import word_decoder
from pipeline.common.errors import BigfootError, one_line
from pipeline.recognition.uploads import decode_upload
from pipeline.speech.audio import SAMPLE_RATE

PATH = "/v1/audio/transcriptions"
FORMATS = ("json", "text", "srt", "vtt", "verbose_json")
LISTS = "timestamp_granularities[]"  # the only field that may be given more than once
FIELDS = ("file", "model", "response_format", "language", "temperature", LISTS, "stream")
GRANULARITIES = ("word", "segment")  # verbose_json has both
SPARE = 100_000  # bytes of a form besides its file
CLIENT_GONE = 499  # nginx's status, for the figures
BODY_SECONDS = 60.0  # for a body to arrive


class Refused(Exception):
    """A request that is at fault: its HTTP status, and the reason."""

    def __init__(self, status: int, reason: str):
        super().__init__(reason)
        self.status = status


@dataclass(frozen=True)
class Upload:
    """A checked form."""

    name: str
    content: bytes
    form: str


async def serve(request: Request, service: Service) -> Response:
    """The answer to one request; each has a status and, if not 200, a reason in OpenAI's form."""
    start = time.perf_counter()
    try:
        with service.file() as worker:
            body = await _body(request, service)
            upload = await asyncio.to_thread(_checked, body, request.headers.get("content-type"), service)
            response = _answer(await _transcribed(request, upload, service, worker), upload.form, service)
            service.figures.file_seconds.observe(time.perf_counter() - start)
    except Refused as refused:
        response = error(refused.status, str(refused))
    except BigfootError as reason:
        response = error(400, str(reason))
    except ClientDisconnect:
        response = error(CLIENT_GONE, "the client has gone")
    except Full as reason:
        response = error(503, str(reason))
        response.headers["Retry-After"] = "5"
    service.figures.answers.labels(PATH, response.status_code).inc()
    return response


def error(status: int, reason: str) -> Response:
    kind = "invalid_request_error" if status < 500 else "server_error"
    return JSONResponse({"error": {"message": reason, "type": kind, "param": None, "code": None}}, status)


async def _body(request: Request, service: Service) -> bytes:
    """The whole body, as large as a file may be and no larger."""
    most, parts, size = int(service.limits.mb * 1e6) + SPARE, [], 0
    too_large = Refused(413, f"more than the {service.limits.mb:g} MB accepted here: cut or compress the file")
    if int(request.headers.get("content-length") or 0) > most:
        raise too_large
    try:
        async with asyncio.timeout(BODY_SECONDS):
            async for part in request.stream():
                size += len(part)
                if size > most:
                    raise too_large
                parts.append(part)
    except TimeoutError:
        raise Refused(408, f"the request did not arrive within {BODY_SECONDS:g} s") from None
    return b"".join(parts)


def _checked(body: bytes, content_type: str | None, service: Service) -> Upload:
    """The form that a body holds; raises Refused."""
    kind, options = parse_options_header(content_type)
    if kind != "multipart/form-data":
        raise Refused(415, "send multipart/form-data with the fields file and model")
    parser = FormDataParser(lambda *_, **__: io.BytesIO(), SPARE, silent=False, max_form_parts=20)
    try:
        _, fields, files = parser.parse(io.BytesIO(body), kind, len(body), options)
    except (ValueError, HTTPException) as reason:
        raise Refused(400, f"the form can't be read: {one_line(str(reason))[:200]}") from None
    unknown = sorted(map(str, {*fields, *files} - {*FIELDS}))  # a part without a name has None
    if unknown:
        raise Refused(400, f"{one_line(', '.join(unknown))[:200]}: not supported here, known: {', '.join(FIELDS)}")
    if twice := [name for name in fields if name != LISTS and len(fields.getlist(name)) > 1]:
        raise Refused(400, f"{twice[0]} is given twice: send it once")
    if len(files.getlist("file")) != 1:
        raise Refused(400, "send one file, in the field file, with a filename")
    if (model := fields.get("model", service.name)) != service.name:
        raise Refused(404, f"the model {one_line(model)[:200]!r} is not served here, but {service.name}")
    form = fields.get("response_format", "json")
    if form not in FORMATS:
        raise Refused(400, f"response_format is {one_line(form)[:200]!r}, known: {', '.join(FORMATS)}")
    language = service.info.get("language")
    if language and fields.get("language", language).split("-")[0].lower() != language.split("-")[0].lower():
        raise Refused(400, f"{service.name} recognizes {language}: leave out language")
    if fields.get("temperature", "0") not in ("0", "0.0") or fields.get("stream", "false").lower() != "false":
        raise Refused(400, "temperature has to be 0 and stream false: the text is the likeliest one, sent when it is complete")
    if unknown := sorted({*fields.getlist(LISTS)} - {*GRANULARITIES}):
        raise Refused(400, f"{LISTS} is {one_line(unknown[0])[:200]!r}, known: {', '.join(GRANULARITIES)}")
    file = files["file"]
    return Upload(one_line(file.filename or "audio"), file.read(), form)


async def _transcribed(request: Request, upload: Upload, service: Service, worker: Worker) -> Transcript:
    """The transcript, which is given up where the client vanishes."""
    is_gone = threading.Event()

    async def watch() -> None:
        while (await request.receive())["type"] != "http.disconnect":
            pass
        is_gone.set()

    watching = asyncio.create_task(watch())
    try:
        return await worker.run(_transcribe, upload, service, is_gone)
    finally:
        watching.cancel()


def _transcribe(upload: Upload, service: Service, is_gone: threading.Event) -> Transcript:
    def require_client() -> None:
        if is_gone.is_set():
            raise Refused(CLIENT_GONE, "the client has gone")

    recognizer = service.files.recognizer
    require_client()
    is_foreign = foreign.is_foreign(upload.content)
    samples = foreign.decode(upload.content) if is_foreign else decode_upload(upload.content, service.limits)
    recognizer.before_pass = require_client
    decoder = word_decoder(recognizer)
    words = decoder.decode(recognizer.logits(samples)) + decoder.end()
    seconds = samples.size / SAMPLE_RATE
    service.figures.audio.labels("file").inc(seconds)
    return Transcript(upload.name, round(seconds, 3), words, service.name)


def _answer(transcript: Transcript, form: str, service: Service) -> Response:
    if form == "json":
        return JSONResponse({"text": transcript.text})
    if form != "verbose_json":
        return PlainTextResponse(formats.FORMATS["txt" if form == "text" else form](transcript))
    cues = formats.cues(transcript.words, transcript.duration)
    segments = [
        {"id": number, "start": cue.start / 1000, "end": cue.end / 1000, "text": " ".join(cue.lines)}
        for number, cue in enumerate(cues)
    ]
    words = [word.as_object() for word in transcript.words]
    about = {"task": "transcribe", "language": service.info.get("language"), "duration": transcript.duration}
    return JSONResponse({**about, "text": transcript.text, "segments": segments, "words": words})
