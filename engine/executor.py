"""Executors: one thread, or the event loop, that runs nodes one message at a time."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, Protocol

from engine.join import Join, JoinedSet
from engine.metrics import EdgeStats
from engine.transport.wire import Envelope
from engine.types import Fifo, Input

LOSSLESS_DEPTH = 8
BRIEF_NS = 500_000
AFTER_ESCAPE_S = 0.1


class Receiver(Protocol):
    """What an executor delivers to."""

    def receive(self, port: str, envelope: Envelope | JoinedSet) -> None: ...


class InputQueue:
    """One edge's way into an executor, and everything in that executor that it feeds."""

    def __init__(self, kind: Input, lossless: bool) -> None:
        self.latest = not isinstance(kind, Fifo) and not lossless
        self.depth = LOSSLESS_DEPTH if lossless else kind.depth if isinstance(kind, Fifo) else 1
        self.consumers: list[tuple[Receiver, str]] = []
        self.edges: list[EdgeStats] = []
        self.entries: deque[_Entry] = deque()
        self.join: Join[InputQueue] | None = None
        """Where pictures go instead, to wait for what belongs to them."""
        self.feeders: list[ThreadExecutor] = []
        """Executors that wait until what waits here was taken."""

    def emptied(self) -> None:
        """Nothing waits here any more: the feeders go on."""
        for executor in self.feeders:
            executor.nudge()

    def deliver(self, envelope: Envelope | JoinedSet) -> None:
        self.emptied()
        for edge in self.edges:
            edge.received += 1
        for consumer, port in self.consumers:
            consumer.receive(port, envelope)

    def dropped(self) -> None:
        for edge in self.edges:
            edge.dropped += 1


class _Entry:
    __slots__ = ("envelope", "queue")

    def __init__(self, queue: InputQueue, envelope: Envelope | JoinedSet) -> None:
        self.queue = queue
        self.envelope = envelope


def _is_picture(entry: _Entry) -> bool:
    return entry.queue.latest and entry.envelope.message is not None


def _raise(error: Exception) -> None:
    raise error


class Executor:
    """A bounded mailbox in order of arrival; subclasses say who empties it.

    Latest queues hold one message, a newer one takes its place; Fifo queues drop their oldest;
    lossless queues make the sender wait. What escapes from a delivery goes to ``escaped``; the next
    one is made all the same.
    """

    def __init__(self, lossless: bool) -> None:
        self.lossless = lossless
        self.escaped: Callable[[Exception], None] = _raise
        self._items: deque[_Entry | Callable[[], None]] = deque()
        self._condition = threading.Condition()
        self._stopped = False
        self._thread_id: int | None = None

    def is_current(self) -> bool:
        """Whether the caller already runs in this executor, so that a hop can be a call."""
        return threading.get_ident() == self._thread_id

    def put(self, queue: InputQueue, envelope: Envelope | JoinedSet) -> None:
        message = envelope.message
        if queue.join is not None and message is not None and isinstance(envelope, Envelope):
            queue.join.put(self, [port for _, port in queue.consumers], envelope)
            return
        with self._condition:
            while self.lossless and message is not None and len(queue.entries) >= queue.depth:
                if self._stopped:
                    return
                self._condition.wait()
            if self._stopped:
                return
            if message is not None and queue.latest and queue.entries:
                queue.entries[-1].envelope = envelope
                queue.dropped()
                return
            if message is not None and len(queue.entries) >= queue.depth:
                self._items.remove(queue.entries.popleft())
                queue.dropped()
            entry = _Entry(queue, envelope)
            if message is not None:
                queue.entries.append(entry)
            self._items.append(entry)
            self._wake()

    def call(self, function: Callable[[], Any]) -> Future[Any]:
        """Run something in the executor, between two messages."""
        future: Future[Any] = Future()

        def run() -> None:
            try:
                future.set_result(function())
            except BaseException as error:
                future.set_exception(error)

        with self._condition:
            if self._stopped:
                future.set_exception(RuntimeError("the executor has stopped"))
                return future
            self._items.append(run)
            self._wake()
        return future

    def flush(self) -> None:
        """Forget pictures that wait; sound and ends of streams stay."""
        with self._condition:
            waited = [one for one in self._items if isinstance(one, _Entry) and _is_picture(one)]
            for entry in waited:
                self._items.remove(entry)
                entry.queue.entries.clear()
        for entry in waited:
            entry.queue.emptied()

    def queue_depth(self) -> int:
        return len(self._items)

    def _do(self, job: Callable[[], None]) -> None:
        try:
            job()
        except Exception as error:  # a thread that ends here would end service for all
            self.escaped(error)

    def _wake(self) -> None:
        raise NotImplementedError

    def _held(self) -> bool:
        """Whether pictures have to wait for another executor."""
        return False

    def _next(self) -> int | None:
        """Where the next thing to do stands; called with the condition held."""
        held = bool(self._items) and self._held()
        waits = False
        for place, item in enumerate(self._items):
            if not isinstance(item, _Entry):
                return place
            if not held or not (_is_picture(item) or (waits and item.envelope.message is None)):
                return place
            waits = True  # an end doesn't overtake
        return None

    def _take(self) -> Callable[[], None] | None:
        """The next thing to do; called with the condition held."""
        place = self._next()
        if place is None:
            return None
        item = self._items[place]
        del self._items[place]
        if not isinstance(item, _Entry):
            return item
        if item.queue.entries and item.queue.entries[0] is item:
            item.queue.entries.popleft()
            if self.lossless:
                self._condition.notify_all()
        queue, envelope = item.queue, item.envelope
        return lambda: queue.deliver(envelope)


