"""One node at work: joins its inputs, times it, sends its outputs on, and keeps it alive."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from engine.errors import EndOfStream, MienError, words
from engine.executor import Executor, InputQueue
from engine.graph_spec import NodeSpec
from engine.join import JOIN_DEPTH, Join, JoinedSet, TimeSynchronizer
from engine.metrics import EdgeStats, NodeStats
from engine.node import Condition, Context, Control, Source
from engine.outputs import each_output
from engine.transport.wire import Envelope, Hop
from engine.types import U8, Fifo, Latest, Message

FAILURES_BEFORE_RESTART = 5
GAP_MOST = 1_000_000
"""numbers that are further apart are those of two lives of a node"""
BACKOFF_S = (0.25, 0.5, 1.0, 2.0, 5.0)


class Route(Protocol):
    """A way out of an output port."""

    def send(self, envelope: Envelope) -> None: ...
    def allocate(self, shape: tuple[int, ...]) -> U8 | None: ...


@dataclass
class ExecutorRoute:
    """To nodes of the same process: a call where the executor is the caller's, else a mailbox."""

    executor: Executor
    queue: InputQueue

    def send(self, envelope: Envelope) -> None:
        if self.executor.is_current():
            self.queue.deliver(envelope)
        else:
            self.executor.put(self.queue, envelope)

    def allocate(self, shape: tuple[int, ...]) -> U8 | None:
        return None


class Host(Protocol):
    """What a runner needs of its worker."""

    def event(self, level: str, text: str) -> None: ...
    def failed(self, error: MienError) -> None: ...
    def ended(self, runner: Runner) -> None: ...
    def clock_offset_ns(self, origin: str) -> int: ...


