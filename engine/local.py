"""Run a whole graph inside this process, without a supervisor: files, tests."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from typing import Any

from engine.errors import UsageError
from engine.graph import Graph
from engine.worker import Worker


class LocalControl:
    """Control of a worker in the same process, for graphs that run without a supervisor."""

    def __init__(self) -> None:
        self.worker: Worker | None = None

    async def call(self, op: str, **arguments: Any) -> Any:
        assert self.worker is not None
        if op == "parameters":
            return self.worker.parameters()
        if op == "set":
            return await self.worker.set(
                arguments["node"], arguments["parameter"], arguments["value"]
            )
        if op == "metrics":
            return self.worker.snapshot()
        if op == "graph":
            return self.worker.graph.describe()
        raise UsageError(f"'{op}' needs a supervised graph")


async def run_local(
    graph: Graph,
    on_tick: Callable[[dict[str, Any]], None] | None = None,
    *,
    stop: asyncio.Event | None = None,
    tick_s: float = 0.25,
    on_event: Callable[[str, str], None] | None = None,
) -> dict[str, Any]:
    """Run a whole graph in this process until its sources end or ``stop`` is set.

    ``on_tick`` gets a snapshot of the figures now and then. Returns the last snapshot.
    Raises MienError where the graph fails; nothing is left half-written then.
    """
    control = LocalControl()
    worker = Worker(graph, None, None, control, on_event)
    control.worker = worker
    switch_s = sys.getswitchinterval()
    sys.setswitchinterval(0.0005)
    await worker.start()
    stop = stop or asyncio.Event()
    try:
        ends = [asyncio.ensure_future(worker.finished.wait()), asyncio.ensure_future(stop.wait())]
        while not (worker.finished.is_set() or stop.is_set()):
            await asyncio.wait(ends, timeout=tick_s, return_when=asyncio.FIRST_COMPLETED)
            if on_tick is not None:
                on_tick(worker.snapshot())
        for end in ends:
            end.cancel()
        snapshot = worker.snapshot()
    finally:
        sys.setswitchinterval(switch_s)
        await worker.stop()
    if worker.failure is not None:
        raise worker.failure
    return snapshot
