"""Spawns a graph's processes, restarts what dies, and answers on the control socket."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import time
from collections import deque
from collections.abc import Callable
from typing import Any

import psutil
import zmq
import zmq.asyncio

from engine import operations as ops
from engine import run as runs
from engine.clock import RunningTime
from engine.control import REPORTS_MOST, ControlSocket
from engine.dispatch import Dispatcher
from engine.errors import MienError, UsageError, suggestion
from engine.folders import RunFolder
from engine.governing import Figures, Governing
from engine.graph import Graph, set_parameter, with_parameter
from engine.news import News
from engine.operations import Answer, Operation
from engine.parameters import describe
from engine.presets import Presets
from engine.process import Process, add_up, how_it_ended
from engine.program import ROOT
from engine.settings import Settings
from engine.transport import shm
from engine.transport.hosts import Hosts
from engine.transport.wire import to_bytes

RESTART_DELAYS_S = (0.0, 0.25, 0.5, 1.0, 2.0, 5.0)
HEALTHY_AFTER_S = 10.0
STOP_WITHIN_S = 2.0
READY_WITHIN_S = 60.0
WATCH_EVERY_S = 0.25
SILENT_AFTER_S = 1.5
"""a process that doesn't report for so long is called silent"""
FRESH_NS = 1_000_000_000
STARTS_AT_MOST = 3


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
        self.processes = {
            name: Process(name) for name, place in graph.processes.items() if place == host
        }
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
        self._watchers: list[asyncio.Task[None]] = []
        self._listener: asyncio.Task[None] | None = None
        self._started_s = time.monotonic()
        self._stopping = False
        self._peer: ControlSocket | None = None
        self._hosts: Hosts | None = None
        self._context: zmq.asyncio.Context | None = None
        self._ran = RunningTime(2 * WATCH_EVERY_S)
        self._hangs = 0
        self._news: News | None = None

    async def __aenter__(self) -> Supervisor:
        try:
            await self._start()
        except BaseException:
            await self.stop()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def _start(self) -> None:
        self.run, self._folder = runs.begin(self.graph, self._host)
        self._settings.on_trouble = lambda text: self.event("warning", text)
        for note in self._settings.notes:
            self.event("warning", note)
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
                self._clock_known,
            )
            await self._hosts.start()
        for process in self.processes.values():
            watcher = asyncio.ensure_future(self._keep_alive(process))
            watcher.add_done_callback(self._watcher_ended)
            self._watchers.append(watcher)
        self._listener = asyncio.ensure_future(self._listen())
        if self._governing is not None:
            self._governor = asyncio.ensure_future(self._governing.run())
        ready = asyncio.ensure_future(self._all_ready())
        ended = asyncio.ensure_future(self._ended.wait())
        await asyncio.wait(
            {ready, ended}, timeout=READY_WITHIN_S, return_when=asyncio.FIRST_COMPLETED
        )
        ended.cancel()
        if not ready.done():
            ready.cancel()
            raise self.failure or MienError(f"the graph wasn't ready within {READY_WITHIN_S:.0f} s")

    async def _all_ready(self) -> bool:
        for process in self.processes.values():
            await process.ready.wait()
        return True

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
        self._stopping = True
        self._ended.set()
        for task in (self._listener, self._governor):
            if task is not None:
                task.cancel()
        children = [process for process in self.processes.values() if process.child is not None]
        for process in children:
            if process.identity is not None and self._peer is not None:
                with contextlib.suppress(MienError):
                    await self._peer.tell(ops.Stop(), to=process.identity)
            elif process.child is not None and process.child.stdin is not None:
                process.child.stdin.close()
        for watcher in self._watchers:
            if not any(process.child for process in children):
                watcher.cancel()
        if self._watchers:
            _, late = await asyncio.wait(self._watchers, timeout=STOP_WITHIN_S)
            if late:
                for process in children:
                    process.kill()
                await asyncio.wait(late, timeout=1.0)
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

    # -- processes -------------------------------------------------------------------------------

    async def _keep_alive(self, process: Process) -> None:
        failures = 0
        while not self._stopping:
            await self._spawn(process)
            assert process.child is not None
            assert self.run is not None
            code = await process.child.wait()
            shm.sweep(self.run.name, process.child.pid)
            process.died()
            how = how_it_ended(code)
            if self._stopping:
                break
            if not process.ready.is_set() and (process.failure or failures == STARTS_AT_MOST):
                self._fail(
                    MienError(process.failure or f"process {process.name} can't start: {how}")
                )
                break
            if code == 0 and process.finished:
                break
            lived_s = time.monotonic() - process.started_s
            failures = 0 if lived_s > HEALTHY_AFTER_S else failures + 1
            process.restarts += 1
            process.state = "restarting"
            self.event("error", f"{process.name} {how}; restarted ({process.restarts})")
            await self._tell_others(process)
            delay_s = RESTART_DELAYS_S[min(max(0, failures - 1), len(RESTART_DELAYS_S) - 1)]
            await asyncio.sleep(delay_s)
        process.state = "stopped"

    def _watcher_ended(self, watcher: asyncio.Task[None]) -> None:
        if not watcher.cancelled() and (error := watcher.exception()) is not None:
            self._fail(MienError(f"a process can't be started: {error}"))

    async def _spawn(self, process: Process) -> None:
        assert self.run is not None
        process.started_s = time.monotonic()
        process.heard_s = self._ran.seconds
        process.failure = ""
        process.state = "starting"
        path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH", "")]))
        process.child = await asyncio.create_subprocess_exec(
            sys.executable,
            "-P",  # what is called like Mien's packages in this folder isn't taken for them
            "-m",
            "engine.child",
            stdin=asyncio.subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": path},
            start_new_session=True,
        )
        process.usage = psutil.Process(process.child.pid)
        task = to_bytes(
            {
                "graph": self.graph.raw,
                "process": process.name,
                "run": self.run.plain(),
                "path": sys.path,
            }
        )
        assert process.child.stdin is not None
        process.child.stdin.write(len(task).to_bytes(4, "little") + task)

    async def _tell_others(self, process: Process) -> None:
        assert self._peer is not None
        for other in self.processes.values():
            if other is not process and other.identity is not None:
                with contextlib.suppress(MienError):
                    await self._peer.tell(ops.PeerRestarted(process.name), to=other.identity)

    async def _listen(self) -> None:
        """End what doesn't report: a step that holds the interpreter can't say that it does."""
        while True:
            await asyncio.sleep(WATCH_EVERY_S)
            late_s = self._ran.tick()
            if late_s > SILENT_AFTER_S:
                self._hangs += 1
                self.event("warning", f"the supervisor didn't run for {late_s:.1f} s")
            for process in self.processes.values():
                self._listen_to(process)

    def _listen_to(self, process: Process) -> None:
        silent_s = self._ran.seconds - process.heard_s
        if process.state == "starting" and process.restarts and silent_s > READY_WITHIN_S:
            self._hang(process, f"wasn't ready within {READY_WITHIN_S:.0f} s")
        elif process.state == "running" and silent_s > SILENT_AFTER_S:
            process.state = "silent"
            process.hangs += 1
        elif (
            process.state == "silent"
            and self.graph.delivery == "live"
            and silent_s > self.graph.silent_after_s
        ):
            self._hang(process, f"no answer for {silent_s:.1f} s", counted=True)

    def _hang(self, process: Process, how: str, counted: bool = False) -> None:
        if process.state == "hanging":
            return
        process.hangs += not counted
        process.state = "hanging"
        self.event("error", f"{process.name}: {how}; the process is killed")
        process.kill()

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
        self._dispatcher.on_from(ops.Hello, self._hello)
        self._dispatcher.on_from(ops.Report, self._reported)
        self._dispatcher.on_from(ops.Failed, self._process_failed)

    def _hello(self, hello: ops.Hello, sender: bytes | None) -> None:
        worker = self.processes[hello.process]
        if worker.child is not None and hello.pid == worker.child.pid:
            worker.identity = sender

    def _worker(self, process: str, sender: bytes | None) -> Process:
        """The process that news come from. Raises UsageError where it is somebody else."""
        worker = self.processes[process]
        if sender is None or sender != worker.identity:
            raise UsageError(f"{process} is somebody else")
        return worker

    def _process_failed(self, failed: ops.Failed, sender: bytes | None) -> None:
        worker = self._worker(failed.process, sender)
        worker.failure = failed.text
        if worker.ready.is_set():
            self.event("error", f"{failed.process}: {failed.text}")
        if self.graph.delivery == "lossless":
            self._fail(MienError(failed.text))

    def _reported(self, news: ops.Report, sender: bytes | None) -> None:
        """What a worker says of itself, over and over: any one report may be lost."""
        worker, report = self._worker(news.process, sender), news.report
        silent_s, worker.heard_s = self._ran.seconds - worker.heard_s, self._ran.seconds
        worker.report = report
        if worker.state == "silent":
            self.event("warning", f"{worker.name} answers again, after {silent_s:.1f} s")
        if worker.state in ("starting", "silent"):
            worker.state = "running"
            worker.ready.set()
        stalled = report["stalled"]
        # One that waited while this process didn't run may no longer be true.
        if stalled and time.monotonic_ns() - report["at_ns"] < FRESH_NS:
            self._hang(worker, f"{stalled} hangs")
        worker.finished = worker.finished or report["finished"]
        if all(other.finished for other in self.processes.values()):
            self._ended.set()

    def _clock_known(self, host: str, offset_ns: int) -> None:
        assert self._peer is not None
        for process in self.processes.values():
            if process.identity is not None:
                task = self._peer.tell(ops.ClockOffset(host, offset_ns), to=process.identity)
                self._watchers.append(asyncio.ensure_future(task))
        self._watchers = [watcher for watcher in self._watchers if not watcher.done()]

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
            await self._call(process, change)
        elif self._hosts is not None:
            await self._hosts.call(self.graph.processes[process], change)
        config = with_parameter(spec, parameter, value)  # others may have changed it meanwhile
        set_parameter(self.graph, node, parameter, config)
        return getattr(config, parameter)

    def _process_of(self, node: str) -> str:
        if node not in self.graph.nodes:
            raise UsageError(f"no node '{node}'{suggestion(node, self.graph.nodes)}")
        return self.graph.nodes[node].process

    async def _call(self, process: str, operation: Operation[Answer]) -> Answer:
        worker = self.processes.get(process)
        if worker is None:
            raise UsageError(f"{process} runs on another host; ask there")
        if worker.identity is None or self._peer is None:
            raise MienError(f"{process} is being restarted; try again in a second")
        return await self._peer.call(operation, to=worker.identity)

    def _restart(self, asked: ops.Restart) -> None:
        if (process := self.processes.get(asked.process)) is None:
            known = suggestion(asked.process, self.processes)
            raise UsageError(f"no process '{asked.process}'{known}")
        process.kill()

    async def _record(self, asked: ops.Record | ops.RecordStop) -> Any:
        operation: Operation[Any] = asked
        return await self._call(self._process_of(asked.edge.partition(".")[0]), operation)

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
            now_s=lambda: self._ran.seconds,
        )

    # -- figures -----------------------------------------------------------------------------------

    def _figures(self) -> Figures | None:
        """For the governor: none while a process is being started."""
        running = all(process.state == "running" for process in self.processes.values())
        return self._counted() if running else None

    def _counted(self) -> tuple[dict[str, Any], dict[str, dict[str, int]]]:
        """Figures of this host's nodes, counts of its edges through all lives of its processes."""
        nodes: dict[str, Any] = {}
        edges: dict[str, dict[str, int]] = {}
        for process in self.processes.values():
            nodes |= process.report["nodes"]
            for part in (process.past_edges, process.report["edges"]):
                for name, figures in part.items():
                    add_up(edges.setdefault(name, {}), figures)
        for figures in edges.values():
            # What a process sent between its last report and its death it could not count.
            figures["sent"] = max(figures["sent"], figures["received"] + figures["gaps"])
        return nodes, edges

    def metrics(self, merged: bool = True) -> dict[str, Any]:
        """Everything that can be measured, as plain data; with other hosts' figures if merged."""
        nodes, edges = self._counted()
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
            "hangs": self._hangs,
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
