"""Synthetic people who call over real WebRTC: numbered pictures up, what comes back timed.

All callers of a run live in one process, `python -m commands.bench.callers`, which is told what
to do by lines of JSON and answers with one each. What they send is encoded once and sent over and
over, so that they leave the machine to whom is measured. Each has numbers of its own: one that
belongs to another is counted as ``foreign``.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from fractions import Fraction
from pathlib import Path
from typing import Any, Final

import numpy as np
from aiortc import MediaStreamTrack, RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from av import AudioFrame, AudioResampler, CodecContext, Packet, VideoFrame

from commands.bench.babble import babble
from commands.bench.clip import moving_face, read_pictures
from commands.bench.markers import (
    NUMBER_BITS,
    cell_means,
    draw_number,
    read_number,
    strip_height_px,
)
from engine.types import U8
from nodes.web.assembly import AudioAssembler, VideoAssembler
from nodes.web.intake import Intake, make_video_decoder
from nodes.web.peer import end, track_connecting
from nodes.web.private import set_private

LOOP_S: Final = 8
SOUND_HZ: Final = 48_000
SOUND_STEP: Final = 960
"""20 ms"""


def loop_pictures(fps: int, callers: int) -> int:
    """How many pictures each caller has numbers for."""
    return min(LOOP_S * fps, (1 << NUMBER_BITS) // callers)


def encode_pictures(pictures: list[U8], fps: int, first: int) -> list[bytes]:
    """BGR pictures, numbered from ``first`` on, as H.264."""
    height, width = pictures[0].shape[:2]
    context: Any = CodecContext.create("libx264", "w")
    context.width, context.height, context.pix_fmt = width, height, "yuv420p"
    context.framerate, context.time_base = Fraction(fps), Fraction(1, fps)
    context.bit_rate = 60 * width * height // 10
    context.options = {
        "preset": "veryfast", "tune": "zerolatency", "profile": "baseline", "x264-params":
        f"keyint={fps}:scenecut=0:annexb=1:repeat-headers=1",
    }  # fmt: skip
    found: list[bytes] = []
    for number, picture in enumerate(pictures):
        frame = VideoFrame.from_ndarray(picture, format="bgr24").reformat(format="yuv420p")
        planes = np.asarray(frame.to_ndarray(), np.uint8)
        draw_number(planes[:height], first + number)
        planes[height:].reshape(2, height // 2, width // 2)[:, : strip_height_px(height) // 2] = 128
        marked = VideoFrame.from_ndarray(planes, format="yuv420p")
        marked.pts = number
        found += [bytes(packet) for packet in context.encode(marked)]
    return [*found, *(bytes(packet) for packet in context.encode(None))]


def encode_sound(samples: np.ndarray[Any, Any]) -> list[bytes]:
    """int16 [N] at 48 kHz as Opus, 20 ms each."""
    context: Any = CodecContext.create("libopus", "w")
    context.sample_rate, context.layout, context.format = SOUND_HZ, "stereo", "s16"
    context.options = {"application": "voip"}
    found = []
    for start in range(0, samples.size - SOUND_STEP + 1, SOUND_STEP):
        both = np.repeat(samples[start : start + SOUND_STEP], 2)[None]
        frame = AudioFrame.from_ndarray(both, format="s16", layout="stereo")
        frame.sample_rate, frame.pts = SOUND_HZ, start
        found += [bytes(packet) for packet in context.encode(frame)]
    return found


def sound_of(path: str) -> np.ndarray[Any, Any]:
    """A file's sound, int16 [N] at 48 kHz; without one a made voice."""
    if not path:
        return babble(LOOP_S, SOUND_HZ)
    import av

    parts = []
    resampler = AudioResampler("s16", "mono", SOUND_HZ)
    with av.open(path) as opened:
        for frame in opened.decode(audio=0):
            parts += [part.to_ndarray()[0] for part in resampler.resample(frame)]
    return np.concatenate(parts)


class Loop(MediaStreamTrack):
    """Encoded packets at their pace, over and over; ``sent_s``: when each was sent last."""

    def __init__(self, kind: str, packets: list[bytes], per_s: float, step: int, hz: int) -> None:
        self.kind = kind
        super().__init__()
        self.sent_s = [0.0] * len(packets)
        self.count = 0
        self._packets = packets
        self._per_s = per_s
        self._step = step
        self._hz = hz
        self._start_s = 0.0

    async def recv(self) -> Any:
        self._start_s = self._start_s or time.monotonic()
        at = self.count % len(self._packets)
        await asyncio.sleep(self._start_s + self.count / self._per_s - time.monotonic())
        packet = Packet(self._packets[at])
        packet.pts, packet.time_base = self.count * self._step, Fraction(1, self._hz)
        self.sent_s[at] = time.monotonic()
        self.count += 1
        return packet


