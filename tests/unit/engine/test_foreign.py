"""What another host says: figures of any form are refused or shown, and the watching goes on."""

from __future__ import annotations

import asyncio
import contextlib
import copy
import math
from collections import deque
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any, cast

import pytest

import engine.transport.hosts
from engine.errors import MienError
from engine.metrics import EdgeStats, NodeStats
from engine.operations import Operation, op_of
from engine.transport.foreign import clock_of, figures_of
from engine.transport.hosts import Hosts
from nodes.web.prometheus import exposition

WRONG: tuple[Any, ...] = (
    None, True, "slow", "x" * 5_000, b"x", [], {}, [1], {1: 2}, {"p50": "soon"}, {"p50": None},
    -1, 0.5, math.nan, math.inf, 1 << 62, -(1 << 80), {"a": {"b": {"c": []}}},
)  # fmt: skip


def figures() -> dict[str, Any]:
    """What a host says of one node, one edge and one process."""
    stats = NodeStats()
    stats.gauge("backend", "OpenVINO")
    stats.gauge("fps", 25.0)
    stats.count("gaps")
    stats.observe("drawn", 3.0)
    stats.process.add(2.0)
    node = {**stats.snapshot(), "type": "nodes.x:X", "process": "face", "sink": True, "queue": 0}
    process = {
        "host": "render", "pid": None, "rss_mb": 1.0, "cpu_percent": 2.0, "restarts": 0,
        "hangs": 0, "refused": 0, "state": "running",
    }  # fmt: skip
    return {
        "nodes": {"x": node},
        "edges": {"a.b > x.c": dict(EdgeStats().snapshot())},
        "processes": {"face": process},
    }


def places(value: Any, way: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """The way to each value within."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield (*way, key)
            yield from places(item, (*way, key))


def watching(answers: list[tuple[str, Any]]) -> tuple[Hosts, asyncio.Event]:
    """Hosts whose one other says these in turn; the event tells that all were said."""
    left, over = deque(answers), asyncio.Event()

    async def call(operation: Operation[Any], timeout_s: float) -> Any:
        if not left:
            over.set()
            await asyncio.Event().wait()
        expected, answer = left.popleft()
        assert op_of(type(operation)) == expected
        return answer

    graph, run = SimpleNamespace(hosts=["studio", "render"]), SimpleNamespace(host="studio")
    hosts = Hosts(
        cast(Any, graph), cast(Any, run), cast(Any, None), dict, lambda host, offset_ns: None
    )
    hosts._peers["render"] = cast(Any, SimpleNamespace(call=call))
    return hosts, over


async def watched(answers: list[tuple[str, Any]], monkeypatch: pytest.MonkeyPatch) -> Any:
    """The metrics after the other host said these."""
    monkeypatch.setattr(engine.transport.hosts, "PING_EVERY_S", 0)
    hosts, over = watching(answers)
    task = asyncio.ensure_future(hosts._watch("render"))
    await asyncio.wait([task, asyncio.ensure_future(over.wait())], return_when="FIRST_COMPLETED")
    assert not task.done(), task
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
    metrics: dict[str, Any] = {"nodes": {}, "edges": {}, "processes": {}}
    hosts.merge(metrics)
    hosts._context.destroy(linger=0)
    return metrics


def test_what_a_host_says_is_taken() -> None:
    assert figures_of(figures()) == figures()
    assert clock_of(12) == 12


@pytest.mark.parametrize("said", [value for value in WRONG if value != -1])
def test_a_clock_is_a_whole_number(said: Any) -> None:
    with pytest.raises(MienError, match="clock"):
        clock_of(said)


def test_figures_of_any_form_are_refused_or_shown() -> None:
    refused = 0
    for way in [(), *places(figures())]:
        for wrong in WRONG:
            said: Any = copy.deepcopy(figures())
            within = said
            for key in way[:-1]:
                within = within[key]
            if way:
                within[way[-1]] = wrong
            else:
                said = wrong
            try:
                taken = figures_of(said)
            except MienError:
                refused += 1
            else:
                assert exposition(taken)
    assert refused > 300


async def test_a_host_that_lies_is_out_of_reach_until_it_tells_the_truth(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    broken = figures() | {"edges": {"a.b > x.c": {"sent": "many"}}}
    lies = [("clock", "noon"), ("clock", 1), ("metrics", broken), ("clock", 1), ("metrics", None)]
    metrics = await watched(lies, monkeypatch)
    assert metrics["hosts"]["render"] == {"reachable": False, "why": "its figures are no table"}
    assert not metrics["nodes"] and not metrics["edges"]
    metrics = await watched([*lies, ("clock", 1), ("metrics", figures())], monkeypatch)
    assert metrics["hosts"]["render"]["reachable"] and "why" not in metrics["hosts"]["render"]
    assert metrics["edges"] == figures()["edges"] and metrics["nodes"].keys() == {"x"}
