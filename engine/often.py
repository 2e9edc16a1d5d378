"""Counts what may happen thousands of times, and tells of it now and then."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

TELL_EVERY_S = 5.0


class Often:
    """One kind of trouble. Safe from any thread."""

    def __init__(self, tell: Callable[[str], None]) -> None:
        self.count = 0
        self._tell = tell
        self._lock = threading.Lock()
        self._untold = 0
        self._last = ""
        self._next_s = 0.0

    def add(self, text: str) -> None:
        """It happened once more; ``text`` is told if nothing was for a while."""
        with self._lock:
            self.count += 1
            self._untold += 1
            self._last = text
        self.tell_if_due()

    def tell_if_due(self) -> None:
        """Tell what happened since it was last told."""
        with self._lock:
            now_s = time.monotonic()
            if not self._untold or now_s < self._next_s:
                return
            more = f" (and {self._untold - 1} more)" if self._untold > 1 else ""
            text = self._last + more
            self._untold = 0
            self._next_s = now_s + TELL_EVERY_S
        self._tell(text)
