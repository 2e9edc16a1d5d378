"""The one address of all sessions: the page, WHIP, WHEP and WebSocket, handed to whose they are.

/                    a new session's address: a redirect to /s/NAME/
/s/NAME/             its page; its WHIP, WHEP and WebSocket lie below it
/whip                a session for who publishes; its address is in Location
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import secrets
from typing import Final

import aiohttp
from aiohttp import ClientWebSocketResponse, WSMsgType, hdrs, web

from engine.errors import MienError
from nodes.web.binding import Binding
from nodes.web.messages import MESSAGE_MOST
from nodes.web.options import Options
from nodes.web.security import REFERENCE_PATH, read_body, refuse
from nodes.web.server import PATHS, STATIC
from serving.admin import OWN, Admin
from serving.places import Places
from serving.session_host import SessionHandle, SessionHost

NAME: Final = re.compile(r"[A-Za-z0-9_-]{16,64}\Z")
"""whoever knows a session's name is in it: it mustn't be guessed"""
LINES: Final = ("ws", "rig")
SOCKETS_MOST: Final = 16
"""lines of one session"""
PASSED_ON: Final = (hdrs.CONTENT_TYPE, "If-Match", "X-Name")
PASSED_BACK: Final = (
    hdrs.CONTENT_TYPE, "ETag", "Accept-Patch", "Accept-Post", hdrs.ALLOW, hdrs.LINK,
    hdrs.RETRY_AFTER,
)  # fmt: skip


class Front:
    """Routes of all sessions. ``places`` says who may come in."""

    def __init__(self, sessions: SessionHost, places: Places, admin_token: str = "") -> None:
        self.sessions = sessions
        self.places = places
        self.binding = Binding()
        self.admin = Admin(sessions, places, admin_token or secrets.token_urlsafe(18))

    @property
    def admin_url(self) -> str:
        """What who runs the machine opens."""
        return f"{self.binding.url.partition('/?')[0]}/admin?token={self.admin.token}"

    async def start(self, options: Options) -> None:
        """Bind. Raises MienError."""
        await self.binding.open(options, self._add_routes)
        self.binding.guard.judged_elsewhere += OWN

    async def stop(self) -> None:
        """Unbind."""
        await self.binding.close()

    def _add_routes(self, app: web.Application) -> None:
        router = app.router
        router.add_get("/", self._new)
        router.add_static("/static/", STATIC)
        self.admin.add_routes(app)
        router.add_get("/healthz", self._health)
        for path in PATHS:
            router.add_route("*", path, self._alone)
            router.add_route("*", path + "/", self._alone)
        router.add_get("/s/{name}", self._new)
        router.add_get("/s/{name}/", self._index)
        router.add_get("/s/{name}/seat", self._seat)
        router.add_delete("/s/{name}/", self._end)
        for line in LINES:
            router.add_get(f"/s/{{name}}/{line}", self._line)
        router.add_route("*", "/s/{name}/{path:(?:session|whip|whep)(?:/.*)?}", self._signal)
        router.add_get("/s/{name}/{path:metrics|avatar}", self._signal)
        router.add_post("/s/{name}/{path:reference}", self._signal)

    # -- pages -------------------------------------------------------------------------------------

    async def _new(self, request: web.Request) -> web.Response:
        """A name of its own for who comes without one; the session begins with its page's line."""
        name = request.match_info.get("name") or secrets.token_urlsafe(18)
        rest = str(request.rel_url.without_query_params("token").query_string)
        place = f"/s/{name}/" + (f"?{rest}" if rest else "")
        return web.Response(status=302, headers={hdrs.LOCATION: place, "Cache-Control": "no-store"})

    async def _index(self, request: web.Request) -> web.StreamResponse:
        if not NAME.match(request.match_info["name"]):
            return _no_name()
        if request.query.get("token"):
            return await self._new(request)
        return web.FileResponse(STATIC / "index.html")

    async def _health(self, _: web.Request) -> web.Response:
        return web.json_response({"ok": True})

    async def _seat(self, request: web.Request) -> web.Response:
        """Whether there is a place for the page; if not, it is in line from here on."""
        try:
            await self._session(request.match_info["name"], waits=True)
        except NoPlaceError as error:
            return error.response
        return web.json_response({"ok": True}, headers={"Cache-Control": "no-store"})

    async def _end(self, request: web.Request) -> web.Response:
        if request.match_info["name"] not in self.sessions.by_name:
            return refuse(404, "there is no such session, or it has ended")
        await self.sessions.end(request.match_info["name"])
        return web.Response(status=204)

    # -- handed on ---------------------------------------------------------------------------------

    async def _alone(self, request: web.Request) -> web.Response:
        """/whip makes a session; what belongs to one can't be had without its name."""
        path = request.path.rstrip("/")
        if request.method == hdrs.METH_OPTIONS:
            return web.Response(
                status=204, headers={"Allow": "POST, OPTIONS", "Accept-Post": "application/sdp"}
            )
        if path != "/whip":
            return refuse(404, f"whose? the address of a session is /s/NAME{path}")
        if request.method != hdrs.METH_POST:
            return refuse(405, "POST an offer here", {"Allow": "POST, OPTIONS"})
        name = secrets.token_urlsafe(18)
        response = await self._hand_on(request, name, "whip", waits=False)
        if response.status >= 400:
            await self.sessions.end(name)
        return response

    async def _signal(self, request: web.Request) -> web.Response:
        name, path = request.match_info["name"], request.match_info["path"].rstrip("/")
        if not NAME.match(name):
            return _no_name()
        if request.method != hdrs.METH_POST and name not in self.sessions.by_name:
            if request.method == hdrs.METH_OPTIONS:
                return web.Response(
                    status=204, headers={"Allow": "POST, OPTIONS", "Accept-Post": "application/sdp"}
                )
            return refuse(404, "there is no such session, or it has ended")
        if path == "whep" and name not in self.sessions.by_name:
            return refuse(404, "nobody publishes there yet", {"Retry-After": "2"})
        return await self._hand_on(request, name, path, waits=False)

    async def _hand_on(
        self, request: web.Request, name: str, path: str, *, waits: bool
    ) -> web.Response:
        # What is larger than an offer goes through as it comes; the session says what is too large.
        large = f"/{path}" == REFERENCE_PATH
        body = request.content if large else await read_body(request)
        try:
            session = await self._session(name, waits=waits)
        except NoPlaceError as error:
            return error.response
        headers = {key: request.headers[key] for key in PASSED_ON if key in request.headers}
        try:
            async with session.http.request(
                request.method, f"http://session/{path}", data=body, headers=headers
            ) as answer:
                content = await answer.read()
                back = [(key, value) for key, value in answer.headers.items() if key in PASSED_BACK]
                if location := answer.headers.get(hdrs.LOCATION):
                    back.append((hdrs.LOCATION, self._located(name, location)))
                response = web.Response(status=answer.status, body=content)
                response.headers.popall(hdrs.CONTENT_TYPE, None)
                response.headers.extend(back)
                return response
        except (aiohttp.ClientError, TimeoutError, OSError):
            return refuse(503, "this session is being started again", {"Retry-After": "1"})

    def _located(self, name: str, location: str) -> str:
        """Where a session's resource is, by what the session calls it."""
        return f"/s/{name}{location}"

    async def _line(self, request: web.Request) -> web.StreamResponse:
        """A page's WebSocket, both ways."""
        if request.headers.get("Upgrade", "").lower() != "websocket":
            return refuse(426, "this address speaks WebSocket only", {"Upgrade": "websocket"})
        try:
            session = await self._session(request.match_info["name"], waits=True)
        except NoPlaceError as error:
            return error.response
        if session.sockets >= SOCKETS_MOST:
            return refuse(503, f"{SOCKETS_MOST} pages are open here already; close one")
        session.sockets += 1
        try:
            where = f"http://session/{request.path.rpartition('/')[2]}"
            async with session.http.ws_connect(where, max_msg_size=0, compress=0) as inner:
                outer = web.WebSocketResponse(
                    heartbeat=10.0, max_msg_size=MESSAGE_MOST, compress=False, timeout=1.0
                )
                await outer.prepare(request)
                await _join(outer, inner, request)
                return outer
        except (aiohttp.ClientError, TimeoutError, OSError):
            return refuse(503, "this session is being started again", {"Retry-After": "1"})
        finally:
            session.sockets -= 1
            session.used_s = self.sessions.now_s

    async def _session(self, name: str, *, waits: bool) -> SessionHandle:
        """The session of that name, begun where there is none and a place is free.

        Raises NoPlaceError; who ``waits`` is in line from then on.
        """
        if not NAME.match(name):
            raise NoPlaceError(_no_name())
        session = self.sessions.by_name.get(name)
        if session is not None and session.state == "ending":
            await session.over.wait()
            session = None
        if session is None:
            refusal = self.places.ask(name, waits=waits)
            if refusal is not None:
                raise NoPlaceError(refuse(503, refusal.text, refusal.headers))
            session = self.sessions.by_name.get(name) or self.sessions.open(name)
        try:
            await session.ready()
        except MienError as error:
            raise NoPlaceError(refuse(503, str(error), {"Retry-After": "5"})) from None
        return session


