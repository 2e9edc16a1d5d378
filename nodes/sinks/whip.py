"""Pictures and sound to a WHIP server, over WebRTC, from an event loop of their own."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Coroutine
from fractions import Fraction
from typing import Any, Final
from urllib.parse import urljoin, urlsplit

import numpy as np
from aiohttp import ClientError, ClientSession, ClientTimeout
from aiortc import MediaStreamTrack, RTCConfiguration, RTCPeerConnection, RTCSessionDescription

from engine.errors import MienError
from engine.types import U8, AudioFrame
from nodes.trust import reason

WITHIN_S: Final = 4.0
"""for the answer, and once more for the connection"""
END_S: Final = 1.5
ANSWER_MOST: Final = 64 * 1024
SOUNDS_MOST: Final = 100
VIDEO_HZ: Final = 90_000


class WhipStream:
    """One connection. Everything raises MienError where it breaks, with the reason."""

    def __init__(self, address: str, key: str, sound: bool) -> None:
        self._address, self._key = address, key
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="whip", daemon=True)
        self._thread.start()
        self._sounds: deque[AudioFrame] = deque(maxlen=SOUNDS_MOST)
        self._place = ""
        try:
            self._run(self._open(sound))
        except BaseException:
            self.close()
            raise

    def picture(self, pixels: U8, capture_ns: int) -> None:
        """Send pixels [H, W, 3] (BGR), and the sound of their moment with them."""
        import av
        import cv2

        if self._connection.connectionState != "connected":
            raise MienError("it hung up")
        height, width = (side & ~1 for side in pixels.shape[:2])
        planes = np.asarray(cv2.cvtColor(pixels[:height, :width], cv2.COLOR_BGR2YUV_I420), np.uint8)
        frame = av.VideoFrame.from_ndarray(planes, format="yuv420p")
        frame.pts, frame.time_base = capture_ns * VIDEO_HZ // 1_000_000_000, Fraction(1, VIDEO_HZ)
        self._loop.call_soon_threadsafe(self._video.put, frame)
        while self._sounds and self._sounds[0].capture_ns <= capture_ns:
            self._loop.call_soon_threadsafe(self._audio.put, _block(self._sounds.popleft()))

    def sound(self, message: AudioFrame) -> None:
        """Keep a block of sound until its picture is sent: they are heard and seen together."""
        self._sounds.append(message)

    def follow(self, _now_ns: int, _wish_bps: int) -> int:
        """Bits a second, as the server asks for."""
        from nodes.web.private import get_private

        encoder = get_private(self._sender, "encoder")
        return int(getattr(encoder, "target_bitrate", 0) or 0)

    def close(self) -> None:
        if not self._loop.is_closed():
            self._run(self._end())
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._loop.close()

    def _run(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result()

    async def _open(self, sound: bool) -> None:
        from nodes.web.peer import track_connecting

        self._connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self._connecting = track_connecting(self._connection)
        self._video, self._audio = Newest("video", 1), Newest("audio", SOUNDS_MOST)
        self._sender = self._connection.addTransceiver(self._video, "sendonly").sender
        if sound:
            self._connection.addTransceiver(self._audio, "sendonly")
        settled = asyncio.Event()

        @self._connection.on("connectionstatechange")
        def _() -> None:
            if self._connection.connectionState != "connecting":
                settled.set()

        await self._connection.setLocalDescription(await self._connection.createOffer())
        answer = await self._ask(self._connection.localDescription.sdp)
        try:
            await self._connection.setRemoteDescription(RTCSessionDescription(answer, "answer"))
            async with asyncio.timeout(WITHIN_S):
                await settled.wait()
        except TimeoutError:
            raise MienError("no connection comes about") from None
        except Exception:  # aiortc raises whatever it stumbles over in an answer
            raise MienError("its answer can't be read") from None

    async def _ask(self, offer: str) -> str:
        headers = {"Authorization": f"Bearer {self._key}", "Content-Type": "application/sdp"}
        try:
            async with (
                ClientSession(timeout=ClientTimeout(total=WITHIN_S)) as session,
                session.post(self._address, data=offer, headers=headers) as response,
            ):
                if response.status in (401, 403):
                    raise MienError("it doesn't know the key")
                if response.status != 201:
                    raise MienError(f"it answers {response.status}")
                if location := response.headers.get("Location"):
                    place = urljoin(str(response.url), location)
                    if urlsplit(place)[:2] == urlsplit(str(response.url))[:2]:
                        self._place = place  # nobody else is told the key
                return (await response.content.read(ANSWER_MOST)).decode()
        except TimeoutError:
            raise MienError("no answer comes") from None
        except (ClientError, OSError, UnicodeDecodeError, ValueError) as error:
            raise MienError(reason(error)) from None

    async def _end(self) -> None:
        from nodes.web.peer import end

        if self._place:
            try:
                async with ClientSession(timeout=ClientTimeout(total=END_S)) as session:
                    headers = {"Authorization": f"Bearer {self._key}"}
                    await session.delete(self._place, headers=headers)
            except (ClientError, TimeoutError, OSError, ValueError):
                pass  # it finds out by itself
        if hasattr(self, "_connecting"):
            await end(self._connection, self._connecting)


class Newest(MediaStreamTrack):
    """A track of what is put, the newest few."""

    def __init__(self, kind: str, most: int) -> None:
        super().__init__()
        self.kind = kind
        self._frames: deque[Any] = deque(maxlen=most)
        self._news = asyncio.Event()

    def put(self, frame: Any) -> None:
        self._frames.append(frame)
        self._news.set()

    async def recv(self) -> Any:
        while not self._frames:
            self._news.clear()
            await self._news.wait()
        return self._frames.popleft()


def _block(message: AudioFrame) -> Any:
    """Sound as aiortc's encoder takes it, in one or two channels."""
    import av

    samples = message.samples
    if samples.shape[1] > 2:
        samples = samples[:, :1]
    layout = "mono" if samples.shape[1] == 1 else "stereo"
    flat = np.ascontiguousarray(samples).reshape(1, -1)
    frame = av.AudioFrame.from_ndarray(flat, format="s16", layout=layout)
    frame.sample_rate = message.rate_hz
    frame.pts = message.capture_ns * message.rate_hz // 1_000_000_000
    frame.time_base = Fraction(1, message.rate_hz)
    return frame
