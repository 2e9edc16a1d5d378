"""Malformed requests, offers and messages to a live server while pictures flow through it.

`python -m tests.loopback.flood 20000` prints what became of them and of the pictures.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import random
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import psutil

from nodes.web import security
from nodes.web.browser import Browser
from nodes.web.webrtc_out import WebrtcOut
from tests.loopback.rig import Client, Engine, Pictures, Tone, offer_of, until

AT_ONCE = 8
PER_SOCKET = 90  # messages of one WebSocket: below what a page may send at once
PATHS = ["/", "/session", "/whip", "/whep", "/ws", "/metrics", "/healthz", "/static/main.js", "/x"]
METHODS = ["GET", "POST", "DELETE", "PATCH", "PUT", "OPTIONS", "HEAD", "TRACE", "Q"]
HEADERS = [
    "Content-Type: application/sdp", "Content-Length: 9", "Transfer-Encoding: chunked",
    "Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==", "Cookie: mien_token=x", "Range: bytes=5-1",
    "Authorization: Bearer x", "Origin: http://x", "If-None-Match: *", "Content-Encoding: gzip",
]  # fmt: skip
WORDS: list[Any] = [
    None, True, -1, 1e300, 1 << 70, "", "set", "metrics", "editor", "\ud800", [], {}, [[[]]],
    "x" * 999,
]  # fmt: skip


@dataclass
class Result:
    """``answers`` by kind and status; pictures that a viewer saw, and its longest wait [s]."""

    answers: Counter[str] = field(default_factory=Counter)
    pictures: int = 0
    longest_gap_s: float = 0.0
    lost: int = 0
    grown_mb: float = 0.0
    seconds: float = 0.0


def mutated(chance: random.Random, data: bytes) -> bytes:
    """A few bytes changed, dropped, doubled or cut off."""
    kept = bytearray(data)
    for _ in range(chance.randrange(1, 5)):
        at = chance.randrange(len(kept) + 1)
        kind = chance.randrange(4)
        if kind == 0:
            kept[at : at + 1] = bytes([chance.randrange(256)])
        elif kind == 1:
            del kept[at : at + chance.randrange(20)]
        elif kind == 2:
            kept[at:at] = kept[max(0, at - chance.randrange(40)) : at]
        elif chance.random() < 0.3:
            del kept[at:]
    return bytes(kept)


def odd_request(chance: random.Random) -> bytes:
    lines = [f"{chance.choice(METHODS)} {chance.choice(PATHS)} HTTP/1.1", "Host: 127.0.0.1"]
    lines += chance.sample(HEADERS, chance.randrange(5))
    text = "\r\n".join(lines) + "\r\n\r\n" + "v=0\r\n" * chance.randrange(3)
    return mutated(chance, text.encode())


def odd_message(chance: random.Random) -> str | bytes:
    names = ["id", "op", "node", "parameter", "value", "process", "presets", "timeout_s"]
    text = json.dumps({name: chance.choice(WORDS) for name in chance.sample(names, 4)})
    kind = chance.randrange(5)
    if kind == 0:
        return chance.choice('[{"') * chance.randrange(1, 60_000)
    if kind == 1:
        return text.replace("null", "Infinity")
    if kind == 2:
        return mutated(chance, text.encode()).decode(errors="replace")
    return text


class Flood:
    """Sends, and counts what comes back."""

    def __init__(self, url: str, offers: list[str], seed: int) -> None:
        self.url = url
        self.port = int(url.rpartition(":")[2])
        self.offers = offers
        self.chance = random.Random(seed)
        self.answers: Counter[str] = Counter()

    async def requests(self, count: int) -> None:
        for _ in range(count):
            reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
            writer.write(odd_request(self.chance))
            try:
                answer = await asyncio.wait_for(reader.read(64), 0.1)
            except TimeoutError:
                answer = b" unfinished"  # half a request: it waits for the rest
            except ConnectionError:
                answer = b" reset"
            writer.close()
            words = answer.decode(errors="replace").split()
            status = words[1] if words[:1] and words[0].startswith("HTTP") else "none"
            self.answers[f"request {status}"] += 1

    async def offer(self, count: int) -> None:
        headers = {"Content-Type": "application/sdp"}
        async with aiohttp.ClientSession() as session:
            for _ in range(count):
                body = mutated(self.chance, self.chance.choice(self.offers).encode())
                path = self.chance.choice(["/session", "/whip", "/whep"])
                async with session.post(self.url + path, data=body, headers=headers) as response:
                    await response.read()
                    self.answers[f"offer {response.status}"] += 1

    async def messages(self, count: int) -> None:
        while count > 0:
            burst = min(count, PER_SOCKET)
            count -= burst
            async with (
                aiohttp.ClientSession() as session,
                session.ws_connect(self.url + "/ws") as line,
            ):
                for _ in range(burst):
                    await line.send_str(str(odd_message(self.chance)))
                answered = 0
                while answered < burst:
                    message = await line.receive(timeout=20)
                    if message.type is not aiohttp.WSMsgType.TEXT:
                        break
                    reply = json.loads(message.data)
                    if "id" in reply:
                        answered += 1
                        self.answers["message error" if "error" in reply else "message done"] += 1


async def flood(count: int, seed: int = 1) -> Result:
    """Run it. A sixth are requests, a sixth offers, the rest messages."""
    limits = security.REQUESTS, security.NEGOTIATIONS
    security.REQUESTS = security.NEGOTIATIONS = (1e9, 1e9)  # each is to reach what it's meant for
    engine = Engine()
    clients = []
    try:
        browser = await engine.add("browser", Browser)
        out = await engine.add("out", WebrtcOut, port=0)
        engine.wire("browser.video", out.on_video)
        url = out.url
        clients = [Client(url), Client(url)]
        await clients[0].publish("/session", Pictures(), Tone())
        await clients[1].view(kinds=("video",))
        await until(lambda: browser.info()["frames"] > 10 and clients[1].pictures, "pictures")
        offers = [
            await offer_of("video", "audio", direction=way) for way in ("sendonly", "recvonly")
        ]
        sender = Flood(url, offers, seed)
        await _all(sender, count // 4)  # what is made once is there by then
        before, began_s = psutil.Process().memory_info().rss, time.monotonic()
        clients[1].pictures.clear()
        seen: list[float] = []
        watch = asyncio.create_task(_watch(clients[1], seen))
        await _all(sender, count - count // 4)
        watch.cancel()
        await asyncio.gather(watch, return_exceptions=True)
        late = Client(url)
        clients.append(late)
        await late.view(kinds=("video",))
        await until(lambda: late.pictures, "the picture of a viewer who comes afterwards")
        assert browser.info()["state"] == "connected"
        return Result(
            answers=sender.answers,
            pictures=len(seen),
            longest_gap_s=max((b - a for a, b in itertools.pairwise(seen)), default=0.0),
            lost=engine.counters["browser"]["lost_frames"] + engine.counters["out"]["viewer_drops"],
            grown_mb=(psutil.Process().memory_info().rss - before) / 1e6,
            seconds=time.monotonic() - began_s,
        )
    finally:
        security.REQUESTS, security.NEGOTIATIONS = limits
        for client in clients:
            await client.close()
        await engine.stop()


async def _all(sender: Flood, count: int) -> None:
    share = count // 6 // AT_ONCE + 1
    await asyncio.gather(
        *(sender.requests(share) for _ in range(AT_ONCE)),
        sender.offer(count // 6),
        *(sender.messages(4 * share) for _ in range(AT_ONCE)),
    )


async def _watch(viewer: Client, seen: list[float]) -> None:
    while True:
        await asyncio.sleep(0.005)
        while viewer.pictures:
            seen.append(viewer.pictures.popleft()[0] / 1e9)


if __name__ == "__main__":
    result = asyncio.run(flood(int(sys.argv[1])))
    for name, number in sorted(result.answers.items()):
        print(f"{name:24} {number}")
    print(
        f"{result.pictures} pictures in {result.seconds:.0f} s, the longest wait "
        f"{result.longest_gap_s * 1000:.0f} ms; {result.lost} lost; "
        f"memory {result.grown_mb:+.1f} MB"
    )
