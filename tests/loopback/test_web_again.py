"""A network node that keeps failing is stopped and started again, and ends as others do."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from engine.graph import load
from engine.local import run_local
from engine.types import VideoFrame
from nodes.web.server import WebServer
from nodes.web.webrtc_out import WebrtcOut

GRAPH: dict[str, Any] = {
    "name": "again",
    "nodes": {
        "numbers": {"type": "tests.small_nodes:Numbers", "parameters": {"period_ms": 10}},
        "browser": {"type": "nodes.web.browser:Browser"},
        "out": {
            "type": "nodes.web.webrtc_out:WebrtcOut",
            "inputs": {"video": "numbers.video"},
            "parameters": {"port": 0},
        },
    },
}


async def test_the_way_out_is_set_up_again(monkeypatch: pytest.MonkeyPatch) -> None:
    show = WebrtcOut._show
    failed = shown = 0

    def fail_at_first(self: WebrtcOut, message: VideoFrame) -> None:
        nonlocal failed, shown
        if failed < 5:
            failed += 1
            raise RuntimeError("unforeseen")
        show(self, message)
        shown += 1

    monkeypatch.setattr(WebrtcOut, "_show", fail_at_first)
    made: list[WebServer] = []
    begin = WebServer.serve_by_default

    def noted(self: WebServer) -> None:
        made.append(self)
        begin(self)

    monkeypatch.setattr(WebServer, "serve_by_default", noted)
    events: list[str] = []
    stop = asyncio.Event()

    def look(_: dict[str, Any]) -> None:
        if shown > 10:
            stop.set()

    async with asyncio.timeout(60):
        snapshot = await run_local(
            load(GRAPH), look, stop=stop, on_event=lambda _, text: events.append(text)
        )
    out = snapshot["nodes"]["out"]
    assert (out["restarts"], out["errors"], out["status"][0]) == (1, 5, "ok")
    assert "out was set up again" in events
    assert not any("AttributeError" in text for text in events)
    assert made and not any(one.bound for one in made)
