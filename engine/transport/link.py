"""The sending end of an edge: ZeroMQ headers; payloads in shared memory, inline to other hosts."""

from __future__ import annotations

import math
import threading
import time
from dataclasses import dataclass

import zmq

from engine.metrics import EdgeStats
from engine.transport.shm import Ring
from engine.transport.wire import Envelope, Layout, Packed, pack, to_bytes
from engine.types import U8

SHARED_FROM_BYTES = 32 * 1024
SLOTS = 8
LOSSLESS_WAIT_S = 0.0005
SHRINK_AFTER = 50
"""so many payloads of at most half a slot, and the slots become as small"""
IDLE_S = 5.0
FULL_S = 5.0


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
        self._small = 0
        self._full_until_s = 0.0
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
            return ring.acquire(shape) if ring is not None else None

    def _send(self, envelope: Envelope) -> None:
        packed = pack(envelope, self._host)
        ring = self._ring_for(packed.size) if packed.size >= SHARED_FROM_BYTES else None
        slot = self._fill(ring, packed) if ring is not None else None
        payload = packed.payload() if slot is None and packed.size else None
        segment = None if slot is None else ring
        if (packed.layout, segment) != self._described:
            self._described = (packed.layout, segment)
            place = segment and segment.path.name
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
        slot = ring.acquired(packed.arrays[0]) if len(packed.arrays) == 1 else None
        if slot is not None:
            ring.mark_sent(slot)
            return slot
        slot = ring.hold()
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
        if not self._shared or time.monotonic() < self._full_until_s:
            return None
        ring = self._ring
        self._small = self._small + 1 if ring is not None and 2 * size <= ring.slot_bytes else 0
        if ring is None or ring.slot_bytes < size or self._small > SHRINK_AFTER:
            self._drop_ring()
            try:
                self._ring = Ring.create(self._run, SLOTS, size)
            except OSError:
                # No shared memory left: for a while, payloads travel inside the messages.
                self._full_until_s = time.monotonic() + FULL_S
        return self._ring

    def _drop_ring(self) -> None:
        if self._ring is not None:
            self._ring.close()
        self._ring = self._described = None
        self._small = 0

    def rest(self) -> None:
        """Give memory back that nothing was sent in for a while."""
        if self._lock.acquire(blocking=False):
            if self._ring is not None and time.monotonic() - self._ring.used_s > IDLE_S:
                self._drop_ring()
            self._lock.release()

    def peer_restarted(self) -> None:
        """The receiver died: slots that it held will never come back, so start a new ring."""
        with self._lock:
            self._drop_ring()

    def close(self) -> None:
        self._stopped.set()
        with self._lock:
            self._socket.close()
            self._drop_ring()
