"""The HTTP server that the nodes of a process share, bound while any of them is there."""

from __future__ import annotations

import asyncio
from collections import deque
from pathlib import Path
from typing import Any, Protocol

from aiohttp import web

from engine.dispatch import Dispatcher
from engine.errors import MienError
from engine.node import Context
from engine.operations import Answer, Metrics, Operation
from nodes.web import people
from nodes.web.binding import Binding
from nodes.web.gate import Gate
from nodes.web.operations import OF_THE_GRAPH, Selftest
from nodes.web.options import WEB_SERVER, Options
from nodes.web.peer import Peer
from nodes.web.prometheus import exposition
from nodes.web.rigs import Rigs
from nodes.web.sdp import BadOfferError, parse_ice_servers
from nodes.web.security import REFERENCE_PATH, Guard, read_body, refuse
from nodes.web.selftest import selftest
from nodes.web.sessions import ENDPOINT, SESSION, created, trickle
from nodes.web.websocket import Sockets

STATIC = Path(__file__).parent / "static"
PATHS = ("/session", "/whip", "/whep")
NODE_FOR = {
    "/session": "nodes.web.browser:Browser",
    "/whip": "nodes.web.whip:Whip",
    "/whep": "nodes.web.webrtc_out:WebrtcOut",
}
DEFAULT_AFTER_S = 2.0
ENDED_MOST = 256  # sessions that are remembered to have ended


class Negotiator(Protocol):
    """A node that answers offers at a path."""

    async def negotiate(self, offer: str) -> tuple[Peer, str]: ...

    def info(self) -> dict[str, Any]: ...


class Uploads(Protocol):
    """A node that takes references."""

    async def upload(self, request: web.Request) -> web.Response: ...


