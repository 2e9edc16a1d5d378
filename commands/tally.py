"""News of a run on the terminal: what comes again and again is counted instead."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

MOST: Final = 100
"""different texts that are remembered"""


class Tally:
    """Hands (level, text) on to ``tell``: the first of equal ones, then the tenth, hundredth ...
    with their number, and at the end how many there were."""

    def __init__(self, tell: Callable[[str, str], None]) -> None:
        self._tell = tell
        self._counts: dict[tuple[str, str], int] = {}

    def add(self, level: str, text: str) -> None:
        count = self._counts.pop((level, text), 0) + 1
        self._counts[level, text] = count
        if count == 1:
            self._tell(level, text)
        elif _round(count):
            self._tell(level, times(text, count))
        if len(self._counts) > MOST:
            self._last(*next(iter(self._counts)))

    def end(self) -> None:
        """Tell what has been counted since it was last told."""
        for level, text in list(self._counts):
            self._last(level, text)

    def _last(self, level: str, text: str) -> None:
        count = self._counts.pop((level, text))
        if not _round(count):
            self._tell(level, times(text, count))


def times(text: str, count: int) -> str:
    """A text that came so often."""
    return text if count == 1 else f"{text} ({count} times)"


def _round(count: int) -> bool:
    """1, 10, 100 ..."""
    return str(count).rstrip("0") == "1"
