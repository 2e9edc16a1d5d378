"""How far the work on a file is: a bar with the time left, or a plain line now and then."""

from __future__ import annotations

import sys
import time
from typing import Any

from engine import terminal
from engine.roles import Roles

_PLAIN_EVERY_S = 10.0


class Progress:
    """Fed with the engine's figures; draws on standard error."""

    def __init__(
        self, title: str, expected: int, roles: Roles, made_by: str = "compositor"
    ) -> None:
        """``made_by`` is the role whose pace is shown."""
        self._title, self._made_by, self._writer = title, roles[made_by], roles.get("writer")
        self._expected = max(1, expected)
        self._said_s = time.monotonic()
        self._first: tuple[float, int] | None = None  # when [s] the first pictures were there
        self._bar: Any = None
        self._task: Any = None

    def __enter__(self) -> Progress:
        if sys.stderr.isatty():
            self._bar = _bar("{task.completed}/{task.total} frames", "{task.fields[fps]:.0f} fps")
            self._task = self._bar.add_task(self._title, total=self._expected, fps=0.0)
        return self

    def tick(self, snapshot: dict[str, Any]) -> None:
        """Show how many pictures have reached the writer."""
        nodes = snapshot["nodes"]
        if self._writer in nodes:
            done = nodes[self._writer]["counters"].get("frames_written", 0)
        else:
            done = nodes[self._made_by]["count_out"]
        fps = nodes[self._made_by]["fps_out"]
        if self._bar is not None:
            total = max(self._expected, done)
            self._bar.update(self._task, completed=done, total=total, fps=fps)
            return
        now_s = time.monotonic()
        if self._first is None and done:
            self._first = now_s, done
        if now_s - self._said_s >= _PLAIN_EVERY_S and done:
            self._said_s = now_s
            share = min(100, 100 * done // self._expected)
            line = f"{self._title}: {done}/{self._expected} frames ({share} %), {fps:.0f} fps"
            print(line + self._left(now_s, done), file=sys.stderr, flush=True)

    def _left(self, now_s: float, done: int) -> str:
        """How long it will take, by the pictures after the first: the networks load before it."""
        since_s, there = self._first or (now_s, done)
        if done <= there:
            return ""
        left_s = (now_s - since_s) * max(0, self._expected - done) / (done - there)
        return f", about {left_s:.0f} s left"

    def __exit__(self, *error: object) -> None:
        if self._bar is not None:
            self._bar.stop()


class ClipProgress:
    """The same for a folder of clips: how many of them are done, and how many failed."""

    def __init__(self, title: str, expected: int) -> None:
        self._title, self._expected = title, expected
        self._done = 0
        self._since_s = self._said_s = time.monotonic()
        self._bar: Any = None
        self._task: Any = None

    def __enter__(self) -> ClipProgress:
        if sys.stderr.isatty():
            self._bar = _bar("{task.completed}/{task.total} clips{task.fields[failed]}")
            self._task = self._bar.add_task(self._title, total=self._expected, failed="")
        return self

    def tick(self, one_more: bool, failed: int) -> None:
        """Show how many are done."""
        self._done += one_more
        lost = f", {failed} failed" if failed else ""
        if self._bar is not None:
            self._bar.update(self._task, completed=self._done, failed=lost)
            return
        now_s = time.monotonic()
        if now_s - self._said_s >= _PLAIN_EVERY_S and self._done:
            self._said_s = now_s
            left_s = (now_s - self._since_s) * (self._expected - self._done) / self._done
            line = f"{self._title}: {self._done}/{self._expected} clips{lost}"
            print(f"{line}, about {left_s:.0f} s left", file=sys.stderr, flush=True)

    def __exit__(self, *error: object) -> None:
        if self._bar is not None:
            self._bar.stop()


def _bar(*told: str) -> Any:
    """A running bar of rich's with the time left, and what else is ``told`` of it."""
    from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    bar = Bar(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        *map(TextColumn, told),
        TimeRemainingColumn(),
        console=terminal.console(stderr=True),
        transient=True,
    )
    bar.start()
    return bar
