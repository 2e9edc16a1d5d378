"""Fixtures for the web tests: nodes wired by hand, clients that are closed whatever happens."""

from __future__ import annotations

import asyncio
import gc
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from nodes.web.browser import Browser
from nodes.web.webrtc_out import WebrtcOut
from tests.loopback.rig import Client, Engine


@dataclass
class Web:
    """A browser node wired straight to the way out, and clients of theirs."""

    engine: Engine
    browser: Any
    out: Any
    url: str
    clients: list[Client]

    def client(self) -> Client:
        client = Client(self.url)
        self.clients.append(client)
        return client


Start = Callable[..., Awaitable[Web]]


@pytest.fixture
def runtime(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A runtime folder of the test's own, with a path short enough for sockets."""
    with tempfile.TemporaryDirectory(prefix="mien") as folder:
        monkeypatch.setenv("XDG_RUNTIME_DIR", folder)
        monkeypatch.setenv("XDG_CONFIG_HOME", folder)
        yield Path(folder)


@pytest.fixture
async def web() -> AsyncIterator[Start]:
    """``await web(straight=True, **out_config)`` starts the pair; everything ends with the test."""
    started: list[Web] = []

    async def start(
        *, straight: bool = True, sound: bool = True, whip: bool = True, **config: Any
    ) -> Web:
        engine = Engine()
        browser = await engine.add("browser", Browser, whip=whip)
        out = await engine.add("out", WebrtcOut, port=0, **config)
        if straight:
            engine.wire("browser.video", out.on_video)
        engine.wire("browser.video", out.on_raw)
        if sound:
            engine.wire("browser.audio", out.on_audio)
        result = Web(engine, browser, out, out.url.partition("/?")[0], [])
        started.append(result)
        return result

    before = asyncio.all_tasks()
    yield start
    for item in started:
        for client in item.clients:
            await client.close()
        await item.engine.stop()
    for _ in range(100):
        left = asyncio.all_tasks() - before - {asyncio.current_task()}
        if not left:
            break
        await asyncio.sleep(0.01)
    gc.collect()
    assert not left, left
