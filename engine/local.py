"""Run a whole graph inside this process, without a supervisor: files, tests."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from typing import Any

from engine import operations as ops
from engine.dispatch import Dispatcher
from engine.graph_spec import Graph
from engine.worker import Worker


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
    control = Dispatcher("{op} needs a supervised graph")
    worker = Worker(graph, None, None, control, on_event)
    control.on(ops.Parameters, lambda _: worker.parameters())
    control.on(ops.Set, worker.set)
    control.on(ops.Metrics, lambda _: worker.snapshot())
    control.on(ops.Graph, lambda _: graph.describe())
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
