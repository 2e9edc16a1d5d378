"""Peers that come and go, rudely too: nothing is left behind."""

from __future__ import annotations

import asyncio
import gc
import threading
from typing import Any

import psutil
import pytest

from nodes.web import peer
from nodes.web.browser import Browser
from tests.loopback.conftest import Start
from tests.loopback.rig import Engine, Pictures, Tone, until


async def test_ten_reconnects_leak_nothing(web: Start) -> None:
    pair = await web()
    process = psutil.Process()

    async def round_trip() -> None:
        publisher = await pair.client().publish("/session", Pictures(), Tone())
        viewer = await pair.client().view()
        await until(lambda: len(viewer.pictures) > 2, "pictures")
        await publisher.close()
        await viewer.close()
        pair.clients.clear()
        await until(lambda: not pair.browser._peers and not pair.out._viewers, "their end")

    async def state() -> tuple[int, int, int]:
        await asyncio.sleep(0.3)
        gc.collect()
        return len(asyncio.all_tasks()), threading.active_count(), process.num_fds()

    for _ in range(2):
        await round_trip()
    before = await state()
    memory = process.memory_info().rss
    for _ in range(10):
        await round_trip()
    after = await state()
    assert after[0] <= before[0] + 1
    assert after[1] <= before[1] + 1
    assert after[2] <= before[2] + 2
    assert process.memory_info().rss - memory < 40_000_000
    assert not pair.out._workers
    assert not pair.out._server.peers


async def test_ten_takeovers_in_a_row_leave_one(web: Start) -> None:
    pair = await web()
    for _ in range(10):
        await pair.client().publish("/session", Pictures(160, 120))
    await until(lambda: len(pair.browser._peers) == 1, "the older ones' end")
    count = len(pair.engine.emitted["browser.video"])
    await until(lambda: len(pair.engine.emitted["browser.video"]) > count + 10, "pictures")


async def test_a_viewer_that_vanishes_is_noticed(
    web: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(peer, "SILENCE_S", 2.0)
    pair = await web()
    viewer = await pair.client().view(kinds=("video",))
    await until(lambda: viewer.pictures, "a picture")
    transport: Any = viewer.connection.getTransceivers()[0].receiver.transport

    async def nothing(_: bytes) -> None:
        pass

    transport.transport._send = nothing  # pulled the cable: no goodbye, no reports
    await until(lambda: not pair.out._viewers, "its end")
    assert not pair.out._workers


async def test_stop_while_a_peer_connects(web: Start) -> None:
    pair = await web()
    client = await pair.client().publish("/session", Pictures())
    await pair.engine.stop()
    pair.engine.nodes.clear()
    await until(lambda: not pair.browser._peers, "the peer's end")
    # Nobody answers any more: it is left connecting until its own patience ends.
    assert client.connection.connectionState != "connected"


async def test_without_a_sink_the_server_binds_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    from nodes.web import server
    from nodes.web.options import Options

    monkeypatch.setattr(server, "DEFAULT_AFTER_S", 0.05)
    monkeypatch.setattr(server, "Options", _any_port(Options))
    engine = Engine()
    browser = await engine.add("browser", Browser)
    try:
        await until(lambda: browser._server.bound, "the server")
        assert browser._server.port != 0
    finally:
        await engine.stop()
    assert not engine.shared


def _any_port(options: Any) -> Any:
    return lambda: options(port=0)


async def test_an_engine_can_start_again_in_the_same_loop(web: Start) -> None:
    first = await web()
    port = first.out._server.port
    await first.engine.stop()
    first.engine.nodes.clear()
    second = await web()
    assert second.out._server.port
    with pytest.raises(OSError):
        await asyncio.open_connection("127.0.0.1", port)
