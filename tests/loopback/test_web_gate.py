"""Connections that ask nothing keep nobody out."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, suppress

import aiohttp
import pytest

from nodes.web import gate, security
from tests.loopback.conftest import Start
from tests.loopback.rig import until

HALF = b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Slow: "
Pair = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def half_request(stack: AsyncExitStack, port: int, text: bytes = HALF) -> Pair:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    stack.callback(writer.close)
    writer.write(text)
    return reader, writer


async def healthy(url: str) -> bool:
    async with aiohttp.ClientSession() as session, session.get(url + "/healthz") as response:
        return response.status == 200


async def test_half_requests_give_way_and_who_asks_is_answered(web: Start) -> None:
    pair = await web()
    web_server = pair.out._server
    async with AsyncExitStack() as stack:
        for _ in range(3 * gate.PER_ADDRESS_MOST):
            await half_request(stack, web_server.port)
        assert await healthy(pair.url)
        assert len(web_server.gate) <= gate.PER_ADDRESS_MOST
    await until(lambda: len(web_server.gate) == 0, "their end")


async def test_all_addresses_together_are_bounded(
    web: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gate, "CONNECTIONS_MOST", 5)
    pair = await web()
    async with AsyncExitStack() as stack:
        readers = [(await half_request(stack, pair.out._server.port))[0] for _ in range(8)]
        assert await healthy(pair.url)
        assert len(pair.out._server.gate) <= 5
        with suppress(ConnectionError):  # the oldest was cut off
            async with asyncio.timeout(5):
                assert await readers[0].read() == b""


async def test_open_pages_stay_when_idle_connections_flood(
    web: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gate, "PER_ADDRESS_MOST", 4)
    pair = await web()
    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(pair.url + "/ws") as line,
        AsyncExitStack() as stack,
    ):
        for _ in range(20):
            await half_request(stack, pair.out._server.port)
        await line.send_str('{"id": 1, "op": "graph"}')
        async with asyncio.timeout(5):
            while '"id": 1' not in (await line.receive()).data:
                pass


async def test_header_and_body_have_deadlines(web: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gate, "HEADER_S", 0.2)
    monkeypatch.setattr(security, "BODY_S", 0.2)
    pair = await web()
    body = (
        b"POST /whep HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/sdp\r\n"
        b"Content-Length: 100\r\n\r\nv=0"
    )
    async with AsyncExitStack() as stack:
        for text in (HALF, b"", body):
            reader, _ = await half_request(stack, pair.out._server.port, text)
            async with asyncio.timeout(5):
                answer = await reader.read()
            assert answer.startswith(b"HTTP/1.1 408")
            assert b"wasn't here within" in answer


@pytest.mark.parametrize(
    "text",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"FOO\xff / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/9.9\r\nHost: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: -3\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nA: " + b"x" * 20_000 + b"\r\n\r\n",
        b"GET /?\xff HTTP/1.1\r\nHost: x\r\n\r\n",
    ],
)
async def test_what_is_no_http_gets_one_line(
    web: Start, text: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    pair = await web()
    async with AsyncExitStack() as stack:
        reader, _ = await half_request(stack, pair.out._server.port, text)
        async with asyncio.timeout(5):
            answer = await reader.read()
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b" 400 " in head
    assert body.count(b"\n") == 1 and body.endswith(b"\n")
    assert "Traceback" not in caplog.text
