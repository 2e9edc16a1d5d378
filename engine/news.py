"""Events on their way to a terminal, which may block: whoever has news never waits for it."""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Callable

MOST = 100
CLOSE_WITHIN_S = 2.0


class News:
    """Hands (level, text) to ``tell`` in a thread of its own; what it can't take is left out."""

    def __init__(self, tell: Callable[[str, str], None]) -> None:
        self._tell = tell
        self._queue: queue.Queue[tuple[str, str] | None] = queue.Queue(MOST)
        self._thread = threading.Thread(target=self._run, name="news", daemon=True)
        self._thread.start()

    def add(self, level: str, text: str) -> None:
        try:
            self._queue.put_nowait((level, text))
        except queue.Full:
            return  # it stands in the metrics

    def _run(self) -> None:
        while (item := self._queue.get()) is not None:
            self._tell(*item)

    async def close(self) -> None:
        """Tell what is left, if that is possible soon."""
        try:
            self._queue.put_nowait(None)
        except queue.Full:
            return
        await asyncio.to_thread(self._thread.join, CLOSE_WITHIN_S)
