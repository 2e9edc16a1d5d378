"""Every graph that ships is right, and `file` keeps nothing back in its own."""

from __future__ import annotations

from pathlib import Path

import pytest

from commands.paths import GRAPHS
from engine.graph import load

SHIPPED = sorted(GRAPHS.glob("*.toml"))


@pytest.mark.parametrize("path", SHIPPED, ids=[path.stem for path in SHIPPED])
def test_it_loads(path: Path) -> None:
    graph = load(path)
    assert graph.nodes


@pytest.mark.parametrize("name", ["file", "images"])
def test_files_are_lossless_and_in_one_process(name: str) -> None:
    graph = load(GRAPHS / f"{name}.toml")
    assert graph.delivery == "lossless"
    assert len(graph.processes) == 1


def test_local_devices_are_settable() -> None:
    graph = load(GRAPHS / "local.toml", ["camera.device=/dev/video2", "microphone.rate_hz=16000"])
    assert graph.nodes["camera"].config.device == "/dev/video2"
    assert graph.nodes["microphone"].config.rate_hz == 16_000


@pytest.mark.parametrize("name", ["live", "local"])
def test_no_picture_waits_for_what_is_read_in_it(name: str) -> None:
    """The compositor draws in a thread of its own, readers have an interpreter of their own."""
    graph = load(GRAPHS / f"{name}.toml")
    assert graph.nodes["compositor"].runs == "thread"
    readers = {graph.nodes[node].process for node in ("face_reader", "voice_reader", "feeling")}
    assert len(readers) == 1 and graph.nodes["compositor"].process not in readers