class NoPlaceError(Exception):
    def __init__(self, response: web.Response) -> None:
        super().__init__()
        self.response = response


def _no_name() -> web.Response:
    return refuse(
        404, "a session's name has 16 to 64 letters, digits, - and _; open / and one is made up"
    )


async def _join(
    outer: web.WebSocketResponse, inner: ClientWebSocketResponse, request: web.Request
) -> None:
    """Hand messages on until either side ends; the other is told how."""

    async def down() -> None:
        async for message in inner:
            if message.type == WSMsgType.TEXT:
                await outer.send_str(message.data)
            elif message.type == WSMsgType.BINARY:
                await outer.send_bytes(message.data)

    async def up() -> None:
        async for message in outer:
            if message.type == WSMsgType.TEXT:
                await inner.send_str(message.data)
            elif message.type == WSMsgType.BINARY:
                await inner.send_bytes(message.data)

    ways = [asyncio.ensure_future(way) for way in (down(), up())]
    try:
        await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        if ways[0].done() and inner.close_code in (None, 1006):
            if request.transport is not None:  # it died without a goodbye, and the page should know
                request.transport.abort()
        elif ways[0].done():
            await outer.close(code=inner.close_code or 1000)
    finally:
        for way in ways:
            way.cancel()
        for way in ways:
            with contextlib.suppress(asyncio.CancelledError, ConnectionError, Exception):
                await way
