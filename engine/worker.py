"""One process of a graph: its nodes, executors and links, started, watched and stopped together."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import zmq

from engine import graph as graphs
from engine import operations as ops
from engine.clock import RunningTime
from engine.dispatch import Dispatcher
from engine.errors import MienError, UsageError, words
from engine.executor import Executor, InputQueue, LoopExecutor, ThreadExecutor
from engine.graph import Graph, NodeSpec
from engine.loop_runner import LoopRunner
from engine.metrics import EdgeStats
from engine.node import Control, LoopNode, Source
from engine.often import Often
from engine.parameters import describe
from engine.record import Recorder
from engine.run import Authenticator, Run
from engine.runner import ExecutorRoute, Runner, SourceRunner
from engine.transport.link import SendLink
from engine.transport.receive import ReceiveLink
from engine.types import Fifo

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
        self.edges: dict[str, EdgeStats] = {}
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
        self._executor = ThreadExecutor("executor", self._lossless)
        self._loop_executor = LoopExecutor(self._loop)
        self._threads: list[ThreadExecutor] = []
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._authenticator: Authenticator | None = None
        self.refused = Often(lambda text: self.event("error", text))
        self.escaped = Often(lambda text: self.event("error", text))
        self._receivers: list[ReceiveLink] = []
        self._senders: dict[str, list[SendLink]] = {}
        self._recorders: dict[str, Recorder] = {}
        self.runners: dict[str, Runner] = {}

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

    # -- building --------------------------------------------------------------------------------

    def _specs(self) -> list[NodeSpec]:
        if self.process is None:
            return list(self.graph.nodes.values())
        return self.graph.in_process(self.process)

    def _build(self) -> None:
        own = {spec.name for spec in self._specs()}
        for spec in self._specs():
            kind: type[Runner] = Runner
            for base, driver in ((Source, SourceRunner), (LoopNode, LoopRunner)):
                if issubclass(spec.node_type, base):
                    kind = driver
            runner = kind(spec, self, self._control, self._lossless)
            if isinstance(runner, SourceRunner):
                runner.executor = self._thread(spec.name, runner)
            elif spec.runs == "loop":
                runner.executor = self._loop_executor
            elif spec.runs == "thread":
                runner.executor = self._thread(spec.name, None)
            else:
                runner.executor = self._executor
            self.runners[spec.name] = runner
        self._running = set(own)
        if self.process is not None and self.run is not None:
            for endpoint, curve in self.run.listen(self.graph, self.process):
                if curve is not None:
                    self._authenticator = Authenticator(self._context, self.graph)
                try:
                    receiver = ReceiveLink(
                        self._context,
                        endpoint,
                        curve,
                        self._executor,
                        self._refuse,
                        run=self.run.name,
                    )
                except zmq.ZMQError as error:
                    raise MienError(f"can't listen on {endpoint}: {error}") from None
                self._receivers.append(receiver)
        for origin in self.graph.nodes.values():
            for port in origin.outputs:
                self._connect(origin, port, own)
        if not self._lossless:
            for name in own:
                self._join_ahead(self.runners[name])

    def _join_ahead(self, runner: Runner) -> None:
        """Join what a node with a thread of its own is sent before it gets there, and let what
        feeds it wait for it, where the graph says so."""
        if runner.spec.runs != "thread" or (join := runner.join_ahead()) is None:
            return
        for queue in runner.queues:
            if {port for _, port in queue.consumers} <= set(join.ports):
                queue.join = join
        origins = (self.runners.get(runner.spec.inputs[port][0]) for port in join.ports)
        fed = any(origin is not None and origin.executor is self._executor for origin in origins)
        if runner.spec.backpressure and fed:
            self._executor.waits_for.append(join.joined)
            join.joined.feeders.append(self._executor)

    def _thread(self, name: str, source: SourceRunner | None) -> ThreadExecutor:
        executor = ThreadExecutor(name, self._lossless, source.step if source else None)
        self._threads.append(executor)
        return executor

    def _connect(self, origin: NodeSpec, port: str, own: set[str]) -> None:
        consumers = self.graph.consumers(origin.name, port)
        queues: dict[tuple[int, bool], tuple[Executor, InputQueue]] = {}
        remote: dict[str, list[tuple[NodeSpec, str]]] = {}
        for spec, input_port in consumers:
            if spec.name not in own:
                remote.setdefault(spec.process, []).append((spec, input_port))
                continue
            runner = self.runners[spec.name]
            executor = runner.executor
            assert executor is not None
            edge = self._edge(origin.name, port, spec.name, input_port)
            runner.incoming[input_port] = edge
            kind = spec.ports[input_port]
            _, queue = queues.setdefault(
                (id(executor), isinstance(kind, Fifo)), (executor, InputQueue(kind, self._lossless))
            )
            queue.consumers.append((runner, input_port))
            queue.edges.append(edge)
            runner.queues.append(queue)
        if origin.name in own:
            runner = self.runners[origin.name]
            runner.routes[port] += [
                ExecutorRoute(executor, queue) for executor, queue in queues.values()
            ]
            for spec, input_port in consumers:
                runner.sent[port].append(self._edge(origin.name, port, spec.name, input_port))
            for process, targets in remote.items():
                runner.routes[port].append(self._sender(origin.name, port, process, targets))
        else:
            for executor, queue in queues.values():
                for receiver in self._receivers:
                    receiver.add(f"{origin.name}.{port}", origin.outputs[port], executor, queue)

    def _sender(
        self, origin: str, port: str, process: str, targets: list[tuple[NodeSpec, str]]
    ) -> SendLink:
        assert self.run is not None
        endpoint, curve = self.run.endpoint(self.graph, process)
        depth = 2
        for spec, input_port in targets:
            kind = spec.ports[input_port]
            if isinstance(kind, Fifo):
                depth = max(depth, kind.depth)
        sender = SendLink(
            self._context,
            endpoint,
            f"{origin}.{port}",
            run=self.run.name,
            depth=depth,
            lossless=self._lossless,
            edges=[self._edge(origin, port, spec.name, name) for spec, name in targets],
            curve=curve,
            host=self.run.host,
        )
        self._senders.setdefault(process, []).append(sender)
        return sender

    def _edge(self, origin: str, port: str, node: str, input_port: str) -> EdgeStats:
        return self.edges.setdefault(f"{origin}.{port}->{node}.{input_port}", EdgeStats())

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
            self._build()
            for executor in (self._executor, self._loop_executor, *self._threads):
                executor.escaped = self._escape
            for executor in (self._executor, *self._threads):
                is_source = executor is not self._executor and self._source_of(executor) is not None
                if not is_source:
                    executor.start()
            await self._setup()
        except BaseException:
            await self.stop()
            raise
        for receiver in self._receivers:
            receiver.start()
        for executor in self._threads:
            if self._source_of(executor) is not None:
                executor.start()

    def _source_of(self, executor: Executor) -> SourceRunner | None:
        for runner in self.runners.values():
            if runner.executor is executor and isinstance(runner, SourceRunner):
                return runner
        return None

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
        sources = [executor for executor in self._threads if self._source_of(executor) is not None]
        others = [
            self._executor,
            *(executor for executor in self._threads if executor not in sources),
        ]
        for receiver in self._receivers:
            await asyncio.to_thread(receiver.close)
        for executor in sources:
            executor.stopping.set()
        for executor in (*others, *sources):
            if executor.started and not await executor.stop():
                self.event("error", f"{executor.name} hangs and was left behind")
        for runner in reversed(self.runners.values()):
            if isinstance(runner, LoopRunner):
                await runner.stop()
            else:
                await asyncio.to_thread(runner.close)
        self._loop_executor.close()
        for recorder in self._recorders.values():
            recorder.close()
        for senders in self._senders.values():
            for sender in senders:
                sender.close()
        if self._authenticator is not None:
            self._authenticator.stop()
        self._context.destroy(linger=0)

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
            "edges": {name: edge.snapshot() for name, edge in self.edges.items()},
            "counts": {"refused": self.refused.count, "escaped": self.escaped.count},
        }

    def tick(self) -> None:
        """What is to be done every TICK_S: tell of troubles, give unused memory back."""
        self._ran.tick()
        self.refused.tell_if_due()
        self.escaped.tell_if_due()
        for senders in self._senders.values():
            for sender in senders:
                sender.rest()

    def stalled(self) -> str:
        """The name of an executor whose step lasts too long, or ""; to be asked at each tick."""
        if self._lossless:
            return ""
        for executor in (self._executor, *self._threads):
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
        config = graphs.with_parameter(runner.spec, asked.parameter, asked.value)
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
        for sender in self._senders.get(asked.process, []):
            sender.peer_restarted()

    def set_clock_offset(self, asked: ops.ClockOffset) -> None:
        self._offsets_ns[asked.host] = asked.offset_ns