class WebServer:
    """Routes, peers by id, the page's sockets. Made by ``join``, bound by ``serve``."""

    def __init__(self) -> None:
        self.binding = Binding()
        self.nodes: dict[str, Negotiator] = {}
        self.peers: dict[str, tuple[str, Peer]] = {}
        self.ended: deque[str] = deque(maxlen=ENDED_MOST)
        self.contexts: list[Context] = []
        self.page = self._page_dispatcher()
        self.sockets = Sockets(self.page, self.session)
        self.rigs = Rigs()
        self.references: Uploads | None = None
        self._default: asyncio.Task[None] | None = None
        self._lock = asyncio.Lock()

    @property
    def options(self) -> Options:
        return self.binding.options

    @property
    def guard(self) -> Guard:
        return self.binding.guard

    @property
    def gate(self) -> Gate:
        return self.binding.gate

    @property
    def bound(self) -> bool:
        return self.binding.bound

    @property
    def port(self) -> int:
        """The port that was really taken."""
        return self.binding.port

    @property
    def url(self) -> str:
        """What a person opens; with the token where one is needed."""
        return self.binding.url

    def ice_servers(self) -> list[Any]:
        """The configured STUN and TURN servers; none is asked by default."""
        from aiortc import RTCIceServer

        return [RTCIceServer(**item) for item in parse_ice_servers(self.options.ice_servers)]

    def register(self, path: str, node: Negotiator) -> None:
        if path in self.nodes:
            raise MienError(f"two nodes take {path}; only one {NODE_FOR[path]} fits in a process")
        self.nodes[path] = node

    def unregister(self, path: str, node: Negotiator) -> None:
        if self.nodes.get(path) is node:
            del self.nodes[path]

    def forget(self, peer: Peer) -> None:
        if path := self.peers.pop(peer.id, ("", None))[0]:
            self.ended.append(f"{path}/{peer.id}")

    def session(self) -> dict[str, Any]:
        """The state of publishers and viewers, for the page."""
        return {path.strip("/"): node.info() for path, node in self.nodes.items()}

    def _page_dispatcher(self) -> Dispatcher:
        """What pages may ask."""
        dispatcher = Dispatcher("a page can't ask for {op}")
        for kind in OF_THE_GRAPH:
            dispatcher.on(kind, self.call)
        dispatcher.on(Metrics, self._figures)
        dispatcher.on(Selftest, lambda _: selftest(self))
        people.serve(dispatcher)
        return dispatcher

    async def _figures(self, asked: Metrics) -> dict[str, Any]:
        figures = await self.call(asked)
        return {**figures, "session": self.session()}

    async def call(self, operation: Operation[Answer]) -> Answer:
        """Ask the engine. Raises MienError."""
        for context in self.contexts:
            if context.control is not None:
                return await context.control.call(operation)
        raise MienError("this graph has no control; parameters can't be changed here")

    async def serve(self, options: Options) -> None:
        """Bind as ``options`` say. Raises MienError where that can't be done."""
        async with self._lock:
            if self.bound:
                if options == self.options:
                    return  # the node that gave them was set up again
                raise MienError("the server is bound already; give its options to one node only")
            await self.binding.open(options, self._add_routes)
            self.sockets.start()

    async def close(self) -> None:
        """Unbind; the sockets are told."""
        if self._default is not None:
            self._default.cancel()
            await asyncio.gather(self._default, return_exceptions=True)
        await self.sockets.stop()
        await self.rigs.stop()
        await self.binding.close()

    def serve_by_default(self) -> None:
        """Bind with the defaults if no node gives options in the next two seconds."""

        async def later() -> None:
            await asyncio.sleep(DEFAULT_AFTER_S)
            if not self.bound:
                try:
                    await self.serve(Options())
                except MienError as error:
                    self.contexts[0].status("failed", str(error))

        self._default = asyncio.create_task(later())

    def _add_routes(self, app: web.Application) -> None:
        app.router.add_get("/", self._index)
        if STATIC.is_dir():
            app.router.add_static("/static/", STATIC)
        app.router.add_get("/healthz", self._health)
        app.router.add_get("/metrics", self._metrics)
        app.router.add_get("/ws", self.sockets.handle)
        app.router.add_get("/rig", self.rigs.handle)
        app.router.add_get("/avatar", self.rigs.model)
        app.router.add_post(REFERENCE_PATH, self._reference)
        for path in PATHS:
            for endpoint in (path, path + "/"):
                app.router.add_post(endpoint, self._negotiate)
                app.router.add_options(endpoint, self._options)
            app.router.add_delete(path + "/{id}", self._end)
            app.router.add_patch(path + "/{id}", self._trickle)
            app.router.add_options(path + "/{id}", self._options)

    async def _index(self, request: web.Request) -> web.StreamResponse:
        page = STATIC / "index.html"
        if not page.is_file():
            return refuse(404, "the page isn't installed: nodes/web/static/index.html is missing")
        if request.query.get("token"):  # the cookie holds it from here on; addresses get copied
            rest = str(request.rel_url.without_query_params("token"))
            return web.Response(status=302, headers={"Location": rest})
        return web.FileResponse(page)

    async def _health(self, _: web.Request) -> web.Response:
        return web.json_response({"ok": True})

    async def _metrics(self, _: web.Request) -> web.Response:
        try:
            snapshot = await self.call(Metrics())
        except MienError as error:
            return refuse(503, str(error))
        text = await asyncio.to_thread(exposition, snapshot)
        return web.Response(body=text, headers={"Content-Type": "text/plain; version=0.0.4"})

    async def _negotiate(self, request: web.Request) -> web.Response:
        path = request.path.rstrip("/")
        node = self.nodes.get(path)
        if node is None:
            return refuse(
                503, f"nothing takes {path} here: add a node of type {NODE_FOR[path]} to the graph"
            )
        if request.content_type != "application/sdp":
            return refuse(415, "send the offer as Content-Type: application/sdp")
        try:
            offer = (await read_body(request)).decode()
        except UnicodeDecodeError:
            return refuse(400, "the offer isn't UTF-8 text")
        try:
            peer, answer = await node.negotiate(offer)
        except BadOfferError as error:
            return refuse(400, str(error))
        except MienError as error:
            return refuse(503, str(error), {"Retry-After": "5"})
        if not peer.closing:  # it may have given way to another meanwhile
            self.peers[peer.id] = (path, peer)
        servers = parse_ice_servers(self.options.ice_servers)
        return created(f"{path}/{peer.id}", peer, answer, servers)

    async def _reference(self, request: web.Request) -> web.Response:
        if self.references is None:
            return refuse(503, "this graph wears no references: add a node of type "
                          "nodes.web.references:References")  # fmt: skip
        return await self.references.upload(request)

    async def _end(self, request: web.Request) -> web.Response:
        peer = self._session(request)
        if peer is not None:
            await peer.close("ended by the peer")
        elif request.path not in self.ended:
            return refuse(404, "there is no such session")
        # A connection that closes and the word that it does come in either order.
        return web.Response(status=200)

    async def _trickle(self, request: web.Request) -> web.Response:
        peer = self._session(request)
        if peer is None:
            return refuse(404, "there is no such session, or it has ended")
        return await trickle(request, peer)

    def _session(self, request: web.Request) -> Peer | None:
        path, peer = self.peers.get(request.match_info["id"], ("", None))
        return peer if request.path.startswith(path + "/") else None

    async def _options(self, request: web.Request) -> web.Response:
        return web.Response(status=204, headers=SESSION if "id" in request.match_info else ENDPOINT)


async def join(context: Context) -> WebServer:
    """The server that the nodes of this process share, made by the first; ``leave`` it when
    done."""
    server: WebServer | None = context.shared.get(WEB_SERVER)
    if server is None:
        server = context.shared[WEB_SERVER] = WebServer()
        server.serve_by_default()
    server.contexts.append(context)
    return server


async def leave(server: WebServer, context: Context) -> None:
    """The last node to leave closes the server."""
    if context in server.contexts:
        server.contexts.remove(context)
    if not server.contexts:
        if context.shared.get(WEB_SERVER) is server:
            del context.shared[WEB_SERVER]
        await server.close()
