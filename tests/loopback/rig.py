"""A hand-made graph for web tests: loop nodes wired by calls, peers over real WebRTC."""

from __future__ import annotations

import asyncio
import time
from collections import Counter, defaultdict, deque
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import aiohttp
import numpy as np
from aiortc import (
    MediaStreamTrack,
    RTCConfiguration,
    RTCPeerConnection,
    RTCSessionDescription,
)
from av import AudioFrame as AvAudio
from av import VideoFrame as AvVideo

from engine import operations as ops
from engine.dispatch import Dispatcher
from engine.node import Context, LoopNode
from engine.parameters import build, change
from engine.types import U8, Message
from nodes.web.peer import end, track_connecting

STRAIGHT = {
    "name": "straight",
    "nodes": {
        "browser": {"type": "nodes.web.browser:Browser"},
        "out": {
            "type": "nodes.web.webrtc_out:WebrtcOut",
            "inputs": {"video": "browser.video", "audio": "browser.audio"},
        },
    },
    "processes": {"session": {"nodes": ["browser", "out"]}},
}
"""a session's graph without face or network: what is between sessions is looked at"""


class Engine:
    """Starts loop nodes, wires emitted messages to on_ methods, keeps what nodes report."""

    def __init__(self) -> None:
        self.nodes: dict[str, LoopNode] = {}
        self.wires: dict[str, list[Callable[[Any], None]]] = defaultdict(list)
        self.gauges: dict[str, dict[str, Any]] = defaultdict(dict)
        self.counters: dict[str, Counter[str]] = defaultdict(Counter)
        self.observed: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
        self.status: dict[str, tuple[str, str]] = {}
        self.shared: dict[str, Any] = {}
        self.emitted: dict[str, deque[Message]] = defaultdict(lambda: deque(maxlen=300))
        self.loop = asyncio.get_running_loop()
        self.dispatcher = Dispatcher()
        self.dispatcher.on(ops.Set, self._set)
        self.dispatcher.on(ops.Metrics, self._metrics)

    async def add(self, name: str, kind: type[LoopNode], **config: Any) -> Any:
        context = Context(
            name=name,
            emit=lambda port, message: self._emit(f"{name}.{port}", message),
            status=lambda condition, text: self.status.__setitem__(name, (condition, text)),
            gauge=lambda key, value: self.gauges[name].__setitem__(key, value),
            observe=lambda key, value: self.observed[name][key].append(value),
            count=lambda key, n: self.counters[name].update({key: n}),
            control=self.dispatcher,
            shared=self.shared,
        )
        node = kind(build(kind.Config, config), context)
        await node.start()
        self.nodes[name] = node
        return node

    def wire(self, source: str, target: Callable[[Any], Any]) -> None:
        self.wires[source].append(target)

    def _emit(self, source: str, message: Message) -> None:
        self.emitted[source].append(message)
        for target in self.wires[source]:
            self.loop.call_soon_threadsafe(target, message)

    def _set(self, asked: ops.Set) -> Any:
        node = self.nodes[asked.node]
        config = change(node.config, asked.parameter, asked.value)
        node.reconfigure(config)
        return getattr(config, asked.parameter)

    def _metrics(self, _: ops.Metrics) -> dict[str, Any]:
        return {
            "name": "test",
            "uptime_s": 1.5,
            "nodes": {
                name: {
                    "type": type(node).__name__,
                    "gauges": dict(self.gauges[name]),
                    "counters": dict(self.counters[name]),
                    "status": list(self.status.get(name, ("ok", ""))),
                    "process_ms": {"p50": 1.0, "p95": 2.0, "p99": 3.0},
                }
                for name, node in self.nodes.items()
            },
            "edges": {"a.b->c.d": {"sent": 3, "received": 2, "dropped": 1, "gaps": 0}},
            "processes": {"net": {"rss_mb": 10.0, "cpu_percent": 50.0, "restarts": 1}},
            "events": [{"time_ns": 7, "level": "info", "text": "hello"}],
        }

    async def stop(self) -> None:
        for node in reversed(list(self.nodes.values())):
            await node.stop()


