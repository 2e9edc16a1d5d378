"""Runs a graph in processes of its own, and answers for it on the control socket."""

from __future__ import annotations

import asyncio
import os
import time
from collections import deque
from collections.abc import Callable
from typing import Any, Self

import psutil
import zmq
import zmq.asyncio

from engine import operations as ops
from engine import run as runs
from engine.control import REPORTS_MOST, ControlSocket
from engine.dispatch import Dispatcher
from engine.errors import MienError, UsageError, suggestion
from engine.folders import RunFolder
from engine.governing import Figures, Governing
from engine.graph_spec import Graph, set_parameter, with_parameter
from engine.keeper import READY_WITHIN_S, Keeper
from engine.news import News
from engine.operations import Answer, Operation
from engine.parameters import describe
from engine.presets import Presets
from engine.settings import Settings
from engine.transport.hosts import Hosts


class Supervisor:
    """Runs a graph in processes of its own. Use as ``async with``; then await ``wait``."""

    def __init__(
        self,
        graph: Graph,
        host: str = "",
        on_event: Callable[[str, str], None] | None = None,
        settings: Settings | None = None,
    ) -> None:
        self.graph = graph
        self.events: deque[dict[str, Any]] = deque(maxlen=50)
        self._keeper = self._make_keeper(host)
        self.processes = self._keeper.processes
        self.failure: MienError | None = None
        self.run: runs.Run | None = None
        self._folder: RunFolder | None = None
        self._host = host
        self._on_event = on_event
        self._settings = settings or Settings()
        self._settings.begin(graph)
        self._presets = Presets(graph, self._settings, lambda *what: self._set(ops.Set(*what)))
        self._governing = self._make_governing()
        self._dispatcher = Dispatcher()
        self._serve()
        self._governor: asyncio.Task[None] | None = None
        self._ended = asyncio.Event()
        self._started_s = time.monotonic()
        self._peer: ControlSocket | None = None
        self._hosts: Hosts | None = None
        self._context: zmq.asyncio.Context | None = None
        self._news: News | None = None

    async def __aenter__(self) -> Self:
        try:
            await self._start()
        except BaseException:
            await self.stop()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    def _make_keeper(self, host: str) -> Keeper:
        return Keeper(self.graph, host, self.event, self._fail, self.request_stop)

    async def _start(self) -> None:
        self._settings.on_trouble = lambda text: self.event("warning", text)
        for note in self._settings.notes:
            self.event("warning", note)
        await self._launch()
        if self._governing is not None:
            self._governor = asyncio.ensure_future(self._governing.run())
        ready = asyncio.ensure_future(self._keeper.all_ready())
        ended = asyncio.ensure_future(self._ended.wait())
        await asyncio.wait(
            {ready, ended}, timeout=READY_WITHIN_S, return_when=asyncio.FIRST_COMPLETED
        )
        ended.cancel()
        if not ready.done():
            ready.cancel()
            raise self.failure or MienError(f"the graph wasn't ready within {READY_WITHIN_S:.0f} s")

    async def _launch(self) -> None:
        """Open the control socket and spawn the processes."""
        self.run, self._folder = runs.begin(self.graph, self._host)
        self._context = zmq.asyncio.Context()
        socket = self._context.socket(zmq.ROUTER)
        socket.linger = 0
        socket.rcvhwm = REPORTS_MOST
        socket.bind(self.run.control_endpoint)
        self._peer = ControlSocket(socket, self._dispatcher)
        if self.graph.hosts:
            self._hosts = Hosts(
                self.graph,
                self.run,
                self._dispatcher,
                lambda: self.metrics(merged=False),
                lambda host, offset_ns: self._keeper.tell_all(ops.ClockOffset(host, offset_ns)),
            )
            await self._hosts.start()
        self._keeper.start(self.run, self._peer)

    async def wait(self) -> None:
        """Until the graph ends by itself, fails or is told to stop. Raises MienError."""
        await self._ended.wait()
        if self.failure is not None:
            raise self.failure

    def request_stop(self) -> None:
        """Let ``wait`` return."""
        self._ended.set()

    async def call(self, operation: Operation[Answer]) -> Answer:
        """What the control socket does, from inside. Raises MienError."""
        return await self._dispatcher.call(operation)

    async def stop(self) -> None:
        """End every process within seconds and leave nothing behind."""
        self._ended.set()
        if self._governor is not None:
            self._governor.cancel()
        await self._keeper.stop()
        if self._hosts is not None:
            await self._hosts.stop()
        if self._peer is not None:
            await self._peer.close()
        if self._context is not None:
            self._context.destroy(linger=0)
        if self._folder is not None:
            self._folder.release()
        await self._settings.close()
        if self._news is not None:
            await self._news.close()

    def event(self, level: str, text: str) -> None:
        """Something that a person should know."""
        self.events.append({"time_ns": time.time_ns(), "level": level, "text": text})
        if self._on_event is not None:
            self._news = self._news or News(self._on_event)
            self._news.add(level, text)

    def _fail(self, error: MienError) -> None:
        self.failure = self.failure or error
        self._ended.set()

    # -- control ---------------------------------------------------------------------------------

    def _serve(self) -> None:
        """What the control socket, nodes and other hosts may ask, and who answers."""
        serve = self._dispatcher.on
        serve(ops.Metrics, lambda _: self.metrics())
        serve(ops.Graph, lambda _: self.graph.describe())
        serve(ops.Parameters, lambda _: self._parameters())
        serve(ops.Set, self._set)
        serve(ops.Restart, self._restart)
        serve(ops.Record, self._record)
        serve(ops.RecordStop, self._record)
        serve(ops.Govern, self._govern)
        serve(ops.Defaults, self._defaults)
        serve(ops.Stop, lambda _: self.request_stop())
        serve(ops.Event, lambda event: self.event(event.level, event.text))
        self._presets.serve(self._dispatcher)
        self._keeper.serve(self._dispatcher)

    def _parameters(self) -> dict[str, list[dict[str, Any]]]:
        return {
            spec.name: [
                {**row, "value": getattr(spec.config, row["name"])}
                for row in describe(spec.node_type.Config)
            ]
            for spec in self.graph.nodes.values()
        }

    async def _set(self, asked: ops.Set) -> Any:
        """What a person sets: it is kept, and no longer the governor's."""
        value = await self._put(asked.node, asked.parameter, asked.value)
        self._settings.changed(self.graph, asked.node, asked.parameter)
        if self._governing is not None:
            self._governing.governor.leave(asked.node, asked.parameter)
        return value

    async def _put(self, node: str, parameter: str, value: Any) -> Any:
        process = self._process_of(node)
        spec = self.graph.nodes[node]
        with_parameter(spec, parameter, value)
        change = ops.Set(node, parameter, value)
        if process in self.processes:
            await self._keeper.call(process, change)
        elif self._hosts is not None:
            await self._hosts.call(self.graph.processes[process], change)
        config = with_parameter(spec, parameter, value)  # others may have changed it meanwhile
        set_parameter(self.graph, node, parameter, config)
        return getattr(config, parameter)

    def _process_of(self, node: str) -> str:
        if node not in self.graph.nodes:
            raise UsageError(f"no node '{node}'{suggestion(node, self.graph.nodes)}")
        return self.graph.nodes[node].process

    def _restart(self, asked: ops.Restart) -> None:
        if (process := self.processes.get(asked.process)) is None:
            known = suggestion(asked.process, self.processes)
            raise UsageError(f"no process '{asked.process}'{known}")
        process.kill()

    async def _record(self, asked: ops.Record | ops.RecordStop) -> Any:
        operation: Operation[Any] = asked
        return await self._keeper.call(self._process_of(asked.edge.partition(".")[0]), operation)

    async def _govern(self, asked: ops.Govern) -> dict[str, Any]:
        if self._governing is None:
            raise UsageError("no governor runs here")
        return await self._governing.hold(asked.level)

    async def _defaults(self, _: ops.Defaults) -> None:
        await self._presets.defaults()
        if self._governing is not None:
            self._governing.governor.forget_hands()

    def _make_governing(self) -> Governing | None:
        """Where the graph's governor is: on the host of its sink, whose figures it looks at."""
        plan = self.graph.governor
        if plan is None or self._process_of(plan.sink.partition(".")[0]) not in self.processes:
            return None
        kept = {f"{node}.{name}" for node, row in self._settings.values.items() for name in row}
        return Governing(
            self.graph,
            plan,
            self.graph.given | kept,
            figures=self._figures,
            put=self._put,
            tell=self.event,
            now_s=lambda: self._keeper.ran.seconds,
        )

    # -- figures -----------------------------------------------------------------------------------

    def _figures(self) -> Figures | None:
        """For the governor: none while a process is being started."""
        return self._keeper.counted() if self._keeper.all_running() else None

    def metrics(self, merged: bool = True) -> dict[str, Any]:
        """Everything that can be measured, as plain data; with other hosts' figures if merged."""
        nodes, edges = self._keeper.counted()
        result: dict[str, Any] = {
            "name": self.graph.name,
            "uptime_s": round(time.monotonic() - self._started_s, 1),
            "nodes": {name: nodes[name] for name in self.graph.nodes if name in nodes},
            "edges": edges,
            "processes": {
                process.name: {"host": self._host, **process.figures()}
                for process in self.processes.values()
            },
            "events": list(self.events),
        }
        result["processes"]["supervisor"] = {
            "host": self._host,
            "pid": os.getpid(),
            "rss_mb": round(psutil.Process().memory_info().rss / 2**20, 1),
            "cpu_percent": 0.0,
            "restarts": 0,
            "hangs": self._keeper.hangs,
            "state": "running",
        }
        result["end_to_end"] = {
            name: {
                "latency_ms": figures["observed"].get("capture_to_send")
                or figures["total"]["end_to_end_ms"],
                "fps": figures["fps_in"],
            }
            for name, figures in result["nodes"].items()
            if figures["sink"]
        }
        if self._governing is not None:
            result["governor"] = self._governing.governor.describe()
        if merged and self._hosts is not None:
            self._hosts.merge(result)
        return result
