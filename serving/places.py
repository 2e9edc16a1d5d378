"""Who may come in: so many sessions at once, the next ones in line."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Container, Sized
from dataclasses import dataclass
from typing import Final, Protocol

ASK_AGAIN_S: Final = 2
WAITS_FOR_S: Final = 3 * ASK_AGAIN_S
"""who doesn't ask again within this has gone"""
LINE_MOST: Final = 1000


class Taken(Sized, Container[str], Protocol):
    """The sessions that are there, by name."""


@dataclass(frozen=True)
class Refusal:
    """Why not, in words for the page, and when to ask again."""

    text: str
    after_s: int = ASK_AGAIN_S

    @property
    def headers(self) -> dict[str, str]:
        return {"Retry-After": str(self.after_s), "Cache-Control": "no-store"}


class Places:
    """At most ``most`` at once. Who waits keeps a place in line by asking again."""

    def __init__(
        self, taken: Taken, most: int, now_s: Callable[[], float] = time.monotonic
    ) -> None:
        self.most = most
        self.draining = False
        self.loaded: Callable[[], bool] = lambda: False
        """whether one more would be at the others' cost, whatever ``most`` says"""
        self._taken = taken
        self._now_s = now_s
        self._line: OrderedDict[str, float] = OrderedDict()

    @property
    def free(self) -> int:
        """How many more may come in now."""
        if self.draining or self.loaded():
            return 0
        return max(0, self.most - len(self._taken))

    @property
    def waiting(self) -> int:
        """How many are in line."""
        self._forget()
        return len(self._line)

    def ask(self, name: str, *, waits: bool) -> Refusal | None:
        """None where ``name`` may come in now. Who ``waits`` is in line otherwise."""
        if self.draining:
            return Refusal("this machine is being shut down; nobody new is let in", 30)
        self._forget()
        before = list(self._line).index(name) if name in self._line else len(self._line)
        if before < self.free:
            self._line.pop(name, None)
            return None
        number = f"{len(self._taken)} {'people are' if len(self._taken) != 1 else 'person is'} here"
        text = f"{number}, as many as this machine can carry"
        if len(self._taken) < self.most:
            text = "this machine has all that it can carry just now"
        if not waits:
            return Refusal(f"{text}; try again later", 5)
        if name in self._line or len(self._line) < LINE_MOST:
            self._line[name] = self._now_s()
            text += f"; you are number {before + 1} in line"
        return Refusal(text)

    def _forget(self) -> None:
        """Those who don't ask any more."""
        now_s = self._now_s()
        for name, asked_s in list(self._line.items()):
            if now_s - asked_s > WAITS_FOR_S:
                del self._line[name]