class ThreadExecutor(Executor):
    """An executor with a thread of its own. ``idle``: what a source does when nothing waits, read.

    Whoever brings a message to an idle executor may run it there and then (``claim_or_put``), which
    saves waking the executor's own thread; still one message at a time, in order.
    """

    def __init__(
        self, name: str, lossless: bool, idle: Callable[[threading.Event], bool] | None = None
    ) -> None:
        super().__init__(lossless)
        self.name = name
        self.started = False
        self._idle = idle
        self._running = False
        self.stopping = threading.Event()
        self.waits_for: list[InputQueue] = []
        """Pictures aren't taken while one waits in any of these: it would be replaced, and the work
        on it lost."""
        self.busy_since_ns = 0
        self.brief = False
        """Whether the last message took next to no time."""
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        self.started = True
        self._thread.start()

    async def stop(self, timeout_s: float = 2.0) -> bool:
        """Let the current step end and the thread with it; False if it hangs."""
        self.stopping.set()
        with self._condition:
            self._stopped = True
            self._items.clear()
            self._condition.notify_all()
        await asyncio.to_thread(self._thread.join, timeout_s)
        return not (self._thread.is_alive() or self._running)

    def claim_or_put(self, queue: InputQueue, envelope: Envelope) -> Callable[[], None] | None:
        """Queue a message; or, if nothing else runs or waits, hand it back as a job for `work`."""
        with self._condition:
            held = queue.latest and self._held()
            if self._running or self._items or self._stopped or not self.started or held:
                self.put(queue, envelope)
                return None
            self._begin()
        return lambda: queue.deliver(envelope)

    def work(self, job: Callable[[], None] | None) -> None:
        """Do a claimed job, and what has queued up behind it."""
        self._thread_id = threading.get_ident()
        while job is not None:
            self.busy_since_ns = time.monotonic_ns()
            self._do(job)
            self.brief = time.monotonic_ns() - self.busy_since_ns < BRIEF_NS
            self.busy_since_ns = 0
            with self._condition:
                job = None if self._stopped else self._take()
                if job is None:
                    self._running = False
                    self._thread_id = None
                    self._condition.notify_all()

    def nudge(self) -> None:
        """What this executor waits for may have been taken."""
        with self._condition:
            self._condition.notify_all()

    def _held(self) -> bool:
        return any(queue.entries for queue in self.waits_for)

    def _wake(self) -> None:
        self._condition.notify_all()

    def _begin(self) -> None:
        self._running = True
        self._thread_id = threading.get_ident()

    def _run(self) -> None:
        idle = self._idle
        while not self.stopping.is_set():
            with self._condition:
                while not self._stopped and (
                    self._running or (idle is None and self._next() is None)
                ):
                    self._condition.wait()
                job = self._take()
                if job is not None or idle is not None:
                    self._begin()
            if job is not None:
                self.work(job)
            elif idle is not None:
                idle = self._read(idle)

    def _read(
        self, idle: Callable[[threading.Event], bool]
    ) -> Callable[[threading.Event], bool] | None:
        """One step of a source; None when it has ended."""
        self.busy_since_ns = time.monotonic_ns()
        goes_on = True
        try:
            goes_on = idle(self.stopping)
        except Exception as error:  # as in _do
            self.escaped(error)
            self.stopping.wait(AFTER_ESCAPE_S)
        self.busy_since_ns = 0
        with self._condition:
            self._running = False
            self._thread_id = None
        return idle if goes_on else None


class LoopExecutor(Executor):
    """The event loop as an executor."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(lossless=False)
        self._loop = loop
        self._thread_id = threading.get_ident()
        self._scheduled = False

    def _wake(self) -> None:
        if not self._scheduled:
            self._scheduled = True
            self._loop.call_soon_threadsafe(self._drain)

    def _drain(self) -> None:
        self._scheduled = False
        while True:
            with self._condition:
                job = self._take()
            if job is None:
                return
            self._do(job)

    def close(self) -> None:
        with self._condition:
            self._stopped = True
            self._items.clear()
