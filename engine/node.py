"""The base of every node: typed ports, a typed Config, no sockets, no sleeping."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, Protocol

import numpy as np

from engine.clock import Clock, MonotonicClock
from engine.operations import Answer, Operation
from engine.types import U8, Input, Message, Outputs

Condition = Literal["ok", "waiting", "lost", "degraded", "failed"]


class Control(Protocol):
    """A node's line to the running graph; also what the command line and the page speak to."""

    async def call(self, operation: Operation[Answer]) -> Answer:
        """Ask the supervisor; engine/operations.py has what it can be asked.

        Raises MienError with one line where the request is refused.
        """
        ...


def _ignore(*_: Any) -> None:
    pass


def _empty(_port: str, shape: tuple[int, ...]) -> U8:
    return np.empty(shape, np.uint8)


@dataclass
class Context:
    """What the engine gives a node. Every callable may be used from any thread."""

    name: str = "node"
    clock: Clock = field(default_factory=MonotonicClock)
    emit: Callable[[str, Message], None] = _ignore
    """emit(port, message): send outside of ``process`` (callbacks, loop nodes)."""
    status: Callable[[Condition, str], None] = _ignore
    """status(condition, text): the node's state, in words for the page; "ok" clears it."""
    gauge: Callable[[str, float | int | str], None] = _ignore
    """gauge(name, value): a figure or a fact of the node (backend, drift_ms, input_fps)."""
    observe: Callable[[str, float], None] = _ignore
    """observe(name, milliseconds): one sample of a latency; kept as p50/p95/p99.

    A sink that knows when a picture really left observes ``capture_to_send``."""
    count: Callable[[str, int], None] = _ignore
    """count(name, n): add to a counter of the node (lost_faces, overruns)."""
    allocate: Callable[[str, tuple[int, ...]], U8] = _empty
    """allocate(port, shape): uint8 to write a picture into that will be emitted from ``port``;
    it crosses to another process without a copy. Fill it before it is emitted, not after."""
    control: Control | None = None
    services: Mapping[str, str] = field(default_factory=dict)
    """what runs beside the graph for its nodes, as the graph says: an address by name"""
    shared: dict[str, Any] = field(default_factory=dict)
    """what the nodes of this process have in common, by name (``Node.together``)"""


class Node:
    """One step of the graph.

    ``process`` gets one message per input port, joined by equal ``capture_ns``, as keyword
    arguments by port name; it returns a message (nodes with one output), a mapping from port to
    message, an iterable of either, or None. A port ``p`` for which the class has a method ``on_p``
    isn't joined: each of its messages goes to ``on_p(message)``, which returns the like.

    ``runs``: "executor" shares one compute thread with the other nodes of its process, where a hop
    is a call; "thread" has a thread of its own (encoders, devices), which a graph may
    give any node by ``thread = true``; "loop" lives on the event loop (network) and must never
    block.

    An exception in ``process`` is counted and shown, and the stream goes on; a node that keeps
    failing is closed and set up again.
    """

    inputs: ClassVar[Mapping[str, Input]] = {}
    outputs: ClassVar[Mapping[str, type[Message]]] = {}
    runs: ClassVar[Literal["executor", "thread", "loop"]] = "executor"
    together: ClassVar[str] = ""
    """what nodes of this class share in their process, by its name in ``context.shared``; nodes
    that share it have to be in one process"""

    @dataclass(frozen=True, kw_only=True, slots=True)
    class Config:
        pass

    def __init__(self, config: Any, context: Context | None = None) -> None:
        self.config = config
        self.context = context or Context()

    @classmethod
    def declared_outputs(cls, config: Any) -> Mapping[str, type[Message]]:
        """The output ports of a node with this Config; nearly always the class's own."""
        return cls.outputs

    def setup(self) -> None:
        """Open devices, load and warm up models. Raises MienError with the fix."""

    def process(self, *args: Any, **kwargs: Any) -> Outputs:
        """Handle one joined set of inputs."""

    def reconfigure(self, config: Any) -> None:
        """Take a new, already validated Config between two messages."""
        self.config = config

    def reset(self) -> None:
        """Forget what was learned from earlier messages (a cut, a gap, a change)."""

    def finish(self) -> Outputs:
        """Every input has ended: emit what is left, complete what is written."""

    def close(self) -> None:
        """Give everything back. Called once, also after a failure; unfinished output is removed."""


class Source(Node):
    """A node without inputs: ``read`` runs in its own thread, over and over."""

    def read(self) -> Outputs:
        """Block until there is something to emit, at most a second; None: nothing yet.

        Raises EndOfStream when nothing more will come.
        """
        raise NotImplementedError


class LoopNode(Node):
    """A node on the event loop. ``start`` and ``stop`` take the place of ``setup`` and ``close``.

    ``on_*`` and ``process`` are called on the loop; it emits through ``context.emit``.
    """

    runs = "loop"

    async def start(self) -> None:
        """Open sockets and start tasks."""

    async def stop(self) -> None:
        """Close sockets, cancel and await tasks."""
