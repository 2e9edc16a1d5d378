"""Connections to the server: so many at once and per address, none held by who asks nothing."""

from __future__ import annotations

import asyncio
import logging
from typing import Any, cast

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

CONNECTIONS_MOST = 256
PER_ADDRESS_MOST = 64
HEADER_S = 10.0  # a request's header is here by then

# Anybody can send what is no HTTP: it gets its line, and the terminal stays readable.
quiet = logging.getLogger("nodes.web.http")
quiet.setLevel(logging.CRITICAL)


class Gate:
    """Who is connected. Where it is full, who waits without a request gives way, oldest first."""

    def __init__(self) -> None:
        self._open: dict[Connection, str] = {}

    def __len__(self) -> int:
        return len(self._open)

    def admit(self, connection: Connection, address: str) -> bool:
        """Whether it may stay."""
        same = [other for other, theirs in self._open.items() if theirs == address]
        full = len(same) >= PER_ADDRESS_MOST
        if full or len(self._open) >= CONNECTIONS_MOST:
            idle = next((other for other in (same if full else self._open) if not other.asks), None)
            if idle is None:
                return False
            idle.end()
        self._open[connection] = address
        return True

    def leave(self, connection: Connection) -> None:
        self._open.pop(connection, None)

    def middleware(self) -> Middleware:
        """Marks a connection while a request of its is answered."""

        @web.middleware
        async def asking(request: web.Request, handler: Handler) -> web.StreamResponse:
            connection = cast(Connection, request.protocol)
            connection.begin()
            try:
                return await handler(request)
            finally:
                connection.asks = False

        return asking


class Connection(web.RequestHandler):
    """aiohttp's connection, counted by a gate and with a deadline for its first header."""

    def __init__(self, server: Any, gate: Gate) -> None:
        super().__init__(
            server, loop=asyncio.get_running_loop(), logger=cast(Any, quiet),
            access_log=cast(Any, None), keepalive_timeout=30.0, lingering_time=0.5,
            max_field_size=8190,
        )  # fmt: skip
        self.gate = gate
        self.asks = False
        self._admitted = False
        self._deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        peer = transport.get_extra_info("peername")
        self._admitted = self.gate.admit(self, str(peer[0]) if peer else "")
        if not self._admitted:
            cast(asyncio.Transport, transport).abort()
            return
        self._deadline = asyncio.get_running_loop().call_later(HEADER_S, self._late)
        super().connection_made(transport)

    def connection_lost(self, exc: BaseException | None) -> None:
        if not self._admitted:
            return
        self.begin()
        self.gate.leave(self)
        super().connection_lost(exc)

    def begin(self) -> None:
        """A whole header is here."""
        self.asks = True
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def end(self) -> None:
        """Close at once."""
        self.gate.leave(self)
        if self.transport is not None:
            self.transport.abort()

    def _late(self) -> None:
        if self.transport is not None:
            text = f"the request wasn't here within {HEADER_S:.0f} s\n"
            head = "HTTP/1.1 408 Request Timeout\r\nConnection: close\r\n"
            length = f"Content-Type: text/plain\r\nContent-Length: {len(text)}\r\n\r\n"
            self.transport.write((head + length + text).encode())
            self.transport.close()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """What isn't HTTP, in one line."""
        response = super().handle_error(request, status, exc, message)
        if isinstance(response, web.Response):
            line = next(iter((message or "").splitlines()), "").strip(" :") or "broken request"
            response.text = f"this isn't HTTP: {line[:120]}\n"
        return response
