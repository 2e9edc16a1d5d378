"""One graph on several machines: encrypted control, clock offsets, merged figures."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Callable
from typing import Any

import zmq
import zmq.asyncio

from engine import operations as ops
from engine.control import ControlSocket
from engine.dispatch import Dispatcher
from engine.errors import MienError, words
from engine.graph_spec import Graph
from engine.node import Control
from engine.operations import Answer, Operation
from engine.run import Authenticator, Run
from engine.transport.foreign import clock_of, figures_of

PING_EVERY_S = 1.0
KEPT_PINGS = 16


class ClockOffset:
    """How far another host's monotonic clock is from ours.

    As NTP does (RFC 5905, section 8): of the last pings the one with the shortest round trip says
    the offset, and half of that trip bounds the error.
    """

    def __init__(self) -> None:
        self._pings: deque[tuple[int, int]] = deque(maxlen=KEPT_PINGS)

    def add(self, sent_ns: int, remote_ns: int, received_ns: int) -> None:
        round_trip_ns = received_ns - sent_ns
        self._pings.append((round_trip_ns, sent_ns + round_trip_ns // 2 - remote_ns))

    @property
    def offset_ns(self) -> int:
        """Add this to the other host's time to get ours."""
        return min(self._pings)[1]

    @property
    def error_ns(self) -> int:
        return min(self._pings)[0] // 2


class Hosts:
    """The other hosts of the graph, as seen from this one."""

    def __init__(
        self,
        graph: Graph,
        run: Run,
        control: Control,
        own_figures: Callable[[], dict[str, Any]],
        on_offset: Callable[[str, int], None],
    ) -> None:
        self._graph = graph
        self._run = run
        self._control = control
        self._own_figures = own_figures
        self._on_offset = on_offset
        self._context = zmq.asyncio.Context()
        self._authenticator: Authenticator | None = None
        self._server: ControlSocket | None = None
        self._peers: dict[str, ControlSocket] = {}
        self._clocks = {name: ClockOffset() for name in graph.hosts if name != run.host}
        self._known: dict[str, dict[str, Any]] = {}
        self._why: dict[str, str] = {}
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Listen, and watch the others. Raises MienError where the port is taken."""
        own = self._graph.hosts[self._run.host]
        keys = self._run.curve(self._graph)
        known = [host.public_key for host in self._graph.hosts.values()]
        self._authenticator = Authenticator(self._context, known)
        server = self._context.socket(zmq.ROUTER)
        server.linger = 0
        server.curve_server = True
        server.curve_publickey = keys.public
        server.curve_secretkey = keys.secret
        server.setsockopt(zmq.ZAP_DOMAIN, b"mien")
        try:
            server.bind(f"tcp://{own.address}:{own.port}")
        except zmq.ZMQError as error:
            server.close()
            raise MienError(f"can't listen on {own.address}:{own.port}: {error}") from None
        dispatcher = self._dispatcher()
        self._server = ControlSocket(server, dispatcher)
        for name in self._clocks:
            socket = self._context.socket(zmq.DEALER)
            socket.linger = 0
            curve = self._run.curve(self._graph, name)
            socket.curve_publickey = curve.public
            socket.curve_secretkey = curve.secret
            socket.curve_serverkey = curve.server
            socket.connect(self._run.control_address(self._graph, name))
            self._peers[name] = ControlSocket(socket, dispatcher)
            self._tasks.append(asyncio.ensure_future(self._watch(name)))

    def _dispatcher(self) -> Dispatcher:
        """What other hosts may ask."""
        dispatcher = Dispatcher("{op} is not for another host")
        dispatcher.on(ops.Clock, lambda _: time.monotonic_ns())
        dispatcher.on(ops.Set, self._control.call)
        dispatcher.on(ops.Metrics, lambda _: self._shown())
        return dispatcher

    def _shown(self) -> dict[str, Any]:
        figures = self._own_figures()
        return {key: figures[key] for key in ("nodes", "edges", "processes")}

    async def _watch(self, name: str) -> None:
        peer = self._peers[name]
        clock = self._clocks[name]
        while True:
            try:
                sent_ns = time.monotonic_ns()
                remote_ns = clock_of(await peer.call(ops.Clock(), timeout_s=2.0))
                clock.add(sent_ns, remote_ns, time.monotonic_ns())
                self._on_offset(name, clock.offset_ns)
                self._known[name] = figures_of(await peer.call(ops.Metrics(), timeout_s=2.0))
                self._why.pop(name, None)
            except MienError as error:
                self._known.pop(name, None)
                self._why[name] = words(error)
            await asyncio.sleep(PING_EVERY_S)

    async def call(self, host: str, operation: Operation[Answer]) -> Answer:
        return await self._peers[host].call(operation)

    def merge(self, metrics: dict[str, Any]) -> None:
        """Lay the other hosts' figures beside ours."""
        metrics["hosts"] = {}
        for name, clock in self._clocks.items():
            known = self._known.get(name)
            state: dict[str, Any] = {"reachable": known is not None}
            if known is not None:
                state["clock_offset_ms"] = round(clock.offset_ns / 1e6, 3)
                state["clock_error_ms"] = round(clock.error_ns / 1e6, 3)
                for node, figures in known["nodes"].items():
                    metrics["nodes"].setdefault(node, figures)
                for process, figures in known["processes"].items():
                    key = process if process not in metrics["processes"] else f"{name}.{process}"
                    metrics["processes"].setdefault(key, {**figures, "host": name})
                for edge, figures in known["edges"].items():
                    total = metrics["edges"].setdefault(edge, {})
                    for key, value in figures.items():
                        total[key] = total.get(key, 0) + value
            elif name in self._why:
                state["why"] = self._why[name]
            metrics["hosts"][name] = state

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for peer in self._peers.values():
            await peer.close()
        if self._server is not None:
            await self._server.close()
        if self._authenticator is not None:
            with contextlib.suppress(RuntimeError):
                self._authenticator.stop()
        self._context.destroy(linger=0)
