"""Counters, latencies and gauges of nodes and edges, in bounded memory."""

from __future__ import annotations

import math
import time
from bisect import bisect_left
from collections import defaultdict, deque
from typing import Any

Percentiles = dict[str, float]

_GROWTH = 1.02
_LOWEST_MS = 0.001
_BUCKETS = 1200  # 0.001 ms * 1.02^1200 is five hours
_RECENT_NS = 2_000_000_000
_RECENT_SAMPLES = 256


class Latency:
    """One latency in ms: exact percentiles of the last two seconds, 1 %-exact ones since the start.

    The whole run is kept in buckets that grow by 2 %, so its memory never grows.
    """

    def __init__(self) -> None:
        self._recent: deque[tuple[int, float]] = deque(maxlen=_RECENT_SAMPLES)
        self._buckets: dict[int, int] = defaultdict(int)
        self.count = 0

    def add(self, milliseconds: float) -> None:
        self._recent.append((time.monotonic_ns(), milliseconds))
        if milliseconds <= _LOWEST_MS:
            bucket = 0
        else:
            bucket = min(_BUCKETS, 1 + int(math.log(milliseconds / _LOWEST_MS) / math.log(_GROWTH)))
        self._buckets[bucket] += 1
        self.count += 1

    def recent(self) -> Percentiles:
        """p50, p95, p99 of the last two seconds; empty if nothing came."""
        kept = list(self._recent)
        first = bisect_left(kept, (time.monotonic_ns() - _RECENT_NS, 0.0))
        values = sorted([value for _, value in kept[first:]])
        if not values:
            return {}
        return {
            f"p{share}": round(values[min(len(values) - 1, len(values) * share // 100)], 3)
            for share in (50, 95, 99)
        }

    def total(self) -> Percentiles:
        """p50, p95, p99 since the start."""
        buckets = sorted(self._buckets.copy().items())
        count = sum([number for _, number in buckets])
        result: Percentiles = {}
        shares = iter((50, 95, 99))
        share, seen = next(shares), 0
        for bucket, number in buckets:
            seen += number
            while share and seen * 100 >= count * share:
                # The middle of a bucket, in the geometric sense.
                result[f"p{share}"] = round(_LOWEST_MS * _GROWTH ** (bucket - 0.5), 3)
                share = next(shares, 0)
        return result


class Rate:
    """Events per second over the last two seconds."""

    def __init__(self) -> None:
        self._stamps_ns: deque[int] = deque(maxlen=_RECENT_SAMPLES)
        self.count = 0

    def tick(self, now_ns: int) -> None:
        self._stamps_ns.append(now_ns)
        self.count += 1

    def per_second(self) -> float:
        now_ns = time.monotonic_ns()
        kept_ns = list(self._stamps_ns)
        stamps_ns = kept_ns[bisect_left(kept_ns, now_ns - _RECENT_NS) :]
        if len(stamps_ns) < 2:
            return 0.0
        # A stall shows as a falling rate once the next event is overdue.
        span_ns = stamps_ns[-1] - stamps_ns[0]
        overdue_ns = now_ns - stamps_ns[-1] - span_ns // (len(stamps_ns) - 1)
        return round((len(stamps_ns) - 1) * 1e9 / max(1, span_ns + max(0, overdue_ns)), 2)


class EdgeStats:
    """What happened on one edge."""

    def __init__(self) -> None:
        self.sent = 0
        self.received = 0
        self.dropped = 0
        self.gaps = 0

    def snapshot(self) -> dict[str, int]:
        return {
            "sent": self.sent,
            "received": self.received,
            "dropped": self.dropped,
            "gaps": self.gaps,
        }


class NodeStats:
    """What one node did and how long it took."""

    def __init__(self) -> None:
        self.process = Latency()
        self.age = Latency()
        self.end_to_end = Latency()
        self.observed: dict[str, Latency] = {}
        self.gauges: dict[str, float | int | str] = {}
        self.counters: dict[str, int] = defaultdict(int)
        self.received = Rate()
        self.emitted = Rate()
        self.errors = 0
        self.restarts = 0
        self.status: tuple[str, str] = ("waiting", "starting")

    def observe(self, name: str, milliseconds: float) -> None:
        self.observed.setdefault(name, Latency()).add(milliseconds)

    def count(self, name: str, number: int = 1) -> None:
        self.counters[name] += number

    def gauge(self, name: str, value: float | int | str) -> None:
        self.gauges[name] = value

    def snapshot(self) -> dict[str, Any]:
        """The form that control's ``metrics`` and the page show."""
        observed = dict(self.observed)
        return {
            "status": list(self.status),
            "fps_in": self.received.per_second(),
            "fps_out": self.emitted.per_second(),
            "count_in": self.received.count,
            "count_out": self.emitted.count,
            "process_ms": self.process.recent(),
            "age_ms": self.age.recent(),
            "errors": self.errors,
            "restarts": self.restarts,
            "gauges": dict(self.gauges),
            "counters": dict(self.counters),
            "observed": {name: latency.recent() for name, latency in observed.items()},
            "total": {
                "process_ms": self.process.total(),
                "age_ms": self.age.total(),
                "end_to_end_ms": self.end_to_end.total(),
                "observed": {name: latency.total() for name, latency in observed.items()},
            },
        }
