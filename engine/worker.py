"""One process of a graph: its nodes started, watched and stopped together, and what it is asked."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from engine import operations as ops
from engine.clock import RunningTime
from engine.dispatch import Dispatcher
from engine.errors import MienError, UsageError, words
from engine.executor import ThreadExecutor
from engine.graph_spec import Graph, with_parameter
from engine.loop_runner import LoopRunner
from engine.node import Control
from engine.often import Often
from engine.parameters import describe
from engine.record import Recorder
from engine.run import Run
from engine.runner import Runner, SourceRunner
from engine.wiring import Wiring

TICK_S = 0.25


class Worker:
    """Runs the nodes of one process of a graph, or all of them where ``process`` is None."""

    def __init__(
        self,
        graph: Graph,
        process: str | None = None,
        run: Run | None = None,
        control: Control | None = None,
        on_event: Callable[[str, str], None] | None = None,
    ) -> None:
        self.graph = graph
        self.process = process
        self.run = run
        self.finished = asyncio.Event()
        self.failure: MienError | None = None
        self._wiring = Wiring(graph, process, run, self._refuse)
        self.runners, self.shared = self._wiring.runners, self._wiring.shared
        self._stopped = False
        self._control = control
        self._on_event = on_event
        self._loop = asyncio.get_running_loop()
        self._lossless = graph.delivery == "lossless"
        self._offsets_ns: dict[str, int] = {}
        self._ran = RunningTime(2 * TICK_S)
        self._steps: dict[ThreadExecutor, tuple[int, float]] = {}
        """when each executor's current step began, by its own stamp and in running time"""
        self._running: set[str] = set()
        self.refused = Often(lambda text: self.event("error", text))
        self.escaped = Often(lambda text: self.event("error", text))
        self._recorders: dict[str, Recorder] = {}

    # -- what runners need -----------------------------------------------------------------------

    def event(self, level: str, text: str) -> None:
        if self._on_event is not None:
            with contextlib.suppress(RuntimeError):  # the loop has ended
                self._loop.call_soon_threadsafe(self._on_event, level, text)

    def failed(self, error: MienError) -> None:
        self._loop.call_soon_threadsafe(self._fail, error)

    def _fail(self, error: MienError) -> None:
        self.failure = self.failure or error
        self.finished.set()

    def ended(self, runner: Runner) -> None:
        self._loop.call_soon_threadsafe(self._ended, runner.name)

    def _ended(self, name: str) -> None:
        self._running.discard(name)
        if not self._running:
            self.finished.set()

    def clock_offset_ns(self, origin: str) -> int:
        return self._offsets_ns.get(origin, 0)

    def _refuse(self, error: Exception) -> None:
        self.refused.add(f"a message was refused: {words(error)[:200]}")

    def _escape(self, error: Exception) -> None:
        text = f"{self.process or self.graph.name}: {words(error)}"
        self.escaped.add(text)
        if self._lossless:
            self.failed(MienError(text))

    # -- life ------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Set every node up and let the sources run. Raises MienError where one can't start."""
        try:
            self._wiring.build(self, self._control)
            self._running = set(self.runners)
            for executor in self._wiring.executors:
                executor.escaped = self._escape
            for thread in self._wiring.workers:
                thread.start()
            await self._setup()
        except BaseException:
            await self.stop()
            raise
        for receiver in self._wiring.receivers:
            receiver.start()
        for source in self._wiring.sources:
            source.start()

    async def _setup(self) -> None:
        # Sinks first: whatever they need (a port, a file) should fail before a camera lights up.
        for runner in reversed(self.runners.values()):
            try:
                if isinstance(runner, LoopRunner):
                    await runner.start()
                elif isinstance(runner, SourceRunner):
                    await asyncio.to_thread(runner.setup)
                elif runner.executor is not None:
                    await asyncio.wrap_future(runner.executor.call(runner.setup))
            except MienError:
                raise
            except Exception as error:
                raise MienError(f"{runner.name}: {words(error)}") from error

    async def stop(self) -> None:
        """Stop sources, then executors, close every node, give everything back."""
        if self._stopped:
            return
        self._stopped = True
        sources = self._wiring.sources
        for receiver in self._wiring.receivers:
            await asyncio.to_thread(receiver.close)
        for source in sources:
            source.stopping.set()
        for executor in (*self._wiring.workers, *sources):
            if executor.started and not await executor.stop():
                self.event("error", f"{executor.name} hangs and was left behind")
        for runner in reversed(self.runners.values()):
            if isinstance(runner, LoopRunner):
                await runner.stop()
            else:
                await asyncio.to_thread(runner.close)
        for recorder in self._recorders.values():
            recorder.close()
        self._wiring.close()

    # -- control ---------------------------------------------------------------------------------

    def snapshot(self) -> dict[str, Any]:
        """Figures of this process's nodes and edges."""
        nodes = {}
        for runner in self.runners.values():
            figures = runner.stats.snapshot()
            figures["type"] = runner.spec.type_name
            figures["process"] = runner.spec.process
            figures["sink"] = not runner.spec.outputs
            figures["queue"] = runner.executor.queue_depth() if runner.executor else 0
            nodes[runner.name] = figures
        return {
            "nodes": nodes,
            "edges": {name: edge.snapshot() for name, edge in self._wiring.edges.items()},
            "counts": {"refused": self.refused.count, "escaped": self.escaped.count},
        }

    def tick(self) -> None:
        """What is to be done every TICK_S: tell of troubles, give unused memory back."""
        self._ran.tick()
        self.refused.tell_if_due()
        self.escaped.tell_if_due()
        self._wiring.rest()

    def stalled(self) -> str:
        """The name of an executor whose step lasts too long, or ""; to be asked at each tick."""
        if self._lossless:
            return ""
        for executor in (self._wiring.executor, *self._wiring.threads):
            step_ns = executor.busy_since_ns
            known_ns, began_s = self._steps.get(executor, (0, 0.0))
            if step_ns != known_ns:
                self._steps[executor] = (step_ns, self._ran.seconds)
            elif step_ns and self._ran.seconds - began_s > self.graph.stalled_after_s:
                return executor.name
        return ""

    def parameters(self) -> dict[str, list[dict[str, Any]]]:
        """Every node's parameters with their present values."""
        return {
            name: [
                {**row, "value": getattr(runner.spec.config, row["name"])}
                for row in describe(runner.spec.node_type.Config)
            ]
            for name, runner in self.runners.items()
        }

    def serve(self, dispatcher: Dispatcher) -> None:
        """Answer what a process is asked."""
        dispatcher.on(ops.Set, self.set)
        dispatcher.on(ops.Parameters, lambda _: self.parameters())
        dispatcher.on(ops.Record, self.record)
        dispatcher.on(ops.RecordStop, self.record_stop)
        dispatcher.on(ops.PeerRestarted, self.peer_restarted)
        dispatcher.on(ops.ClockOffset, self.set_clock_offset)

    async def set(self, asked: ops.Set) -> Any:
        """Change a parameter at the next frame boundary; the value as taken. Raises UsageError."""
        runner = self.runners[asked.node]
        config = with_parameter(runner.spec, asked.parameter, asked.value)
        assert runner.executor is not None

        def take() -> None:
            runner.take_config(config)
            assert runner.executor is not None
            runner.executor.flush()

        if runner.executor.is_current():
            take()
        else:
            await asyncio.wrap_future(runner.executor.call(take))
        return getattr(config, asked.parameter)

    def record(self, asked: ops.Record) -> None:
        """Write everything that leaves a port to a file. Raises MienError."""
        edge = asked.edge
        node, _, port = edge.partition(".")
        runner = self.runners[node]
        if port not in runner.routes:
            raise UsageError(f"{node} has no output '{port}'")
        if edge in self._recorders:
            raise UsageError(f"{edge} is already being recorded")
        recorder = Recorder(Path(asked.path), runner.spec.outputs[port])
        self._recorders[edge] = recorder
        runner.taps[port] = recorder.write

    def record_stop(self, asked: ops.RecordStop) -> int:
        """End a recording; the number of messages in it."""
        edge = asked.edge
        node, _, port = edge.partition(".")
        recorder = self._recorders.pop(edge, None)
        if recorder is None:
            raise UsageError(f"{edge} is not being recorded")
        self.runners[node].taps.pop(port, None)
        recorder.close()
        return recorder.count

    def peer_restarted(self, asked: ops.PeerRestarted) -> None:
        self._wiring.peer_restarted(asked.process)

    def set_clock_offset(self, asked: ops.ClockOffset) -> None:
        self._offsets_ns[asked.host] = asked.offset_ns
