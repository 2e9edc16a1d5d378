"""Edges between processes: ZeroMQ headers, payloads in shared memory (or inline across hosts)."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from dataclasses import dataclass

import zmq

from engine.lane import Inlet, Lane, ThreadLane
from engine.metrics import EdgeStats
from engine.shm import Ring
from engine.types import U8, Message
from engine.wire import Envelope, Form, Layout, Packed, from_bytes, pack, to_bytes

SHARED_FROM_BYTES = 32 * 1024
SLOTS = 8
LOSSLESS_WAIT_S = 0.0005
KNOWN_MOST = 64


@dataclass(frozen=True)
class Curve:
    """Keys for an edge between hosts: our own pair and, for a sender, the receiver's public key."""

    public: bytes
    secret: bytes
    server: bytes = b""


class SendLink:
    """One output port's way to one process. Safe from any thread, one at a time."""

    def __init__(
        self,
        zmq_context: zmq.Context[zmq.Socket[bytes]],
        endpoint: str,
        topic: str,
        *,
        run: str,
        depth: int,
        lossless: bool,
        edges: list[EdgeStats],
        curve: Curve | None,
        host: str = "",
    ) -> None:
        self._topic = topic
        self._run = run
        self._lossless = lossless
        self._edges = edges
        self._shared = curve is None
        self._host = host
        self._ring: Ring | None = None
        # What doesn't change from message to message is packed here, and parsed there, once.
        self._described: tuple[Layout | None, Ring | None] | None = None
        self._description = b""
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        socket = zmq_context.socket(zmq.PUSH)
        socket.linger = 0
        socket.sndhwm = depth
        socket.immediate = 1
        socket.reconnect_ivl = 20
        socket.reconnect_ivl_max = 200
        if curve is not None:
            socket.curve_publickey = curve.public
            socket.curve_secretkey = curve.secret
            socket.curve_serverkey = curve.server
        socket.connect(endpoint)
        self._socket = socket

    def send(self, envelope: Envelope) -> None:
        with self._lock:
            if not self._stopped.is_set():
                self._send(envelope)

    def allocate(self, shape: tuple[int, ...]) -> U8 | None:
        """An array uint8 that will cross without a copy, where one is to be had."""
        size = math.prod(shape)
        if size < SHARED_FROM_BYTES:
            return None
        with self._lock:
            ring = self._ring_for(size)
            return ring.lend(shape) if ring is not None else None

    def _send(self, envelope: Envelope) -> None:
        packed = pack(envelope, self._host)
        ring = self._ring_for(packed.size) if packed.size >= SHARED_FROM_BYTES else None
        slot = self._fill(ring, packed) if ring is not None else None
        payload = packed.payload() if slot is None and packed.size else None
        segment = None if slot is None else ring
        if (packed.layout, segment) != self._described:
            self._described = (packed.layout, segment)
            place = segment and (segment.path.name, segment.slots, segment.slot_bytes)
            self._description = to_bytes((self._topic, packed.layout, place))
        header = to_bytes((self._description, slot, *packed.values))
        wait = self._lossless or envelope.message is None
        if not self._push(header, payload, wait):
            if ring is not None and slot is not None:
                ring.mark_sent(slot, False)
            for edge in self._edges:
                edge.dropped += 1

    def _fill(self, ring: Ring, packed: Packed) -> int | None:
        """The slot that holds the payload, the consumer's from now on; None if all are taken."""
        slot = ring.lent(packed.arrays[0]) if len(packed.arrays) == 1 else None
        if slot is not None:
            ring.mark_sent(slot)
            return slot
        slot = ring.take()
        if slot is not None:
            packed.write(ring.slot(slot))
            ring.mark_sent(slot)
            ring.let_go(slot)
        return slot

    def _push(self, header: bytes, payload: U8 | None, wait: bool) -> bool:
        for _ in range(int(10 / LOSSLESS_WAIT_S)):
            try:
                if payload is None:
                    # One part: each further one costs 0.05 ms where caches are cold.
                    self._socket.send(header, zmq.NOBLOCK)
                else:
                    self._socket.send_multipart((header, payload.data), zmq.NOBLOCK)
                return True
            except zmq.Again:
                if not wait or self._stopped.wait(LOSSLESS_WAIT_S):
                    return False
        return False

    def _ring_for(self, size: int) -> Ring | None:
        if not self._shared:
            return None
        if self._ring is None or self._ring.slot_bytes < size:
            if self._ring is not None:
                self._ring.close()
            try:
                self._ring = Ring.create(self._run, SLOTS, size)
            except OSError:
                # No shared memory left: the payload travels inside the message.
                self._ring = None
                self._shared = False
        return self._ring

    def peer_restarted(self) -> None:
        """The receiver died: slots that it held will never come back, so start a new ring."""
        with self._lock:
            if self._ring is not None:
                self._ring.close()
                self._ring = self._described = None

    def close(self) -> None:
        self._stopped.set()
        with self._lock:
            self._socket.close()
            if self._ring is not None:
                self._ring.close()
                self._ring = self._described = None