class Caller:
    """One person: publishes to a session, views what it makes, notes what came when."""

    def __init__(self, url: str, pictures: Loop, sound: Loop, first: int) -> None:
        self.url = url
        self.first = first
        self.pictures = pictures
        self.rows: list[tuple[float, float]] = []
        """when each new picture was decoded [s], how long after it was sent [s]"""
        self.foreign = self.unreadable = self.repeated = self.sounds = 0
        self.failures = 0
        self._sound = sound
        self._last = -1
        self._decoder: Any = None
        self._connections: list[RTCPeerConnection] = []
        self._connecting: list[Any] = []
        self._line: Any = None

    async def call(self, http: Any) -> None:
        """Come in. Raises AssertionError with the server's words."""
        base = self.url.rstrip("/")
        up = self._connection()
        for track in (self.pictures, self._sound):
            up.addTrack(track)
        await self._offer(http, up, base + "/session")
        await self._hold_governor(http, base)
        down = self._connection()
        for kind in ("video", "audio"):
            receiver: Any = down.addTransceiver(kind, "recvonly").receiver
            read = self._video if kind == "video" else self._audio
            set_private(receiver, "decoder_queue", Intake(kind, read))
            whole = VideoAssembler() if kind == "video" else AudioAssembler()
            set_private(receiver, "jitter_buffer", whole)
        await self._offer(http, down, base + "/whep")

    async def _hold_governor(self, http: Any, base: str) -> None:
        """The full picture, whatever it costs: what is measured shouldn't change meanwhile."""
        self._line = await http.ws_connect(base + "/ws")
        await self._line.send_json({"id": 1, "op": "govern", "level": 0})
        async for message in self._line:
            if message.json().get("id") == 1:
                break
        await self._line.close()

    def _connection(self) -> RTCPeerConnection:
        connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self._connections.append(connection)
        self._connecting.append(track_connecting(connection))
        return connection

    async def _offer(self, http: Any, connection: RTCPeerConnection, url: str) -> None:
        await connection.setLocalDescription(await connection.createOffer())
        offer = connection.localDescription.sdp
        async with http.post(
            url, data=offer, headers={"Content-Type": "application/sdp"}
        ) as answer:
            text = await answer.text()
            assert answer.status == 201, text.strip()
        await connection.setRemoteDescription(RTCSessionDescription(text, "answer"))

    def _audio(self, codec: Any, frames: list[Any]) -> None:
        self.sounds += len(frames)

    def _video(self, codec: Any, frames: list[Any]) -> None:
        if self._decoder is None:
            self._decoder = make_video_decoder(codec.name)
        for frame in frames:
            try:
                for picture in self._decoder.decode(Packet(frame.data)):
                    self._note(picture, time.monotonic())
            except ValueError:
                self.failures += 1  # until the first key frame

    def _note(self, picture: Any, now_s: float) -> None:
        plane = picture.planes[0]
        luma = np.frombuffer(plane, np.uint8).reshape(plane.height, plane.line_size)
        number = read_number(cell_means(luma[:, : plane.width]))
        if number is None:
            self.unreadable += 1
            return
        place = number - self.first
        if not 0 <= place < len(self.pictures.sent_s):
            self.foreign += 1
        elif place == self._last:
            self.repeated += 1
        else:
            self._last = place
            self.rows.append((now_s, now_s - self.pictures.sent_s[place]))

    def forget(self) -> None:
        """Measure from here."""
        self.rows.clear()
        self.foreign = self.unreadable = self.repeated = self.sounds = 0
        self._sent = self.pictures.count
        self._began_s = time.monotonic()

    def figures(self) -> dict[str, Any]:
        """fps and latencies [ms] since ``forget``."""
        passed_s = time.monotonic() - self._began_s
        rows, sent = list(self.rows), self.pictures.count - self._sent
        ms = np.array([late_s for _, late_s in rows]) * 1000
        return {
            "fps": round(len(rows) / passed_s, 2),
            "sent_fps": round(sent / passed_s, 2),
            "latency_ms": {
                f"p{share}": round(float(np.percentile(ms, share)), 1) if rows else None
                for share in (50, 95)
            },
            "drops": max(0, sent - len(rows)),
            "sent": sent,
            "foreign": self.foreign,
            "unreadable": self.unreadable,
            "sounds_per_s": round(self.sounds / passed_s, 1),
        }

    async def leave(self) -> None:
        for connection, connecting in zip(self._connections, self._connecting, strict=True):
            await end(connection, connecting)