def bars(number: int, width: int = 320, height: int = 240) -> U8:
    """A flat blue-green picture with a red block that moves; the frame number as a bit row."""
    picture = np.empty((height, width, 3), np.uint8)
    picture[:] = (160, 120, 40)
    left = number * 4 % (width - 40)
    picture[height // 2 : height // 2 + 40, left : left + 40] = (40, 40, 220)
    for bit in range(16):
        value = 235 if number >> bit & 1 else 20
        picture[8:24, 8 + bit * 16 : 24 + bit * 16] = value
    return picture


def read_number(picture: U8) -> int:
    return sum(
        int(picture[12:20, 12 + bit * 16 : 20 + bit * 16].mean() > 128) << bit for bit in range(16)
    )


class Pictures(MediaStreamTrack):
    """Pictures numbered from ``first`` + 1 on; ``sent_ns[number]`` when each was handed over."""

    kind = "video"

    def __init__(self, width: int = 320, height: int = 240, fps: int = 30, first: int = 0) -> None:
        super().__init__()
        self.size = (width, height)
        self.fps = fps
        self.first = first
        self.number = 0
        self.sent_ns: dict[int, int] = {}
        self.running = asyncio.Event()
        self.running.set()
        self._start_s: float | None = None

    async def recv(self) -> AvVideo:
        if self._start_s is None:
            self._start_s = time.monotonic()
        self.number += 1
        await asyncio.sleep(self._start_s + self.number / self.fps - time.monotonic())
        await self.running.wait()
        frame = AvVideo.from_ndarray(bars(self.first + self.number, *self.size), format="bgr24")
        frame.pts = int((time.monotonic() - self._start_s) * 90_000)
        frame.time_base = Fraction(1, 90_000)
        self.sent_ns[self.first + self.number] = time.monotonic_ns()
        return frame


class Tone(MediaStreamTrack):
    """A tone of 440 Hz, or another, in 20 ms blocks."""

    kind = "audio"

    def __init__(self, hz: float = 440) -> None:
        super().__init__()
        self._hz = hz
        self._count = 0
        self._start_s: float | None = None

    async def recv(self) -> AvAudio:
        if self._start_s is None:
            self._start_s = time.monotonic()
        await asyncio.sleep(self._start_s + (self._count + 1) * 0.02 - time.monotonic())
        at = (np.arange(960) + self._count * 960) / 48_000
        samples = (np.sin(2 * np.pi * self._hz * at) * 8000).astype(np.int16)
        frame = AvAudio.from_ndarray(samples[None], format="s16", layout="mono")
        frame.sample_rate = 48_000
        frame.pts = self._count * 960
        frame.time_base = Fraction(1, 48_000)
        self._count += 1
        return frame


class Client:
    """An aiortc peer that publishes to, or views from, the server at ``url``."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.location = ""
        self.connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self._connecting = track_connecting(self.connection)
        self.video_line = ""  # of SDP, added to the offer's video
        self.pictures: deque[tuple[int, AvVideo]] = deque(maxlen=400)
        self.sounds: deque[tuple[int, AvAudio]] = deque(maxlen=800)
        self._tasks: list[asyncio.Task[None]] = []

    async def publish(self, path: str = "/session", *tracks: MediaStreamTrack) -> Client:
        for track in tracks:
            self.connection.addTrack(track)
        await self._offer(path)
        return self

    async def view(self, path: str = "/whep", kinds: tuple[str, ...] = ("video", "audio"),
                   codec: str = "") -> Client:  # fmt: skip
        for kind in kinds:
            transceiver = self.connection.addTransceiver(kind, "recvonly")
            if codec and kind == "video":
                capable = transceiver.receiver.getCapabilities("video")
                assert capable is not None
                transceiver.setCodecPreferences(
                    [
                        item
                        for item in capable.codecs
                        if item.mimeType in (f"video/{codec}", "video/rtx")
                    ]
                )
        self.connection.on("track", self._track)
        await self._offer(path)
        return self

    async def _offer(self, path: str) -> None:
        await self.connection.setLocalDescription(await self.connection.createOffer())
        offer = self.connection.localDescription.sdp
        if self.video_line:
            head, video, rest = offer.partition("m=video")
            offer = head + video + rest.replace("a=mid:", f"{self.video_line}\r\na=mid:", 1)
        async with (
            aiohttp.ClientSession() as session,
            session.post(
                self.url + path,
                data=offer,
                headers={"Content-Type": "application/sdp"},
            ) as response,
        ):
            text = await response.text()
            assert response.status == 201, (response.status, text)
            assert response.content_type == "application/sdp"
            self.location = response.headers["Location"]
        await self.take(text)

    async def take(self, answer: str) -> None:
        await self.connection.setRemoteDescription(RTCSessionDescription(answer, "answer"))

    def _track(self, track: MediaStreamTrack) -> None:
        self._tasks.append(asyncio.create_task(self._read(track)))

    async def _read(self, track: MediaStreamTrack) -> None:
        from aiortc.mediastreams import MediaStreamError

        try:
            while True:
                frame: Any = await track.recv()
                kept = self.pictures if track.kind == "video" else self.sounds
                kept.append((time.monotonic_ns(), frame))
        except MediaStreamError:
            pass

    async def close(self) -> None:
        await end(self.connection, self._connecting)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


async def offer_of(*kinds: str, direction: str = "recvonly", data: bool = False) -> str:
    """A real offer whose maker is gone before it is answered."""
    connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    for kind in kinds:
        connection.addTransceiver(kind, direction)
    if data:
        connection.createDataChannel("data")
    await connection.setLocalDescription(await connection.createOffer())
    text = str(connection.localDescription.sdp)
    await connection.close()
    return text


async def until(condition: Callable[[], Any], what: str = "", within_s: float = 30.0) -> None:
    """Wait for a condition; fails with what was waited for."""
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, f"not within {within_s} s: {what or condition}"
        await asyncio.sleep(0.01)
