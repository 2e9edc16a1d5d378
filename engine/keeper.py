"""Keeps the processes of one host alive: spawned, heard, ended where they hang, started again."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import time
from collections.abc import Callable
from typing import Any

import psutil

from engine import operations as ops
from engine.clock import RunningTime
from engine.control import ControlSocket
from engine.dispatch import Dispatcher
from engine.errors import MienError, UsageError
from engine.graph_spec import Graph
from engine.operations import Answer, Operation
from engine.process import Process, how_it_ended
from engine.program import ROOT
from engine.run import Run
from engine.transport import shm
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


class Keeper:
    """The processes by name. ``event`` (level, text) is for a person, ``fail`` ends the run,
    ``finished`` is called when all of them have done their work."""

    def __init__(
        self,
        graph: Graph,
        host: str,
        event: Callable[[str, str], None],
        fail: Callable[[MienError], None],
        finished: Callable[[], None],
    ) -> None:
        self.processes = {
            name: Process(name) for name, place in graph.processes.items() if place == host
        }
        self.ran = RunningTime(2 * WATCH_EVERY_S)
        self.hangs = 0
        """how often this process itself didn't run"""
        self._graph = graph
        self._event = event
        self._fail = fail
        self._finished = finished
        self._run: Run | None = None
        self._line: ControlSocket | None = None
        self._watchers: list[asyncio.Task[None]] = []
        self._listener: asyncio.Task[None] | None = None
        self._telling: set[asyncio.Task[None]] = set()
        self._stopping = False

    def serve(self, dispatcher: Dispatcher) -> None:
        """Hear what the processes say of themselves."""
        dispatcher.on_from(ops.Hello, self._hello)
        dispatcher.on_from(ops.Report, self._reported)
        dispatcher.on_from(ops.Failed, self._failed)

    def start(self, run: Run, line: ControlSocket) -> None:
        """Spawn all of them."""
        self._run, self._line = run, line
        for process in self.processes.values():
            watcher = asyncio.ensure_future(self._keep_alive(process))
            watcher.add_done_callback(self._watcher_ended)
            self._watchers.append(watcher)
        self._listener = asyncio.ensure_future(self._listen())

    async def all_ready(self) -> None:
        """Until each has set its nodes up."""
        for process in self.processes.values():
            await process.ready.wait()

    def all_running(self) -> bool:
        """Whether none is being started, or silent."""
        return all(process.state == "running" for process in self.processes.values())

    async def call(self, name: str, operation: Operation[Answer]) -> Answer:
        """Ask one. Raises MienError."""
        process = self.processes.get(name)
        if process is None:
            raise UsageError(f"{name} runs on another host; ask there")
        if process.identity is None or self._line is None:
            raise MienError(f"{name} is being restarted; try again in a second")
        return await self._line.call(operation, to=process.identity)

    def tell_all(self, operation: Operation[None]) -> None:
        """Say something to each that is there, without waiting for it."""
        assert self._line is not None
        for process in self.processes.values():
            if process.identity is not None:
                task = asyncio.ensure_future(self._line.tell(operation, to=process.identity))
                self._telling.add(task)
                task.add_done_callback(self._telling.discard)

    async def stop(self) -> None:
        """End every process within seconds."""
        self._stopping = True
        if self._listener is not None:
            self._listener.cancel()
        children = [process for process in self.processes.values() if process.child is not None]
        for process in children:
            if process.identity is not None and self._line is not None:
                with contextlib.suppress(MienError):
                    await self._line.tell(ops.Stop(), to=process.identity)
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

    # -- lives -----------------------------------------------------------------------------------

    async def _keep_alive(self, process: Process) -> None:
        failures = 0
        while not self._stopping:
            await self._spawn(process)
            assert process.child is not None
            assert self._run is not None
            code = await process.child.wait()
            shm.sweep(self._run.name, process.child.pid)
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
            self._event("error", f"{process.name} {how}; restarted ({process.restarts})")
            await self._tell_others(process)
            delay_s = RESTART_DELAYS_S[min(max(0, failures - 1), len(RESTART_DELAYS_S) - 1)]
            await asyncio.sleep(delay_s)
        process.state = "stopped"

    def _watcher_ended(self, watcher: asyncio.Task[None]) -> None:
        if not watcher.cancelled() and (error := watcher.exception()) is not None:
            self._fail(MienError(f"a process can't be started: {error}"))

    async def _spawn(self, process: Process) -> None:
        assert self._run is not None
        process.started_s = time.monotonic()
        process.heard_s = self.ran.seconds
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
                "graph": self._graph.raw,
                "process": process.name,
                "run": self._run.plain(),
                "path": sys.path,
            }
        )
        assert process.child.stdin is not None
        process.child.stdin.write(len(task).to_bytes(4, "little") + task)

    async def _tell_others(self, process: Process) -> None:
        assert self._line is not None
        for other in self.processes.values():
            if other is not process and other.identity is not None:
                with contextlib.suppress(MienError):
                    await self._line.tell(ops.PeerRestarted(process.name), to=other.identity)

    # -- what is heard of them ---------------------------------------------------------------------

    def _hello(self, hello: ops.Hello, sender: bytes | None) -> None:
        process = self.processes[hello.process]
        if process.child is not None and hello.pid == process.child.pid:
            process.identity = sender

    def _from(self, name: str, sender: bytes | None) -> Process:
        """The process that news come from. Raises UsageError where it is somebody else."""
        process = self.processes[name]
        if sender is None or sender != process.identity:
            raise UsageError(f"{name} is somebody else")
        return process

    def _failed(self, failed: ops.Failed, sender: bytes | None) -> None:
        process = self._from(failed.process, sender)
        process.failure = failed.text
        if process.ready.is_set():
            self._event("error", f"{failed.process}: {failed.text}")
        if self._graph.delivery == "lossless":
            self._fail(MienError(failed.text))

    def _reported(self, news: ops.Report, sender: bytes | None) -> None:
        """What a process says of itself, over and over: any one report may be lost."""
        process, report = self._from(news.process, sender), news.report
        silent_s, process.heard_s = self.ran.seconds - process.heard_s, self.ran.seconds
        process.report = report
        if process.state == "silent":
            self._event("warning", f"{process.name} answers again, after {silent_s:.1f} s")
        if process.state in ("starting", "silent"):
            process.state = "running"
            process.ready.set()
        stalled = report["stalled"]
        # One that waited while this process didn't run may no longer be true.
        if stalled and time.monotonic_ns() - report["at_ns"] < FRESH_NS:
            self._hang(process, f"{stalled} hangs")
        process.finished = process.finished or report["finished"]
        if all(other.finished for other in self.processes.values()):
            self._finished()

    async def _listen(self) -> None:
        """End what doesn't report: a step that holds the interpreter can't say that it does."""
        while True:
            await asyncio.sleep(WATCH_EVERY_S)
            late_s = self.ran.tick()
            if late_s > SILENT_AFTER_S:
                self.hangs += 1
                self._event("warning", f"the supervisor didn't run for {late_s:.1f} s")
            for process in self.processes.values():
                self._listen_to(process)

    def _listen_to(self, process: Process) -> None:
        silent_s = self.ran.seconds - process.heard_s
        if process.state == "starting" and process.restarts and silent_s > READY_WITHIN_S:
            self._hang(process, f"wasn't ready within {READY_WITHIN_S:.0f} s")
        elif process.state == "running" and silent_s > SILENT_AFTER_S:
            process.state = "silent"
            process.hangs += 1
        elif (
            process.state == "silent"
            and self._graph.delivery == "live"
            and silent_s > self._graph.silent_after_s
        ):
            self._hang(process, f"no answer for {silent_s:.1f} s", counted=True)

    def _hang(self, process: Process, how: str, counted: bool = False) -> None:
        if process.state == "hanging":
            return
        process.hangs += not counted
        process.state = "hanging"
        self._event("error", f"{process.name}: {how}; the process is killed")
        process.kill()

    # -- figures -----------------------------------------------------------------------------------

    def counted(self) -> tuple[dict[str, Any], dict[str, dict[str, int]]]:
        """Figures of the nodes, counts of the edges through all lives of the processes."""
        nodes: dict[str, Any] = {}
        edges: dict[str, dict[str, int]] = {}
        for process in self.processes.values():
            nodes |= process.report["nodes"]
            process.add_edges(edges)
        for figures in edges.values():
            # What a process sent between its last report and its death it could not count.
            figures["sent"] = max(figures["sent"], figures["received"] + figures["gaps"])
        return nodes, edges
