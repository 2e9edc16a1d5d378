"""Monotonic time in integer nanoseconds, and a fake of it for tests."""

from __future__ import annotations

import threading
import time
from typing import Protocol


class Clock(Protocol):
    """Where a node gets its time from."""

    def now_ns(self) -> int:
        """Monotonic nanoseconds, shared by every process of the host."""
        ...

    def wait_until(self, deadline_ns: int, stop: threading.Event | None = None) -> bool:
        """Block until the deadline; False if ``stop`` was set first."""
        ...


class MonotonicClock:
    """The host's monotonic clock."""

    def now_ns(self) -> int:
        return time.monotonic_ns()

    def wait_until(self, deadline_ns: int, stop: threading.Event | None = None) -> bool:
        remaining_s = (deadline_ns - time.monotonic_ns()) / 1e9
        if stop is None:
            if remaining_s > 0:
                time.sleep(remaining_s)
            return True
        return not stop.wait(remaining_s) if remaining_s > 0 else not stop.is_set()


class FakeClock:
    """Time that moves only when told to, or when somebody waits."""

    def __init__(self, now_ns: int = 0) -> None:
        self._now_ns = now_ns

    def now_ns(self) -> int:
        return self._now_ns

    def advance(self, ns: int) -> None:
        self._now_ns += ns

    def wait_until(self, deadline_ns: int, stop: threading.Event | None = None) -> bool:
        self._now_ns = max(self._now_ns, deadline_ns)
        return stop is None or not stop.is_set()


class RunningTime:
    """Seconds for which this process really ran, as its ticks tell.

    A tick that comes late (the process was stopped, the machine is overloaded) counts for
    ``most_s`` only: who waits for others by this clock doesn't blame them for its own absence.
    """

    def __init__(self, most_s: float) -> None:
        self.seconds = 0.0
        self._most_s = most_s
        self._last_s = time.monotonic()

    def tick(self) -> float:
        """To be called over and over; the seconds that this tick came too late."""
        now_s = time.monotonic()
        passed_s, self._last_s = now_s - self._last_s, now_s
        self.seconds += min(passed_s, self._most_s)
        return max(0.0, passed_s - self._most_s)
