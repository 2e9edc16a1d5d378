"""One process's nodes wired: which executor runs each, which queue or link each output goes to."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import zmq

from engine.errors import MienError
from engine.executor import Executor, InputQueue, LoopExecutor, ThreadExecutor
from engine.graph_spec import Graph, NodeSpec
from engine.loop_runner import LoopRunner
from engine.metrics import EdgeStats
from engine.node import Control, LoopNode, Source
from engine.run import Authenticator, Run
from engine.runner import ExecutorRoute, Host, Runner, SourceRunner
from engine.transport.link import SendLink
from engine.transport.receive import ReceiveLink
from engine.types import Fifo


class Wiring:
    """Runners by name, their executors, queues and links. All nodes of a graph are wired where
    ``process`` is None; ``refuse`` is told what a receiver doesn't take."""

    def __init__(
        self,
        graph: Graph,
        process: str | None,
        run: Run | None,
        refuse: Callable[[Exception], None],
    ) -> None:
        self.runners: dict[str, Runner] = {}
        self.edges: dict[str, EdgeStats] = {}
        self._graph = graph
        self._process = process
        self._run = run
        self._refuse = refuse
        self._lossless = graph.delivery == "lossless"
        self.executor = ThreadExecutor("executor", self._lossless)
        self.loop_executor = LoopExecutor(asyncio.get_running_loop())
        self.threads: list[ThreadExecutor] = []
        self.receivers: list[ReceiveLink] = []
        self.shared: dict[str, Any] = {}
        """what the nodes have in common, by name"""
        self._senders: dict[str, list[SendLink]] = {}
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._authenticator: Authenticator | None = None

    @property
    def executors(self) -> list[Executor]:
        """All of them."""
        return [self.executor, self.loop_executor, *self.threads]

    @property
    def sources(self) -> list[ThreadExecutor]:
        """The executors of sources; each has one of its own."""
        own = [one.executor for one in self.runners.values() if isinstance(one, SourceRunner)]
        return [executor for executor in self.threads if executor in own]

    @property
    def workers(self) -> list[ThreadExecutor]:
        """The threads that work on what sources bring."""
        sources = self.sources
        return [self.executor, *(one for one in self.threads if one not in sources)]

    def _specs(self) -> list[NodeSpec]:
        if self._process is None:
            return list(self._graph.nodes.values())
        return self._graph.in_process(self._process)

    def build(self, host: Host, control: Control | None) -> None:
        """Make the runners, and join them. Raises MienError where a socket can't be had."""
        own = {spec.name for spec in self._specs()}
        for spec in self._specs():
            kind: type[Runner] = Runner
            for base, driver in ((Source, SourceRunner), (LoopNode, LoopRunner)):
                if issubclass(spec.node_type, base):
                    kind = driver
            runner = kind(spec, host, control, self._lossless, self._graph.services, self.shared)
            if isinstance(runner, SourceRunner):
                runner.executor = self._thread(spec.name, runner)
            elif spec.runs == "loop":
                runner.executor = self.loop_executor
            elif spec.runs == "thread":
                runner.executor = self._thread(spec.name, None)
            else:
                runner.executor = self.executor
            self.runners[spec.name] = runner
        if self._process is not None and self._run is not None:
            for endpoint, curve in self._run.listen(self._graph, self._process):
                if curve is not None:
                    known = [host.public_key for host in self._graph.hosts.values()]
                    self._authenticator = Authenticator(self._context, known)
                try:
                    receiver = ReceiveLink(
                        self._context,
                        endpoint,
                        curve,
                        self.executor,
                        self._refuse,
                        run=self._run.name,
                    )
                except zmq.ZMQError as error:
                    raise MienError(f"can't listen on {endpoint}: {error}") from None
                self.receivers.append(receiver)
        for origin in self._graph.nodes.values():
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
        fed = any(origin is not None and origin.executor is self.executor for origin in origins)
        if runner.spec.backpressure and fed:
            self.executor.waits_for.append(join.joined)
            join.joined.feeders.append(self.executor)

    def _thread(self, name: str, source: SourceRunner | None) -> ThreadExecutor:
        executor = ThreadExecutor(name, self._lossless, source.step if source else None)
        self.threads.append(executor)
        return executor

    def _connect(self, origin: NodeSpec, port: str, own: set[str]) -> None:
        consumers = self._graph.consumers(origin.name, port)
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
                for receiver in self.receivers:
                    receiver.add(f"{origin.name}.{port}", origin.outputs[port], executor, queue)

    def _sender(
        self, origin: str, port: str, process: str, targets: list[tuple[NodeSpec, str]]
    ) -> SendLink:
        assert self._run is not None
        endpoint, curve = self._run.endpoint(self._graph, process)
        depth = 2
        for spec, input_port in targets:
            kind = spec.ports[input_port]
            if isinstance(kind, Fifo):
                depth = max(depth, kind.depth)
        sender = SendLink(
            self._context,
            endpoint,
            f"{origin}.{port}",
            run=self._run.name,
            depth=depth,
            lossless=self._lossless,
            edges=[self._edge(origin, port, spec.name, name) for spec, name in targets],
            curve=curve,
            host=self._run.host,
        )
        self._senders.setdefault(process, []).append(sender)
        return sender

    def _edge(self, origin: str, port: str, node: str, input_port: str) -> EdgeStats:
        return self.edges.setdefault(f"{origin}.{port}->{node}.{input_port}", EdgeStats())

    def rest(self) -> None:
        """Give memory back that nothing was sent in for a while."""
        for senders in self._senders.values():
            for sender in senders:
                sender.rest()

    def peer_restarted(self, process: str) -> None:
        """What another process held is lost."""
        for sender in self._senders.get(process, []):
            sender.peer_restarted()

    def close(self) -> None:
        """Close the links out; those in and the executors are stopped before."""
        self.loop_executor.close()
        for senders in self._senders.values():
            for sender in senders:
                sender.close()
        if self._authenticator is not None:
            self._authenticator.stop()
        self._context.destroy(linger=0)
