"""When a device that is missing is tried again."""

from __future__ import annotations

from typing import Final

from engine.clock import Clock

_PART_NS: Final = 200_000_000


class Retries:
    """At once, then ``every_ns`` after it failed."""

    def __init__(self, clock: Clock, every_ns: int) -> None:
        self._clock, self._every_ns = clock, every_ns
        self._next_ns = 0

    def due(self) -> bool:
        """Whether it is time; if not, a fifth of a second passes at most, so that a node that
        waits can still be stopped."""
        now_ns = self._clock.now_ns()
        if now_ns < self._next_ns:
            self._clock.wait_until(min(self._next_ns, now_ns + _PART_NS))
            return False
        return True

    def failed(self) -> None:
        """It isn't there, or is gone."""
        self._next_ns = self._clock.now_ns() + self._every_ns
