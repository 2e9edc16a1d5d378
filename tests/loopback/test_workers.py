"""Workers come with the visitors and go after them: real processes and links, Ray played."""

from __future__ import annotations

import asyncio
import contextlib
from types import SimpleNamespace
from typing import Any

import psutil
import pytest

from cluster import remote, workers
from cluster.link import new_keys
from cluster.workers import Plan
from tests.loopback.rig import until
from tests.loopback.visitors import House

ANNA = "annas-own-session"


class Holder(remote.Holder):
    """The same, where there is no Ray to ask."""

    def keys(self) -> tuple[str, str]:
        self._keys = new_keys()
        return self._keys.public, "127.0.0.1"


class Actor:
    """One that answers in a thread."""

    def __init__(self) -> None:
        holder = Holder()
        self.keys = SimpleNamespace(remote=lambda: asyncio.to_thread(holder.keys))
        self.run = SimpleNamespace(remote=lambda task: asyncio.to_thread(holder.run, task))


class Here:
    """Ray as far as `Workers` needs it, all of it on this machine."""

    exceptions = SimpleNamespace(RayError=RuntimeError)
    util = SimpleNamespace(get_node_ip_address=lambda: "127.0.0.1")

    def __init__(self) -> None:
        self.asked_for: list[int] = []
        self.autoscaler = SimpleNamespace(sdk=SimpleNamespace(request_resources=self._ask))

    def _ask(self, bundles: list[dict[str, float]]) -> None:
        self.asked_for.append(len(bundles))

    def remote(self, _: type) -> Any:
        return SimpleNamespace(options=lambda **_: SimpleNamespace(remote=Actor))

    def kill(self, _: Actor) -> None:
        """Its worker was told to leave, and does."""


def running() -> int:
    """How many workers' processes there are."""
    count = 0
    for process in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):  # zombies are gone, too
            count += "cluster.worker" in process.cmdline()
    return count


async def test_workers_come_and_go_with_the_visitors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "ENOUGH_S", 0.5)
    ray = Here()
    house = House(ray, workers=1, most=None)
    house.workers.plan = Plan(least=1, most=2, spare=1)
    async with house.open():
        assert house.workers.places == 1  # measured, by whom the task names
        assert "info: worker 1: 1 visitors of 320x240@15" in house.events
        session = house.sessions.open(ANNA)
        await session.ready()
        await until(lambda: len(house.workers.ready) == 2, "another one", 60)
        assert ray.asked_for == [1, 2]
        assert running() == 2
        await house.sessions.end(ANNA)
        await until(lambda: len(house.workers.by_name) == 1, "one is enough")
        await until(lambda: running() == 1, "its process is gone")
        await until(lambda: ray.asked_for == [1, 2, 1])
        assert house.workers.free == 1
        assert not any(event.startswith("error") for event in house.events)
    await until(lambda: not running())
