"""`/v1/live`: PCM in binary messages, utterances out as JSON.

In: PCM as pcm.py takes it, in pieces of any size; then the text message {"type": "end"}, which is answered with the last
utterance and a close. Out: {"type": "partial" or "final", "text", "start", "end", "words"}, and {"type": "error", "message"}
before the server closes for a fault of the client's (1003).

The next message is read once the last one is recognized and answered, so whoever sends faster, or doesn't read, waits; nothing
piles up here.
"""

import asyncio
import json
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing

import numpy as np
from fastapi import WebSocket
from fastapi.responses import JSONResponse
from starlette.websockets import WebSocketDisconnect

from pipeline.apps.live.pcm import Pcm
from pipeline.apps.live.session import Session, Utterance
from pipeline.apps.serving.service import Full, Service, Worker
from pipeline.common.errors import BigfootError

MOST_BYTES = 1 << 20  # per message
AT_ONCE = 8_000  # samples, after which another stream has its turn
IDLE_SECONDS = 30.0  # without audio, or without reading what is sent
CLOSING_SECONDS = 0.1
DONE, GOING_AWAY, UNSUPPORTED = 1000, 1001, 1003
END = 'the only text message is {"type": "end"}; audio is sent in binary messages'


async def serve(websocket: WebSocket, service: Service) -> None:
    """One stream, from its handshake to its close."""
    try:
        with service.stream() as worker:
            await websocket.accept()
            service.figures.answers.labels("/v1/live", 101).inc()
            await _Stream(websocket, service, worker).run()
    except Full as reason:
        service.figures.answers.labels("/v1/live", 503).inc()
        await websocket.send_denial_response(JSONResponse({"error": {"message": str(reason)}}, 503, {"Retry-After": "5"}))
        await asyncio.sleep(CLOSING_SECONDS)  # uvicorn logs an error where this ends before the connection has
    except (WebSocketDisconnect, TimeoutError):  # the client vanished, or doesn't read
        pass


class _Stream:
    def __init__(self, websocket: WebSocket, service: Service, worker: Worker):
        self._websocket, self._service, self._worker = websocket, service, worker
        self._pcm = Pcm()
        self._close = (DONE, "")

    async def run(self) -> None:
        try:
            self._session = Session(self._worker.recognizer, self._service.live)
            async with aclosing(self._messages()) as messages:
                async for data in messages:
                    samples = self._pcm.feed(data)
                    for at in range(0, samples.size, AT_ONCE):
                        await self._hear(samples[at : at + AT_ONCE])
            self._pcm.end()
            await self._send(await self._worker.run(self._session.end))
        except BigfootError as error:
            await self._write({"type": "error", "message": str(error)})
            self._close = (UNSUPPORTED, "")
        await self._websocket.close(*self._close)

    async def _hear(self, samples: np.ndarray) -> None:
        start = time.perf_counter()
        await self._send(await self._worker.run(self._session.feed, samples))
        self._service.figures.chunk_seconds.observe(time.perf_counter() - start)
        self._service.figures.audio.labels("live").inc(samples.size / 16_000)

    async def _messages(self) -> AsyncGenerator[bytes]:
        """Binary messages until the end: the client's, that of a client that says nothing, or this server's."""
        stopping = asyncio.ensure_future(self._service.stopping.wait())
        try:
            while True:
                message = asyncio.ensure_future(self._websocket.receive())
                await asyncio.wait({message, stopping}, timeout=IDLE_SECONDS, return_when=asyncio.FIRST_COMPLETED)
                if not message.done():
                    message.cancel()
                    if stopping.done():
                        self._close = (GOING_AWAY, "this server stops")
                    else:
                        self._close = (DONE, f"no audio for {IDLE_SECONDS:g} s")
                    return
                received = message.result()
                if received["type"] == "websocket.disconnect":
                    raise WebSocketDisconnect(received.get("code", DONE))
                if received.get("bytes") is None:
                    _require_end(received["text"])
                    return
                yield received["bytes"]
                if stopping.done():  # of a client that sends faster than it is heard, a message is always there
                    self._close = (GOING_AWAY, "this server stops")
                    return
        finally:
            stopping.cancel()

    async def _send(self, utterances: list[Utterance]) -> None:
        for utterance in utterances:
            await self._write({"type": "final" if utterance.is_final else "partial"} | utterance.as_object())

    async def _write(self, content: dict) -> None:
        async with asyncio.timeout(IDLE_SECONDS):
            await self._websocket.send_json(content)


def _require_end(text: str) -> None:
    """Raise BigfootError where a text message is not the end."""
    try:
        is_end = json.loads(text) == {"type": "end"}
    except (ValueError, RecursionError):
        is_end = False
    if not is_end:
        raise BigfootError(END)
