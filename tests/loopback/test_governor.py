"""The governor of a running graph: a node that is too slow is relieved, hands are respected."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from engine import operations as ops
from engine.errors import UsageError
from engine.graph import load
from engine.settings import Settings
from engine.supervisor import Supervisor
from tests.loopback.small_graph import graph as _graph
from tests.loopback.small_graph import until as _until

pytestmark = pytest.mark.usefixtures("runtime")


def _slow(tmp_path: Path) -> dict[str, Any]:
    raw = _graph(tmp_path)
    raw["nodes"]["add"]["parameters"] = {"wait_ms": 60}
    raw["nodes"]["numbers"]["parameters"]["period_ms"] = 20
    raw["governor"] = {
        "source": "numbers.video",
        "sink": "collect.video",
        "age_ms": 5000,
        "loss": 0.4,
        "levels": [
            {"text": "waits less", "set": {"add": {"wait_ms": 0}}},
            {"text": "adds nine", "set": {"add": {"amount": 9}}},
        ],
    }
    return raw


async def test_lost_pictures_are_had_again_by_a_level(tmp_path: Path) -> None:
    async with Supervisor(load(_slow(tmp_path))) as supervisor:
        assert supervisor.metrics()["governor"]["level"] == 0
        await _until(lambda: bool(supervisor.metrics()["governor"]["level"]))
        state = supervisor.metrics()["governor"]
        assert state["text"] == "waits less" and "left out" in state["why"]
        add = supervisor.graph.nodes["add"]
        await _until(lambda: add.config.wait_ms == 0)
        assert add.config.amount == 1
        assert any("waits less" in event["text"] for event in supervisor.events)
        collect = supervisor.metrics()["nodes"]["collect"]["count_in"]
        await _until(lambda: supervisor.metrics()["nodes"]["collect"]["count_in"] > collect + 20)


async def test_what_a_person_set_stays(tmp_path: Path) -> None:
    settings = Settings()
    raw = _slow(tmp_path)
    graph = load(raw, ["add.wait_ms=1"])
    async with Supervisor(graph, settings=settings) as supervisor:
        state = await supervisor.call(ops.Govern(2))
        assert state["held"] and state["by_hand"] == ["add.wait_ms"]
        assert graph.nodes["add"].config.wait_ms == 1 and graph.nodes["add"].config.amount == 9
        assert not settings.values, "what the governor sets isn't kept"
        await supervisor.call(ops.Set("add", "amount", 4))
        state = await supervisor.call(ops.Govern(None))
        assert not state["held"] and state["by_hand"] == ["add.amount", "add.wait_ms"]
        await supervisor.call(ops.Govern(0))
        assert graph.nodes["add"].config.amount == 4
        await supervisor.call(ops.Defaults())
        assert supervisor.metrics()["governor"]["by_hand"] == []
        assert graph.nodes["add"].config.amount == 1
        with pytest.raises(UsageError, match="from 0 to 2"):
            await supervisor.call(ops.Govern(3))


async def test_a_graph_without_levels_has_no_governor(tmp_path: Path) -> None:
    async with Supervisor(load(_graph(tmp_path))) as supervisor:
        assert "governor" not in supervisor.metrics()
        with pytest.raises(UsageError, match="no governor"):
            await supervisor.call(ops.Govern(1))