class Runner:
    """Drives one node inside its executor."""

    def __init__(
        self,
        spec: NodeSpec,
        host: Host,
        control: Control | None,
        lossless: bool,
        services: Mapping[str, str],
        shared: dict[str, Any],
    ) -> None:
        self.spec = spec
        self.name = spec.name
        self.host = host
        self.lossless = lossless
        self.stats = NodeStats()
        self.executor: Executor | None = None
        self.routes: dict[str, list[Route]] = {port: [] for port in spec.outputs}
        self.sent: dict[str, list[EdgeStats]] = {port: [] for port in spec.outputs}
        self.taps: dict[str, Callable[[Envelope], None]] = {}
        self.incoming: dict[str, EdgeStats] = {}
        self.queues: list[InputQueue] = []
        self.context = Context(
            name=spec.name,
            emit=self._emit_outside,
            status=self._status,
            gauge=self.stats.gauge,
            observe=self.stats.observe,
            count=self.stats.count,
            allocate=self._allocate,
            control=control,
            services=services,
            shared=shared,
        )
        self.node = spec.node_type(spec.config, self.context)
        self.is_set_up = False
        self._open = False
        # Far above those of a life before, whose last messages may come between ours.
        first = time.monotonic_ns()
        self._numbers = {port: itertools.count(first) for port in spec.outputs}
        self._handlers = {port: getattr(self.node, f"on_{port}", None) for port in spec.inputs}
        # Rates and ages speak of one stream: the first picture where there is one.
        pictures = [port for port in spec.ports if isinstance(spec.ports[port], Latest)]
        self._timed = next((port for port in (*pictures, *spec.ports) if port in spec.inputs), "")
        self._joined = [port for port, handler in self._handlers.items() if handler is None]
        self._first_output = next(iter(spec.outputs), "")
        self._synchronizer = TimeSynchronizer(
            self._joined, 256 if lossless else JOIN_DEPTH, self._unmatched
        )
        self._expected: dict[str, int] = {}
        self._ended: set[str] = set()
        self._finished = False
        self._failures = 0
        self._restarts = 0
        self._retry_ns = 0

    # -- life ------------------------------------------------------------------------------------

    def setup(self) -> None:
        """Set the node up, in its executor. Raises what the node raises."""
        self._open = True
        self.node.setup()
        self.set_up()

    def set_up(self) -> None:
        """The node is ready for messages."""
        self.is_set_up = True
        if self.stats.status[1] == "starting" or self.stats.status[0] == "failed":
            self.stats.status = ("ok", "")

    def close(self) -> None:
        """Close the node, once for each time that its setup was begun."""
        self.is_set_up = False
        if self._open:
            self._open = False
            try:
                self.node.close()
            except Exception as error:  # closing goes on with the other nodes
                self.host.event("error", f"{self.name}: closing failed: {words(error)}")

    def take_config(self, config: Any) -> None:
        """A new Config, between two messages."""
        self.node.reconfigure(config)
        self.spec.config = config  # what the node refuses is no longer asked of it

    # -- messages --------------------------------------------------------------------------------

    def receive(self, port: str, envelope: Envelope | JoinedSet) -> None:
        """One message on one port, or one on each that is joined, in the node's executor."""
        if envelope.message is None:
            self._end(port)
            return
        if isinstance(envelope, Envelope):
            missed = envelope.seq - self._expected.get(port, envelope.seq)
            if 0 < missed < GAP_MOST and isinstance(self.spec.ports[port], Fifo):
                self.incoming[port].gaps += missed
            self._expected[port] = envelope.seq + 1
        if not self.is_set_up and not self._set_up_again():
            return
        if isinstance(envelope, JoinedSet):
            self._process(envelope)
        elif (handler := self._handlers[port]) is not None:
            timed = port == self._timed
            message = envelope.message
            self._run(handler, (message,), {}, message, envelope.trace, envelope, timed)
        elif len(self._joined) == 1:
            message = envelope.message
            self._run(self.node.process, (), {port: message}, message, envelope.trace, envelope)
        elif (joined := self._synchronizer.add(port, envelope)) is not None:
            self._process(joined)

    def join_ahead(self) -> Join[InputQueue] | None:
        """Where messages are joined before they enter the node's executor, if they are many to join
        and only the newest count."""
        ports = self.spec.ports
        if len(self._joined) < 2 or not all(isinstance(ports[p], Latest) for p in self._joined):
            return None
        joined = InputQueue(ports[self._joined[0]], lossless=False)
        joined.consumers.append((self, self._joined[0]))
        joined.edges += [self.incoming[port] for port in self._joined]
        return Join(self._joined, joined, self._unmatched_ahead)

    def _unmatched(self, ports: Sequence[str]) -> None:
        self.stats.count("unmatched", len(ports))

    def _unmatched_ahead(self, ports: Sequence[str]) -> None:
        for port in ports:
            self.incoming[port].dropped += 1

    def _process(self, joined: JoinedSet) -> None:
        messages = {port: part.message for port, part in joined.parts.items()}
        self._run(self.node.process, (), messages, joined.message, joined.trace, joined.last)

    def _run(
        self,
        function: Callable[..., Any],
        positional: tuple[Any, ...],
        named: dict[str, Any],
        message: Message | None,
        trace: tuple[Hop, ...],
        envelope: Envelope,
        timed: bool = True,
    ) -> None:
        assert message is not None
        in_ns = time.monotonic_ns()
        busy_ns = 0
        try:
            outputs = each_output(self.node, function(*positional, **named))
            started_ns = in_ns
            for port, output in outputs:
                out_ns = time.monotonic_ns()
                busy_ns += out_ns - started_ns
                self._emit(port, output, (*trace, (self.name, in_ns, out_ns)), envelope.origin)
                started_ns = time.monotonic_ns()
            out_ns = time.monotonic_ns()
            busy_ns += out_ns - started_ns
        except Exception as error:
            self._failure(error)
            return
        finally:
            # Counted after the work, which shouldn't wait for it.
            local_capture_ns = message.capture_ns + self.host.clock_offset_ns(envelope.origin)
            if timed:
                self.stats.received.tick(in_ns)
                self.stats.age.add((in_ns - local_capture_ns) / 1e6)
        if timed:
            self.stats.process.add(busy_ns / 1e6)
        if timed and not self.spec.outputs:
            # A file's stamps tell media time: what counts there is when its source was read.
            began_ns = trace[0][1] if self.lossless and trace else local_capture_ns
            self.stats.end_to_end.add((out_ns - began_ns) / 1e6)
        if self._failures:
            self._failures = 0
            self.stats.status = ("ok", "")

    def _emit(self, port: str, message: Message, trace: tuple[Hop, ...], origin: str = "") -> None:
        envelope = Envelope(message, next(self._numbers[port]), trace, origin)
        if (tap := self.taps.get(port)) is not None:
            tap(envelope)
        for edge in self.sent[port]:
            edge.sent += 1
        for route in self.routes[port]:
            route.send(envelope)
        if port == self._first_output:
            self.stats.emitted.tick(time.monotonic_ns())

    def _allocate(self, port: str, shape: tuple[int, ...]) -> U8:
        for route in self.routes[port]:
            if (array := route.allocate(shape)) is not None:
                return array
        return np.empty(shape, np.uint8)

    def _emit_outside(self, port: str, message: Message) -> None:
        now_ns = time.monotonic_ns()
        self._emit(port, message, ((self.name, message.capture_ns, now_ns),))

    def _status(self, condition: Condition, text: str) -> None:
        if self.stats.status != (condition, text):
            self.stats.status = (condition, text)
            if condition not in ("ok", "waiting"):
                self.host.event("warning", f"{self.name}: {text}")

    # -- the end of the stream -------------------------------------------------------------------

    def _end(self, port: str) -> None:
        self._ended.add(port)
        if self._ended >= set(self.spec.inputs) and not self._finished:
            self.finish()

    def finish(self) -> None:
        """Every input has ended: complete what is open and pass the end on."""
        self._finished = True
        if self.is_set_up:
            try:
                for port, output in each_output(self.node, self.node.finish()):
                    self._emit(port, output, ())
            except Exception as error:
                self._failure(error)
        for port, routes in self.routes.items():
            for route in routes:
                route.send(Envelope(None, next(self._numbers[port])))
        self.host.ended(self)

    # -- failure ---------------------------------------------------------------------------------

    def _failure(self, error: Exception) -> None:
        self.stats.errors += 1
        text = words(error)
        if self.lossless:
            failure = error if isinstance(error, MienError) else MienError(f"{self.name}: {text}")
            self.host.failed(failure)
            return
        self._failures += 1
        self._status("failed", text)
        if self._failures >= FAILURES_BEFORE_RESTART:
            self.close()
            self._postpone()

    def _postpone(self) -> None:
        wait_s = BACKOFF_S[min(self._restarts, len(BACKOFF_S) - 1)]
        self._restarts += 1
        self._retry_ns = time.monotonic_ns() + int(wait_s * 1e9)

    def _set_up_again(self) -> bool:
        if time.monotonic_ns() < self._retry_ns or self._finished:
            return False
        self.node = self.spec.node_type(self.spec.config, self.context)
        self._handlers = {port: getattr(self.node, f"on_{port}", None) for port in self.spec.inputs}
        try:
            self.setup()
        except Exception as error:
            self.stats.errors += 1
            self._status("failed", words(error))
            self.close()
            self._postpone()
            return False
        self._failures = 0
        self.stats.restarts += 1
        self.host.event("warning", f"{self.name} was set up again")
        return True


class SourceRunner(Runner):
    """Drives a source: reads it over and over in its own thread."""

    def step(self, stopping: threading.Event) -> bool:
        """One read; False when the source has ended."""
        node = self.node
        assert isinstance(node, Source)
        if not self.is_set_up:
            if not self._set_up_again():
                stopping.wait(0.05)
            return not self._finished
        try:
            in_ns = time.monotonic_ns()
            for port, message in each_output(node, node.read()):
                out_ns = time.monotonic_ns()
                self._emit(port, message, ((self.name, in_ns, out_ns),))
                in_ns = time.monotonic_ns()
            self._failures = 0
        except EndOfStream:
            self.finish()
            return False
        except Exception as error:
            self._failure(error)
            return not self.lossless
        return True
