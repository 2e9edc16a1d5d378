"""Messages of one instant, from several edges, made one."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from engine.transport.wire import Envelope, Hop
from engine.types import Message

Queue = TypeVar("Queue")
Queue_contra = TypeVar("Queue_contra", contravariant=True)
JOIN_DEPTH = 8
"""instants that wait for the rest of their messages"""


@dataclass(frozen=True)
class JoinedSet:
    """One message of each port, and the one that came last."""

    parts: Mapping[str, Envelope]
    last: Envelope

    @property
    def message(self) -> Message | None:
        """What came last: all are of the same instant."""
        return self.last.message

    @property
    def trace(self) -> tuple[Hop, ...]:
        """Where all of them have been."""
        return tuple(dict.fromkeys(hop for part in self.parts.values() for hop in part.trace))


class TimeSynchronizer:
    """Keeps messages until all ports have one of the same ``capture_ns``; those of earlier instants
    then go, and the oldest where too many wait. ``unmatched`` is told their ports."""

    def __init__(
        self, ports: Sequence[str], depth: int, unmatched: Callable[[Sequence[str]], None]
    ) -> None:
        self.ports = ports
        self._depth = depth
        self._unmatched = unmatched
        self._waiting: dict[int, dict[str, Envelope]] = {}

    def add(self, port: str, envelope: Envelope) -> JoinedSet | None:
        """The set that this message completes."""
        assert envelope.message is not None
        now = envelope.message.capture_ns
        parts = self._waiting.setdefault(now, {})
        parts[port] = envelope
        if len(parts) == len(self.ports):
            del self._waiting[now]
            for stamp in [stamp for stamp in self._waiting if stamp < now]:
                self._drop(stamp)
            return JoinedSet(parts, envelope)
        if len(self._waiting) > self._depth:
            self._drop(min(self._waiting))
        return None

    def _drop(self, stamp: int) -> None:
        self._unmatched(list(self._waiting.pop(stamp)))


class Mailbox(Protocol[Queue_contra]):
    """What takes joined sets into one of its queues: an executor."""

    def put(self, queue: Queue_contra, envelope: JoinedSet) -> None: ...


class Join(Generic[Queue]):
    """A synchronizer ahead of an executor: the newest joined set waits there, and nothing else.

    What is joined in the executor itself loses its picture to a newer one before the other messages
    of the instant have come, as soon as the executor is slower than the camera.
    """

    def __init__(
        self, ports: Sequence[str], joined: Queue, unmatched: Callable[[Sequence[str]], None]
    ) -> None:
        self.joined = joined
        self.ports = ports
        self._synchronizer = TimeSynchronizer(ports, JOIN_DEPTH, unmatched)
        self._turn = threading.Lock()

    def put(self, executor: Mailbox[Queue], ports: Sequence[str], envelope: Envelope) -> None:
        """A message for some of the ports, from any thread."""
        with self._turn:
            for port in ports:
                joined = self._synchronizer.add(port, envelope)
                if joined is not None:
                    executor.put(self.joined, joined)
