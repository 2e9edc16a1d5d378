"""RTP packets to encoded frames without waiting for the packet after: aiortc's own buffer does."""

from __future__ import annotations

import time
from typing import Any

GAP_WAIT_NS = 150_000_000  # how long a missing video packet may take to come again
PENDING_MOST = 512
AUDIO_WAIT_PACKETS = 2


def newer(a: int, b: int) -> int:
    """How far sequence number ``a`` is past ``b``: -32768..32767."""
    return ((a - b + 0x8000) & 0xFFFF) - 0x8000


class EncodedFrame:
    """A complete frame; ``rtp`` its 32-bit timestamp, ``arrival_ns`` of its first packet."""

    def __init__(self, data: bytes, rtp: int, arrival_ns: int) -> None:
        self.data = data
        self.timestamp = rtp  # aiortc overwrites it
        self.rtp = rtp
        self.arrival_ns = arrival_ns
        self.after: list[EncodedFrame] = []  # frames that the same packet completed


def chain(frames: list[EncodedFrame]) -> EncodedFrame | None:
    if not frames:
        return None
    frames[0].after = frames[1:]
    return frames[0]


class VideoAssembler:
    """A frame is complete with its marker packet, a frame period sooner than with the next one's.

    A gap waits for its retransmission; after ``GAP_WAIT_NS`` it is skipped up to the next whole
    frame and a key frame is asked for.
    """

    def __init__(self) -> None:
        self._expected: int | None = None
        self._pending: dict[int, tuple[Any, int]] = {}
        self._parts: list[bytes] = []
        self._parts_rtp = 0
        self._parts_ns = 0
        self._gap_since_ns = 0
        self._broken = False
        self.lost_frames = 0

    def add(self, packet: Any) -> tuple[bool, EncodedFrame | None]:
        now_ns = time.monotonic_ns()
        sequence = packet.sequence_number
        if self._expected is None:
            self._expected = sequence
        ahead = newer(sequence, self._expected)
        if ahead < 0:
            if ahead > -1000:
                return False, None  # late or twice
            self._restart(sequence)
            ahead = 0
        if ahead > 0:
            if not self._pending:
                self._gap_since_ns = now_ns
            self._pending[sequence] = (packet, now_ns)
            if now_ns - self._gap_since_ns < GAP_WAIT_NS and len(self._pending) < PENDING_MOST:
                return False, None
            return True, chain(self._skip(now_ns))
        frames = self._take(packet, now_ns, [])
        if self._pending:
            frames = self._drain(frames)
        return False, chain(frames)

    def _restart(self, sequence: int) -> None:
        self._pending.clear()
        self._parts = []
        self._expected = sequence

    def _take(self, packet: Any, now_ns: int, frames: list[EncodedFrame]) -> list[EncodedFrame]:
        self._expected = (packet.sequence_number + 1) & 0xFFFF
        if self._parts and packet.timestamp != self._parts_rtp:
            frames.append(EncodedFrame(b"".join(self._parts), self._parts_rtp, self._parts_ns))
            self._parts = []
            self._broken = False
        if self._broken and not self._parts and packet.timestamp == self._parts_rtp:
            self._broken = not packet.marker  # the rest of a frame that lost its head
            return frames
        self._broken = False
        if not self._parts:
            self._parts_rtp = packet.timestamp
            self._parts_ns = now_ns
        if packet._data:
            self._parts.append(packet._data)
        if packet.marker and self._parts:
            frames.append(EncodedFrame(b"".join(self._parts), self._parts_rtp, self._parts_ns))
            self._parts = []
        return frames

    def _drain(self, frames: list[EncodedFrame]) -> list[EncodedFrame]:
        while self._expected in self._pending:
            packet, at_ns = self._pending.pop(self._expected)
            frames = self._take(packet, at_ns, frames)
        if self._pending:
            self._gap_since_ns = min(at_ns for _, at_ns in self._pending.values())
        return frames

    def _skip(self, now_ns: int) -> list[EncodedFrame]:
        """Give a gap up: go on behind it, at the first packet of a new frame."""
        self.lost_frames += 1
        expected = self._expected or 0
        first = min(self._pending, key=lambda sequence: newer(sequence, expected))
        packet, _ = self._pending[first]
        self._parts = []
        self._parts_rtp = packet.timestamp
        self._broken = True
        self._expected = first
        return self._drain([])


class AudioAssembler:
    """One packet is one frame: handed on at once, in order; a gap waits for two more packets.

    Takes the place of aiortc's buffer by its one method. No prefetch: the voice's delay line
    further on does its work.
    """

    def __init__(self) -> None:
        self._expected: int | None = None
        self._pending: dict[int, EncodedFrame] = {}
        self.lost_frames = 0

    def add(self, packet: Any) -> tuple[bool, EncodedFrame | None]:
        sequence = packet.sequence_number
        if self._expected is None:
            self._expected = sequence
        ahead = newer(sequence, self._expected)
        if ahead < 0 and ahead > -1000:
            return False, None
        if ahead < 0 or ahead > 1000:
            self._pending.clear()
            self._expected = sequence
        self._pending[sequence] = EncodedFrame(packet._data, packet.timestamp, time.monotonic_ns())
        frames: list[EncodedFrame] = []
        if self._expected not in self._pending and len(self._pending) > AUDIO_WAIT_PACKETS:
            expected = self._expected
            first = min(self._pending, key=lambda number: newer(number, expected))
            self.lost_frames += newer(first, expected)
            self._expected = first
        while self._expected in self._pending:
            frames.append(self._pending.pop(self._expected))
            self._expected = (self._expected + 1) & 0xFFFF
        return False, chain([frame for frame in frames if frame.data])
