"""The page's line to the engine: figures pushed four times a second, feelings ten times, requests
answered by id."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from typing import Any

from aiohttp import WSMsgType, web

from engine.dispatch import Dispatcher
from engine.errors import MienError
from engine.operations import Metrics
from nodes.web.messages import MESSAGE_MOST, BadRequestError, parse_request, to_json
from nodes.web.security import Buckets, refuse

logger = logging.getLogger(__name__)

PUSH_S = 0.25
SOCKETS_MOST = 16
SEND_S = 2.0
ERROR_MOST = 300  # letters of an answer that says what is wrong


class Sockets:
    """Every open page; one snapshot of the figures serves them all."""

    def __init__(self, dispatcher: Dispatcher, session: Callable[[], dict[str, Any]]) -> None:
        """``dispatcher`` answers what a page may ask; ``session``: who publishes and views."""
        self._dispatcher = dispatcher
        self._session = session
        self._open: set[web.WebSocketResponse] = set()
        self._busy: set[web.WebSocketResponse] = set()
        self._drawing: set[web.WebSocketResponse] = set()
        self._task: asyncio.Task[None] | None = None
        self._sends: set[asyncio.Task[None]] = set()
        self._seen_ns = 0

    def __len__(self) -> int:
        return len(self._open)

    def start(self) -> None:
        self._task = asyncio.create_task(self._push())

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None
        for task in list(self._sends):
            task.cancel()
        await asyncio.gather(*self._sends, return_exceptions=True)
        for socket in list(self._open):
            await socket.close(code=1001, message=b"the engine stops")

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """GET /ws."""
        if request.headers.get("Upgrade", "").lower() != "websocket":
            return refuse(426, "this address speaks WebSocket only", {"Upgrade": "websocket"})
        if len(self._open) >= SOCKETS_MOST:
            return refuse(503, f"{SOCKETS_MOST} pages are open already; close one")
        socket = web.WebSocketResponse(
            heartbeat=10.0, max_msg_size=MESSAGE_MOST, compress=False, timeout=1.0
        )
        await socket.prepare(request)
        self._open.add(socket)
        bucket = Buckets(120.0, 60.0)
        try:
            async for message in socket:
                if message.type != WSMsgType.TEXT:
                    await socket.close(code=1003, message=b"send JSON as text")
                    break
                if bucket.take(""):
                    await socket.close(code=1008, message=b"too many messages")
                    break
                reply = await self._reply(message.data)
                # A page that went away gets no answer; what it had asked for still counts.
                with contextlib.suppress(ConnectionError, RuntimeError):
                    await asyncio.wait_for(socket.send_str(to_json(reply)), SEND_S)
        except (ConnectionError, TimeoutError, RuntimeError):  # aiohttp: closed meanwhile
            pass
        finally:
            self._open.discard(socket)
        return socket

    def event(self, level: str, text: str) -> None:
        """Tell every page."""
        self._broadcast([_event(level, text)], self._busy)

    def feelings(self, data: dict[str, Any]) -> None:
        """What is measured of face and voice, to every page; the caller paces it."""
        if self._open:
            self._broadcast([to_json({"type": "feelings", "data": data})], self._drawing)

    async def _reply(self, text: str) -> dict[str, Any]:
        number: Any = None
        try:
            number, operation = parse_request(text, self._dispatcher)
            return {"id": number, "result": await self._dispatcher.call(operation)}
        except BadRequestError as error:
            return {"id": error.number, "error": str(error)}
        except MienError as error:
            return {"id": number, "error": str(error)[:ERROR_MOST]}
        except Exception:
            logger.exception("a page's request failed")
            return {"id": number, "error": "the engine failed at this; its terminal says how"}

    async def _push(self) -> None:
        loop = asyncio.get_running_loop()
        deadline_s = loop.time()
        while True:
            deadline_s = max(deadline_s + PUSH_S, loop.time())
            await asyncio.sleep(deadline_s - loop.time())
            if not self._open:
                continue
            try:
                data = await self._dispatcher.call(Metrics())
            except MienError:
                data = {"session": self._session()}
            texts = []
            for event in data.get("events", []):
                if event.get("time_ns", 0) > self._seen_ns:
                    self._seen_ns = event["time_ns"]
                    texts.append(_event(event.get("level", "info"), event.get("text", "")))
            texts.append(to_json({"type": "metrics", "data": data}))
            self._broadcast(texts, self._busy)

    def _broadcast(self, texts: list[str], busy: set[web.WebSocketResponse]) -> None:
        for socket in self._open:
            if socket not in busy:  # a slow page misses figures, nobody waits for it
                busy.add(socket)
                task = asyncio.create_task(self._send(socket, texts, busy))
                self._sends.add(task)
                task.add_done_callback(self._sends.discard)

    async def _send(
        self, socket: web.WebSocketResponse, texts: list[str], busy: set[web.WebSocketResponse]
    ) -> None:
        try:
            for text in texts:
                await asyncio.wait_for(socket.send_str(text), SEND_S)
        except (ConnectionError, TimeoutError, RuntimeError):
            await socket.close()
        finally:
            busy.discard(socket)


def _event(level: str, text: str) -> str:
    return to_json({"type": "event", "level": level, "text": text})
