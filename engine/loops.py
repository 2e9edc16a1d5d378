"""The event loop: uvloop where it exists, asyncio's own elsewhere."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from engine.signals import held

T = TypeVar("T")


def run_loop(main: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end."""
    # An interrupt may come before the coroutine has begun, and while a loop is made or closed.
    with contextlib.closing(main):
        runner = asyncio.Runner(loop_factory=_factory())
        try:
            with held():
                runner.get_loop()
            return runner.run(main)
        finally:
            with held():
                runner.close()


async def input_over(stopping: asyncio.Event) -> None:
    """Set ``stopping`` once standard input ends: whoever started this process has gone."""
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while await reader.read(4096):
        pass
    stopping.set()


def _factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop
