"""Starts the server, and stops it: SIGTERM or Ctrl-C lets what is under way end, and refuses the rest (503).

A file is answered; a stream gets its last utterance and is closed (1001). A second signal stops at once.
"""

import asyncio
import errno
import logging
import os
import socket
import time
from types import FrameType

import uvicorn
from fastapi import FastAPI, Request, WebSocket
from fastapi.responses import JSONResponse, Response
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.exceptions import HTTPException

from pipeline.apps.serving import streams, uploads
from pipeline.apps.serving.service import Service
from pipeline.apps.transcription import variant
from pipeline.common.command import end_if_told
from pipeline.common.errors import BigfootError
from pipeline.project import Project
from pipeline.speech.live import Live

DRAIN_SECONDS = 0.05  # between two looks at what is under way


def serve(model: str, project: Project, live: Live, host: str, port: int, workers: int) -> None:
    """Serve a variant until a signal comes. Raises BigfootError where it can't be opened, or the port is in use."""
    with variant.opened(model, project) as folder:
        service = Service(folder, live, workers)
    with _socket(host, port) as listening:
        for name in ("uvicorn", "uvicorn.error"):
            logging.getLogger(name).setLevel(logging.WARNING)
        config = uvicorn.Config(
            app(service), log_config=None, access_log=False, ws_max_size=streams.MOST_BYTES, ws_ping_interval=None,
            ws_per_message_deflate=False, server_header=False,
        )  # fmt: skip
        host, port = listening.getsockname()[:2]
        print(f"{service.name} is at http://{f'[{host}]' if ':' in host else host}:{port}   (Ctrl-C stops it)", flush=True)
        Server(config, service).run([listening])


def app(service: Service) -> FastAPI:
    """The endpoints of a service."""
    made = FastAPI(title="Bigfoot", docs_url=None, redoc_url=None, openapi_url=None)

    @made.get("/health")
    async def health() -> Response:
        is_stopping = service.stopping.is_set()
        return JSONResponse({"status": "stopping" if is_stopping else "ok", "model": service.name}, 503 if is_stopping else 200)

    @made.get("/metrics")
    async def metrics() -> Response:
        return Response(service.figures.text(), media_type=CONTENT_TYPE_LATEST)

    served = {"id": service.name, "object": "model", "created": int(time.time()), "owned_by": "bigfoot"}

    @made.get("/v1/models")
    async def models() -> Response:
        return JSONResponse({"object": "list", "data": [served]})

    @made.post(uploads.PATH)
    async def transcriptions(request: Request) -> Response:
        return await uploads.serve(request, service)

    @made.exception_handler(HTTPException)
    async def refuse(request: Request, error: HTTPException) -> Response:
        return uploads.error(error.status_code, f"{request.method} {request.url.path}: {error.detail}")

    @made.websocket("/v1/live")
    async def live(websocket: WebSocket) -> None:
        await streams.serve(websocket, service)

    return made


class Server(uvicorn.Server):
    """uvicorn's server, which refuses connections as soon as a signal comes: this one first answers them with 503."""

    def __init__(self, config: uvicorn.Config, service: Service):
        super().__init__(config)
        self._service = service

    async def serve(self, sockets: list[socket.socket] | None = None) -> None:
        self._loop = asyncio.get_running_loop()
        await super().serve(sockets)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        end_if_told()  # before uvicorn took the signals over
        await super().startup(sockets)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        if self._service.stopping.is_set():
            os._exit(128 + sig)  # uvicorn would wait for the file that is being recognized
        else:
            self._loop.call_soon_threadsafe(lambda: self._loop.create_task(self._drain()))

    async def _drain(self) -> None:
        self._service.stopping.set()
        while not self._service.is_idle:
            await asyncio.sleep(DRAIN_SECONDS)
        self.should_exit = True


def _socket(host: str, port: int) -> socket.socket:
    try:
        return socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except OSError as error:
        if error.errno in (errno.EADDRINUSE, errno.EACCES):
            raise BigfootError(f"{host}:{port} can't be opened ({error.strerror}): choose another --port") from None
        raise BigfootError(f"--host {host} is no address of this machine: 127.0.0.1 and 0.0.0.0 are") from None