class Callers:
    """Answers the lines of who measures."""

    def __init__(self) -> None:
        self.callers: list[Caller] = []
        self._sound: list[bytes] = []
        self._pictures: list[U8] = []
        self._fps = 0
        self._most = 0

    async def prepare(self, asked: dict[str, Any]) -> dict[str, Any]:
        """``width``, ``height``, ``fps``, ``most`` callers, ``input`` and ``voice`` files or ""."""
        width, height, self._fps = asked["width"], asked["height"], asked["fps"]
        self._most = asked["most"]
        count = loop_pictures(self._fps, self._most)
        if asked["input"]:
            source = read_pictures(Path(asked["input"]), width, height)
            self._pictures = [next(source) for _ in range(count)]
        else:
            face = moving_face(width, height)
            self._pictures = [face(number / count) for number in range(count)]
        self._sound = encode_sound(sound_of(asked["voice"]))
        return {"pictures": count}

    async def call(self, asked: dict[str, Any]) -> dict[str, Any]:
        """One more per address in ``urls``; how each fared, "" where it is connected."""
        import aiohttp

        told = []
        async with aiohttp.ClientSession() as http:
            for url in asked["urls"]:
                first = len(self.callers) * len(self._pictures)
                packets = await asyncio.to_thread(encode_pictures, self._pictures, self._fps, first)
                pictures = Loop("video", packets, self._fps, 90_000 // self._fps, 90_000)
                sound = Loop("audio", self._sound, 50, SOUND_STEP, SOUND_HZ)
                caller = Caller(url, pictures, sound, first)
                try:
                    await caller.call(http)
                except (AssertionError, aiohttp.ClientError) as error:
                    await caller.leave()
                    told.append(str(error) or type(error).__name__)
                    continue
                self.callers.append(caller)
                caller.forget()
                told.append("")
        return {"told": told}

    async def connected(self, asked: dict[str, Any]) -> dict[str, Any]:
        """Wait until each has seen ten pictures of its own; how many have within ``within_s``."""
        deadline_s = time.monotonic() + asked["within_s"]
        # Pictures are counted in other threads.
        while time.monotonic() < deadline_s and self._seen() < len(self.callers):  # noqa: ASYNC110
            await asyncio.sleep(0.2)
        return {"connected": self._seen()}

    def _seen(self) -> int:
        return sum(len(caller.rows) >= 10 for caller in self.callers)

    async def measure(self, asked: dict[str, Any]) -> dict[str, Any]:
        """Figures of each over ``seconds``; meanwhile others ``knock``, at one of those addresses
        each ``every_s``, and ``told`` is what they were told."""
        knocks = _knock(asked.get("knock", []), asked.get("every_s", 0.0))
        knocking = asyncio.ensure_future(knocks)
        for caller in self.callers:
            caller.forget()
        used_s = time.process_time()
        await asyncio.sleep(asked["seconds"])
        used_s = time.process_time() - used_s
        figures = [caller.figures() for caller in self.callers]
        return {"callers": figures, "cpu_s": round(used_s, 2), "told": await knocking}

    async def leave(self, asked: dict[str, Any]) -> dict[str, Any]:
        """All of them."""
        await asyncio.gather(*(caller.leave() for caller in self.callers))
        self.callers.clear()
        return {}


async def _knock(urls: list[str], every_s: float) -> list[str]:
    """Ask for a place and offer, as a page and a publisher do; what each was told, "" where it was
    let in."""
    import aiohttp

    if not urls:
        return []
    told = []
    connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    connection.addTransceiver("video", "sendonly")
    await connection.setLocalDescription(await connection.createOffer())
    offer, headers = connection.localDescription.sdp, {"Content-Type": "application/sdp"}
    async with aiohttp.ClientSession() as http:
        for url in urls:
            seat = http.get(url + "seat")
            for asked in (seat, http.post(url + "whip", data=offer, headers=headers)):
                async with asked as answer:
                    told.append("" if answer.ok else (await answer.text()).strip())
            await asyncio.sleep(every_s)
    await connection.close()
    return told


async def _main() -> None:
    callers = Callers()
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(limit=1 << 22)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while line := await reader.readline():
        asked = json.loads(line)
        try:
            answer = await getattr(callers, asked.pop("do"))(asked)
        except Exception as error:
            answer = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), flush=True)
    await callers.leave({})


if __name__ == "__main__":
    asyncio.run(_main())