@dataclass(frozen=True, slots=True)
class _Known:
    """A description that came before: where its messages go, how they are read, from where."""

    targets: list[tuple[Lane, Inlet]]
    form: Form
    ring: Ring | None


class ReceiveLink:
    """Everything that comes into a process, drained at once into the lanes.

    Two threads take turns at the socket: the one that has a message for the idle compute lane
    runs the lane itself, while the other goes on receiving. A hop so wakes one thread less.
    """

    def __init__(
        self,
        zmq_context: zmq.Context[zmq.Socket[bytes]],
        endpoint: str,
        curve: Curve | None,
        compute: ThreadLane,
        malformed: Callable[[str], None],
    ) -> None:
        self._compute = compute
        self._socket = zmq_context.socket(zmq.PULL)
        self._socket.linger = 0
        self._socket.rcvhwm = 64
        if curve is not None:
            self._socket.curve_server = True
            self._socket.curve_publickey = curve.public
            self._socket.curve_secretkey = curve.secret
            self._socket.setsockopt(zmq.ZAP_DOMAIN, b"mien")
        self._socket.bind(endpoint)
        self._malformed = malformed
        self._routes: dict[str, tuple[type[Message], list[tuple[Lane, Inlet]]]] = {}
        self._rings: dict[str, Ring] = {}
        self._known: dict[bytes, _Known] = {}
        self._stopped = threading.Event()
        self._turn = threading.Lock()
        self._threads = [
            threading.Thread(target=self._run, name=f"receive {number}", daemon=True)
            for number in range(2)
        ]

    def add(self, topic: str, message_type: type[Message], lane: Lane, inlet: Inlet) -> None:
        self._routes.setdefault(topic, (message_type, []))[1].append((lane, inlet))

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
            except (ValueError, KeyError, TypeError, OSError, IndexError) as error:
                self._malformed(f"a message was refused: {error}")
                continue
            if job is not None:
                self._compute.work(job)
            del job

    def _receive(self) -> Callable[[], None] | None:
        """Queue the next message; a job where the compute lane was idle and is ours now."""
        header = self._socket.recv()
        try:
            envelope, targets = self._open(header)
        except Exception:
            # Whatever was wrong with it, the rest of it must not be taken for the next message.
            while self._socket.rcvmore:
                self._socket.recv()
            raise
        job = None
        for lane, inlet in targets:
            if lane is self._compute and job is None:
                job = self._compute.claim_or_put(inlet, envelope)
            else:
                lane.put(inlet, envelope)
        return job

    def _open(self, header: bytes) -> tuple[Envelope, list[tuple[Lane, Inlet]]]:
        description, slot, *values = from_bytes(header, lists=False)
        known = self._known.get(description) or self._learn(description)
        if known.ring is not None:
            payload = known.ring.lease(slot)
        elif known.form.size and self._socket.rcvmore:
            payload = self._socket.recv(copy=False).buffer
        else:
            payload = b""
        if len(payload) < known.form.size:
            raise ValueError("its payload is too small")
        return known.form.unpack(values, payload), known.targets

    def _learn(self, description: bytes) -> _Known:
        topic, layout, place = from_bytes(description, lists=False)
        if topic not in self._routes:
            raise ValueError(f"nothing here takes '{topic}'")
        message_type, targets = self._routes[topic]
        form = Form(message_type, layout)
        ring = None
        if place is not None:
            ring = self._rings.get(topic)
            if ring is None or ring.path.name != place[0]:
                ring = self._rings[topic] = Ring.open(*place)
                self._known.clear()
        if len(self._known) >= KNOWN_MOST:
            self._known.clear()
        known = self._known[description] = _Known(targets, form, ring)
        return known

    def close(self) -> None:
        self._stopped.set()
        for thread in self._threads:
            if thread.ident is not None:
                thread.join(1)
        if self._turn.acquire(timeout=1):
            self._socket.close()
            self._turn.release()
        self._known.clear()
        self._rings.clear()
