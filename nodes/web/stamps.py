"""Capture stamps: RTP time of a publisher's sound and picture on this host's monotonic clock."""

from __future__ import annotations

from collections import deque

BUCKET_NS = 1_000_000_000
BUCKETS = 8
SLEW = 0.02  # stamps move by at most this share of the time that passes
JUMP_NS = 2_000_000_000
NTP_SMOOTHING = 0.25


class WindowedMinimum:
    """The least value of the last eight seconds, kept in one-second buckets."""

    def __init__(self) -> None:
        self._buckets: deque[tuple[int, int]] = deque(maxlen=BUCKETS)

    def add(self, now_ns: int, value: int) -> int:
        bucket = now_ns // BUCKET_NS
        if self._buckets and self._buckets[-1][0] == bucket:
            if value < self._buckets[-1][1]:
                self._buckets[-1] = (bucket, value)
        else:
            self._buckets.append((bucket, value))
        return min(least for _, least in self._buckets)


class StreamTime:
    """One RTP stream's media time in nanoseconds since its first packet, unwrapped."""

    def __init__(self, rate_hz: int) -> None:
        self.rate_hz = rate_hz
        self._last: int | None = None
        self._ticks = 0

    def media_ns(self, rtp: int) -> int:
        """``rtp`` is a 32-bit timestamp near the last one, in either direction."""
        if self._last is None:
            self._last = rtp
        step = (rtp - self._last) & 0xFFFFFFFF
        if step >= 1 << 31:
            step -= 1 << 32
        self._ticks += step
        self._last = rtp
        return self._ticks * 1_000_000_000 // self.rate_hz

    def peek_ns(self, rtp: int) -> int | None:
        """Media time of ``rtp`` without taking it as the newest; None before the first packet."""
        if self._last is None:
            return None
        step = (rtp - self._last) & 0xFFFFFFFF
        if step >= 1 << 31:
            step -= 1 << 32
        return (self._ticks + step) * 1_000_000_000 // self.rate_hz


class _Stream:
    def __init__(self, rate_hz: int) -> None:
        self.time = StreamTime(rate_hz)
        self.least = WindowedMinimum()  # arrival - media: the fastest packet's way
        self.offset_ns: int | None = None  # capture - media, as used
        self.ntp_offset_ns: float | None = None  # sender's clock - media, from its reports
        self.least_on_sender = WindowedMinimum()  # arrival - sender's clock
        self.path_ns: int | None = None
        self.last_ns = 0
        self.updated_ns = 0


class PublisherClock:
    """Gives every frame of one publisher a capture stamp in monotonic ns.

    Jitter of the network and of the scheduler is filtered out: media time is the ruler, and the
    least ``arrival - media time`` of the last seconds puts it on this host's clock. Once the
    sender's reports place both streams on the sender's one clock, sound and picture share one
    offset, so equal stamps mean the same moment in front of the camera; the change is slewed.
    """

    def __init__(self) -> None:
        self._streams: dict[str, _Stream] = {}

    def stamp(self, kind: str, rtp: int, rate_hz: int, arrival_ns: int, length_ns: int = 0) -> int:
        """``rtp`` of the frame's start, ``length_ns`` what it lasts (sound arrives at its end)."""
        stream = self._streams.get(kind)
        if stream is None or stream.time.rate_hz != rate_hz:
            stream = self._streams[kind] = _Stream(rate_hz)
        media_ns = stream.time.media_ns(rtp)
        raw = arrival_ns - length_ns - media_ns
        if stream.offset_ns is not None and abs(raw - stream.offset_ns) > JUMP_NS:
            last_ns = stream.last_ns
            stream = self._streams[kind] = _Stream(rate_hz)
            stream.last_ns = last_ns
            media_ns = stream.time.media_ns(rtp)
            raw = arrival_ns - length_ns - media_ns
        target = stream.least.add(arrival_ns, raw)
        if stream.ntp_offset_ns is not None:
            # senders report when a packet of sound was complete, not when its first sample was
            at_sender = media_ns + round(stream.ntp_offset_ns)
            stream.path_ns = stream.least_on_sender.add(arrival_ns, arrival_ns - at_sender)
            paths = [item.path_ns for item in self._streams.values() if item.path_ns is not None]
            if len(paths) == len(self._streams) and len(paths) > 1:
                target = round(stream.ntp_offset_ns) - length_ns + min(paths)
        if stream.offset_ns is None:
            stream.offset_ns = target
        else:
            most = max(int((arrival_ns - stream.updated_ns) * SLEW), 1000)
            step = target - stream.offset_ns
            if target < stream.offset_ns and stream.ntp_offset_ns is None:
                most = max(most, -step)  # a faster packet than any so far: the first seconds
            stream.offset_ns += max(-most, min(most, step))
        # slewing may lag behind a sender whose time jumped ahead: nothing is seen before it happens
        stream.offset_ns = min(stream.offset_ns, raw)
        stream.updated_ns = arrival_ns
        stream.last_ns = max(stream.last_ns + 1, media_ns + stream.offset_ns)
        return stream.last_ns

    def sender_report(self, kind: str, rtp: int, ntp: int) -> None:
        """The sender says that its clock read ``ntp`` (64-bit NTP) at ``rtp``."""
        stream = self._streams.get(kind)
        if stream is None or ntp == 0:
            return
        media_ns = stream.time.peek_ns(rtp)
        if media_ns is None:
            return
        offset = ((ntp * 1_000_000_000) >> 32) - media_ns
        known = stream.ntp_offset_ns
        if known is None or abs(offset - known) > JUMP_NS:
            stream.ntp_offset_ns = float(offset)
            stream.least_on_sender = WindowedMinimum()
            stream.path_ns = None
        else:
            stream.ntp_offset_ns = known + NTP_SMOOTHING * (offset - known)
