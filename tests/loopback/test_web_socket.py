"""The page's WebSocket: answers, what comes unasked, odd messages, a page that goes."""

from __future__ import annotations

import asyncio
import json
import socket
from typing import Any

import aiohttp
import pytest

from tests.loopback.conftest import Start
from tests.loopback.rig import until

ODD_MESSAGES = [
    "nonsense",
    "[" * 30_000,
    '{"id": 1e999, "op": "metrics"}',
    '{"id": Infinity, "op": "metrics"}',
    '{"id": {"a": []}, "op": "metrics"}',
    '{"id": "\\ud800", "op": "metrics"}',
    json.dumps({"id": None, "op": "set", "node": "x" * 60_000}),
]  # fmt: skip


async def test_websocket_answers_and_pushes(web: Start) -> None:
    pair = await web()
    async with aiohttp.ClientSession() as session, session.ws_connect(pair.url + "/ws") as line:
        await line.send_str(
            '{"id": 1, "op": "set", "node": "out", "parameter": "mute", "value": true}'
        )
        await line.send_str(
            '{"id": 2, "op": "set", "node": "out", "parameter": "mute", "value": 7}'
        )
        await line.send_str('{"id": 3, "op": "record", "edge": "x", "path": "/etc/passwd"}')
        for odd in ODD_MESSAGES:
            await line.send_str(odd)
        await line.send_str('{"id": 4, "op": "selftest"}')
        await line.send_str('{"id": 5, "op": "metrics"}')
        got: dict[Any, Any] = {}
        pushed: dict[str, Any] = {}
        async with asyncio.timeout(8):
            while len(got) < 6 or len(pushed) < 2:
                message = json.loads((await line.receive()).data, parse_constant=pytest.fail)
                if "type" in message:
                    pushed[message["type"]] = message
                else:
                    got[message["id"]] = message
    assert got[1]["result"] is True
    assert "true or false" in got[2]["error"]
    assert "can't ask" in got[3]["error"]
    assert "id" in got[None]["error"]
    items = got[4]["result"]
    assert all(set(item) == {"name", "ok", "text"} for item in items)
    assert {"Address", "TLS", "ICE candidates", "Codecs"} <= {item["name"] for item in items}
    assert got[5]["result"]["session"]["session"]["state"] == "none"
    assert pushed["metrics"]["data"]["session"]["whep"]["viewers"] == 0
    assert pushed["event"]["text"] == "hello"


async def test_what_a_page_asked_for_before_it_went_still_counts(web: Start) -> None:
    pair = await web()
    ask = '{{"id": {}, "op": "set", "node": "out", "parameter": "mute", "value": {}}}'
    async with aiohttp.ClientSession() as session:
        gone = await session.ws_connect(pair.url + "/ws")
        for number in range(20):
            await gone.send_str(ask.format(number, "false"))
        await gone.send_str(ask.format(20, "true"))
        gone.get_extra_info("socket").shutdown(socket.SHUT_RDWR)
        await until(lambda: pair.out.config.mute, "the last was taken")
