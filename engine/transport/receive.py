"""The receiving end of all edges into a process: headers are held to account, then delivered."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import zmq

from engine.executor import Executor, InputQueue, ThreadExecutor
from engine.transport.link import Curve
from engine.transport.shm import Ring
from engine.transport.wire import PAYLOAD_BYTES_MOST, Envelope, Form, from_header
from engine.types import Message

KNOWN_MOST = 64
UNUSED_S = 10.0
"""how long a segment stays mapped that no message refers to"""

Targets = list[tuple[Executor, InputQueue]]


@dataclass(frozen=True, slots=True)
class _Known:
    """A description that came before: where its messages go, how they are read, from where."""

    targets: Targets
    form: Form
    ring: Ring | None


class HeaderReader:
    """Makes envelopes of headers, or refuses them with ValueError or OSError.

    ``run`` is whose shared memory may be announced; None: nobody's.
    """

    def __init__(self, run: str | None) -> None:
        self._run = run
        self._routes: dict[str, tuple[type[Message], Targets]] = {}
        self._rings: dict[str, Ring] = {}
        self._known: dict[bytes, _Known] = {}
        self._look_s = 0.0

    def add(
        self, topic: str, message_type: type[Message], executor: Executor, queue: InputQueue
    ) -> None:
        self._routes.setdefault(topic, (message_type, []))[1].append((executor, queue))

    def read(self, header: bytes, inline: Any = None) -> tuple[Envelope, Targets]:
        """What a header says; ``inline`` is the payload that came with it, a buffer or None."""
        description, slot, *values = from_header(header)
        if type(description) is not bytes:
            raise ValueError("it isn't described")
        known = self._known.get(description) or self._learn(description)
        if known.ring is not None:
            if inline is not None:
                raise ValueError("it brings two payloads")
            payload = known.ring.lease(slot)
            if len(payload) < known.form.size:
                raise ValueError("its slot is too small")
        else:
            payload = b"" if inline is None else inline
            if not known.form.fits(len(payload)):
                raise ValueError(f"its payload has {len(payload)} bytes, not {known.form.size}")
        return known.form.unpack(tuple(values), payload), known.targets

    def _learn(self, description: bytes) -> _Known:
        parts = from_header(description)
        if len(parts) != 3 or type(parts[0]) is not str:
            raise ValueError("its description is none")
        topic, layout, segment = parts
        if topic not in self._routes:
            raise ValueError(f"nothing here takes '{topic}'")
        message_type, targets = self._routes[topic]
        form = Form(message_type, layout)
        ring = self._ring(topic, segment) if segment is not None else None
        if len(self._known) >= KNOWN_MOST:
            self._known.clear()
        known = self._known[description] = _Known(targets, form, ring)
        return known

    def _ring(self, topic: str, segment: Any) -> Ring:
        if self._run is None or type(segment) is not str:
            raise ValueError("it can't be in shared memory")
        ring = self._rings.get(topic)
        if ring is None or ring.path.name != segment:
            ring = self._rings[topic] = Ring.open(segment, self._run)
            self._known.clear()
        return ring

    def forget_unused(self) -> None:
        """Unmap segments that nothing came in for a while; they are mapped again when needed."""
        now_s = time.monotonic()
        if now_s < self._look_s:
            return
        self._look_s = now_s + UNUSED_S / 4
        unused = [name for name, ring in self._rings.items() if now_s - ring.used_s > UNUSED_S]
        for name in unused:
            del self._rings[name]
        if unused:
            self._known.clear()

    def close(self) -> None:
        self._known.clear()
        self._rings.clear()


class ReceiveLink:
    """Everything that comes into a process, drained at once into the executors.

    Two threads take turns at the socket: the one that has a message for the idle compute executor
    runs the executor itself, while the other goes on receiving. A hop so wakes one thread less.
    """

    def __init__(
        self,
        zmq_context: zmq.Context[zmq.Socket[bytes]],
        endpoint: str,
        curve: Curve | None,
        compute: ThreadExecutor,
        refused: Callable[[Exception], None],
        *,
        run: str,
    ) -> None:
        self._compute = compute
        self._reader = HeaderReader(run if curve is None else None)
        self._socket = zmq_context.socket(zmq.PULL)
        self._socket.linger = 0
        self._socket.rcvhwm = 64
        self._socket.maxmsgsize = PAYLOAD_BYTES_MOST
        if curve is not None:
            self._socket.curve_server = True
            self._socket.curve_publickey = curve.public
            self._socket.curve_secretkey = curve.secret
            self._socket.setsockopt(zmq.ZAP_DOMAIN, b"mien")
        self._socket.bind(endpoint)
        self._refused = refused
        self._stopped = threading.Event()
        self._turn = threading.Lock()
        self._threads = [
            threading.Thread(target=self._run, name=f"receive {number}", daemon=True)
            for number in range(2)
        ]

    def add(
        self, topic: str, message_type: type[Message], executor: Executor, queue: InputQueue
    ) -> None:
        self._reader.add(topic, message_type, executor, queue)

    def start(self) -> None:
        self._socket.rcvtimeo = 100
        for thread in self._threads:
            thread.start()

    def _run(self) -> None:
        while not self._stopped.is_set():
            try:
                with self._turn:
                    job = self._receive()
                    if job is not None and self._compute.brief:
                        # Over before the other thread would have woken.
                        self._compute.work(job)
                        job = None
            except zmq.Again:
                continue
            except zmq.ZMQError:
                return
            except Exception as error:  # whatever was sent, the next message is received
                self._refused(error)
                continue
            if job is not None:
                self._compute.work(job)
            del job

    def _receive(self) -> Callable[[], None] | None:
        """Queue the next message; a job where the compute executor was idle and is ours now."""
        self._reader.forget_unused()
        header = self._socket.recv()
        inline = self._socket.recv(copy=False).buffer if self._socket.rcvmore else None
        if self._socket.rcvmore:
            # The rest of it must not be taken for the next message.
            while self._socket.rcvmore:
                self._socket.recv(copy=False)
            raise ValueError("it has more than two parts")
        envelope, targets = self._reader.read(header, inline)
        job = None
        for executor, queue in targets:
            if executor is self._compute and job is None:
                job = self._compute.claim_or_put(queue, envelope)
            else:
                executor.put(queue, envelope)
        return job

    def close(self) -> None:
        self._stopped.set()
        for thread in self._threads:
            if thread.ident is not None:
                thread.join(1)
        if self._turn.acquire(timeout=1):
            self._socket.close()
            self._reader.close()
            self._turn.release()
