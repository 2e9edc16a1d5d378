"""The picture and the voice to the page and to WHEP viewers, encoded once for all of them."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from engine.errors import MienError
from engine.node import Condition, LoopNode
from engine.parameters import parameter
from engine.types import U8, AudioFrame, Fifo, Latest, VideoFrame
from face.types import Affect
from nodes.web.feelings import Moments
from nodes.web.options import WEB_SERVER

if TYPE_CHECKING:
    from nodes.web.encode import Encoded, EncodeWorker
    from nodes.web.peer import Peer
    from nodes.web.server import WebServer
    from nodes.web.viewer import Viewer

LOST_SAID_NS = 600_000_000  # slow pictures aren't lost ones
RATE_OVER_NS = 2_000_000_000
SLOW_HZ = 10.0  # below this it is said that pictures are few
LOST_NS = 250_000_000  # without a picture for so long, the stream is kept alive
REPEAT_NS = 180_000_000
AWAY_NS = 10_000_000_000  # without any input for so long, the title is shown
REPORT_S = 0.5
LEAST_STEP = 90  # 1 ms: RTP time always moves on


class WebrtcOut(LoopNode):
    """Send to every viewer. video, audio (the person's voice), raw (the camera as it is), feelings
    (what is measured, for the page to draw).

    One encode per codec serves all viewers; the newest picture wins. The voice is delayed by what
    the picture really takes. Without pictures the stream goes on with the last one, or with raw.
    """

    inputs: ClassVar = {
        "video": Latest(VideoFrame),
        "audio": Fifo(AudioFrame, optional=True),
        "raw": Latest(VideoFrame, optional=True),
        "feelings": Fifo(Affect, depth=32, optional=True),
    }
    together = WEB_SERVER

    @dataclass(frozen=True, kw_only=True, slots=True)
    class Config:
        host: str = parameter("127.0.0.1", "address that the page is served at", live=False)
        port: int = parameter(8080, "its port; 0: a free one", low=0, high=65_535, live=False)
        token: str = parameter("", "token for everyone; off loopback random if empty", live=False)
        cert: str = parameter("", "TLS certificate, PEM", live=False)
        key: str = parameter("", "its key, PEM", live=False)
        socket: str = parameter(
            "", "path of a Unix socket to listen at instead, behind another server", live=False
        )
        ice_servers: str = parameter(
            "", "STUN and TURN: stun:host:port, turn:host:port?user=U&password=P", live=False
        )
        public_url: str = parameter(
            "", "the page's address behind a proxy: https://HOST", live=False
        )
        trusted_proxies: str = parameter(
            "", "addresses and networks whose forwarded headers count", live=False
        )
        max_viewers: int = parameter(8, "viewers at once", low=1, high=64)
        codec: Literal["h264", "vp8"] = parameter("h264", "codec that new viewers get, if they can")
        bitrate_kbps: int = parameter(
            0, "picture bitrate; 0: by its size", low=0, high=20_000, unit="kbit/s"
        )
        when_lost: Literal["hold", "pass"] = parameter(
            "hold", "without pictures: hold the last one, or pass the camera through"
        )
        playout_delay_ms: int = parameter(
            10, "how long viewers may buffer pictures", low=0, high=500, unit="ms"
        )
        pass_through: bool = parameter(False, "send the camera as it is", kept=False)
        mute: bool = parameter(False, "send silence", kept=False)

    async def start(self) -> None:
        from media.av_sync import AvSync
        from nodes.web.options import Options
        from nodes.web.playback import SOUND_LEAD_NS, PlayoutLimit
        from nodes.web.server import join
        from nodes.web.voice import Voice

        self._loop = asyncio.get_running_loop()
        self._viewers: list[Viewer] = []  # in the order of their offers
        self._workers: dict[str, EncodeWorker] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._shown: U8 | None = None
        self._video_ns = self._raw_ns = self._sent_ns = -AWAY_NS
        self._made, self._seen = Rate(), Rate()  # pictures of the avatar, of the camera
        self._timestamp = 0
        self._origin_ns = self.context.clock.now_ns() - 1_000_000_000
        self._moments = Moments()
        self.sync = AvSync(SOUND_LEAD_NS)
        self._playout = PlayoutLimit(self.config.playout_delay_ms)
        self._server: WebServer = await join(self.context)
        self._server.register("/whep", self)
        config = self.config
        try:
            await self._server.serve(
                Options(
                    host=config.host, port=config.port, token=config.token, cert=config.cert,
                    key=config.key, ice_servers=config.ice_servers,
                    public_url=config.public_url, trusted_proxies=config.trusted_proxies,
                    socket=config.socket,
                )
            )  # fmt: skip
        except MienError:
            await self.stop()
            raise
        self.context.gauge("url", self._server.url)
        if self._server.url.startswith("http:") and not (
            self._server.guard.loopback or self._server.guard.let_in
        ):
            self.context.status(
                "degraded",
                "no TLS: browsers on other machines get no camera here; "
                "start with --cert CERT.pem --key KEY.pem",
            )
        self._voice = Voice(self.context.clock, self.sync, self._sound)
        self._tasks = [
            asyncio.create_task(self._keep_alive()),
            asyncio.create_task(self._voice.run(self._listeners)),
            asyncio.create_task(self._report()),
        ]

    async def stop(self) -> None:
        from nodes.web.server import leave

        if not hasattr(self, "_server"):
            return
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks = []
        self._server.unregister("/whep", self)
        for viewer in list(self._viewers):
            await viewer.close("the engine stops")
        for worker in self._workers.values():
            worker.close()
        self._workers = {}
        await leave(self._server, self.context)

    @property
    def url(self) -> str:
        """Where the page is."""
        return self._server.url

    def on_video(self, message: VideoFrame) -> None:
        self._video_ns = self.context.clock.now_ns()
        self._made.add(self._video_ns)
        if not self.config.pass_through:
            self._show(message)

    def on_raw(self, message: VideoFrame) -> None:
        now_ns = self._raw_ns = self.context.clock.now_ns()
        self._seen.add(now_ns)
        lost = now_ns - self._video_ns > LOST_NS
        if self.config.pass_through or (lost and self.config.when_lost == "pass"):
            self._show(message)

    def on_audio(self, message: AudioFrame) -> None:
        if self._listeners():
            self._voice.push(message)

    def on_feelings(self, message: Affect) -> None:
        """Face, voice and both of one moment are one message to the pages."""
        if (moment := self._moments.add(message)) is not None:
            self._server.sockets.feelings(moment)

    async def negotiate(self, offer: str) -> tuple[Peer, str]:
        """A new viewer. Raises BadOfferError, MienError where there are too many."""
        from nodes.web.peer import make_room
        from nodes.web.sdp import read_offer
        from nodes.web.viewer import Viewer

        readable = read_offer(offer, viewer=True)
        if not make_room(self._viewers, self.config.max_viewers):
            raise MienError(
                f"{self.config.max_viewers} viewers are here already; close one, "
                "or raise max_viewers"
            )
        viewer = Viewer(self._server.ice_servers(), self._gone)
        viewer.preferred_codec = self.config.codec
        viewer.playout = self._playout
        viewer.want_key = self._want_key
        viewer.started = self._started
        self._viewers.append(viewer)
        return viewer, await viewer.answer(readable)

    def info(self) -> dict[str, Any]:
        """What the page shows about the viewers."""
        return {
            "viewers": sum(viewer.connected_s is not None for viewer in self._viewers),
            "codecs": sorted(self._workers),
            "holding": self._is_lost(),
            "pass_through": self.config.pass_through,
            "muted": self.config.mute,
        }

    def _show(self, message: VideoFrame) -> None:
        self._shown = message.pixels
        self._submit(message.pixels, message.capture_ns, live=True)

    def _submit(self, pixels: U8, capture_ns: int, *, live: bool) -> None:
        from nodes.web.encode import VIDEO_HZ, Picture

        self._sent_ns = self.context.clock.now_ns()
        media = max(0, capture_ns - self._origin_ns) * VIDEO_HZ // 1_000_000_000
        self._timestamp = max(self._timestamp + LEAST_STEP, media)
        picture = Picture(pixels, self._timestamp, capture_ns, live)
        for worker in self._workers.values():
            worker.submit(picture)

    async def _keep_alive(self) -> None:
        """Repeat the last picture where none comes, at 5 a second or more."""
        clock = self.context.clock
        while True:
            now_ns = clock.now_ns()
            due_ns = self._sent_ns + LOST_NS
            if due_ns > now_ns:
                await asyncio.sleep((due_ns - now_ns) / 1e9)
                continue
            self._repeat()
            await asyncio.sleep(REPEAT_NS / 1e9)
            while self._is_lost() and clock.now_ns() - self._sent_ns >= REPEAT_NS:
                self._repeat()
                await asyncio.sleep(REPEAT_NS / 1e9)

    def _repeat(self) -> None:
        """The picture that stands in: the last one, or the title where nobody is there."""
        from nodes.web.title import AWAY, STARTING, title

        now_ns = self.context.clock.now_ns()
        away = now_ns - max(self._video_ns, self._raw_ns) > AWAY_NS
        pixels = self._shown
        if pixels is None or away:
            self._shown = None
            pixels = title(AWAY if away else STARTING)
        delay_ns = int(self.sync.picture.ns or 0)
        self._submit(pixels, now_ns - delay_ns, live=False)

    def _is_lost(self) -> bool:
        newest = self._raw_ns if self.config.pass_through else self._video_ns
        if self.config.when_lost == "pass":
            newest = max(newest, self._raw_ns)
        return self.context.clock.now_ns() - newest > LOST_NS

    def _started(self, viewer: Viewer) -> None:
        from nodes.web.encode import EncodeWorker

        name = viewer.codec
        if not name:
            return
        worker = self._workers.get(name)
        if worker is None:
            worker = self._workers[name] = EncodeWorker(
                name, self._encoded_in_thread, self.context.observe, self._encoder_failed
            )
            worker.bitrate_wish_bps = self.config.bitrate_kbps * 1000
        worker.want_key()
        if self.context.clock.now_ns() - self._sent_ns > 50_000_000:
            self._repeat()

    def _encoder_failed(self, text: str) -> None:
        self.context.status("degraded", text)
        self.context.count("encoder_failures", 1)

    def _want_key(self, codec: str) -> None:
        if worker := self._workers.get(codec):
            worker.want_key()
            self.context.count("key_requests", 1)

    def _encoded_in_thread(self, encoded: Encoded, codec: str) -> None:
        self._loop.call_soon_threadsafe(self._encoded, encoded, codec)

    def _encoded(self, encoded: Encoded, codec: str) -> None:
        for viewer in self._viewers:
            if viewer.codec == codec:
                viewer.offer_picture(encoded)
        if encoded.live:
            delay_ns = self.context.clock.now_ns() - encoded.capture_ns
            self.sync.picture.add(delay_ns)
            self.context.observe("capture_to_send", delay_ns / 1e6)

    def _listeners(self) -> bool:
        return any(viewer.has_sound for viewer in self._viewers)

    def _sound(self, payload: bytes, timestamp: int, capture_ns: int) -> None:
        for viewer in self._viewers:
            viewer.offer_sound(payload, timestamp, capture_ns)

    def _gone(self, peer: Peer, _why: str) -> None:
        self._viewers = [viewer for viewer in self._viewers if viewer is not peer]
        self._server.forget(peer)
        wanted = {viewer.codec for viewer in self._viewers}
        for name in [name for name in self._workers if name not in wanted]:
            self._workers.pop(name).close()

    def reconfigure(self, config: Any) -> None:
        super().reconfigure(config)
        if hasattr(self, "_voice"):
            self._voice.muted = config.mute
            self._playout.set(config.playout_delay_ms)
        for worker in getattr(self, "_workers", {}).values():
            worker.bitrate_wish_bps = config.bitrate_kbps * 1000

    async def _report(self) -> None:
        from nodes.web.figures import OutFigures

        figures = OutFigures(self.context)
        self._voice.muted = self.config.mute
        while True:
            await asyncio.sleep(REPORT_S)
            await figures.report(list(self._viewers), self._workers, self.sync)
            self.context.status(*self._state())

    def _state(self) -> tuple[Condition, str]:
        """How the pictures flow, in words."""
        now_ns = self.context.clock.now_ns()
        if not self._viewers:
            return "ok", ""
        if self.config.pass_through:
            return "degraded", "passing the camera through"
        seen = now_ns - self._raw_ns < LOST_SAID_NS
        if now_ns - self._video_ns > LOST_SAID_NS:
            if self._video_ns < 0 and self._raw_ns < 0:
                return "waiting", "waiting for the first picture"
            passing = self.config.when_lost == "pass" and not self._is_lost()
            text = "passing the camera through" if passing else "holding the last picture"
            why = (
                "the camera delivers, but no picture is made of it" if seen else "no pictures come"
            )
            return "lost", f"{why}: {text}"
        made_hz, seen_hz = self._made.hz(now_ns), self._seen.hz(now_ns)
        if made_hz is None or made_hz >= SLOW_HZ:
            return "ok", ""
        if seen_hz is not None and seen_hz >= SLOW_HZ:
            return "degraded", (
                f"slow: {made_hz:.0f} of the camera's {seen_hz:.0f} pictures a second are made; "
                "close other programs, or choose a smaller picture"
            )
        if self._raw_ns < 0:  # there is no camera
            return "degraded", (
                f"slow: only {made_hz:.0f} pictures a second are made; close other programs"
            )
        return "degraded", f"slow: only {made_hz:.0f} pictures a second come from the camera"


class Rate:
    """How many come a second, over the last two; None until so long has been watched."""

    def __init__(self) -> None:
        self._times_ns: deque[int] = deque(maxlen=240)
        self._since_ns = 0

    def add(self, now_ns: int) -> None:
        if not self._times_ns or now_ns - self._times_ns[-1] > RATE_OVER_NS:
            self._since_ns = now_ns
        self._times_ns.append(now_ns)

    def hz(self, now_ns: int) -> float | None:
        if not self._times_ns or now_ns - self._since_ns < RATE_OVER_NS:
            return None
        return sum(now_ns - at_ns < RATE_OVER_NS for at_ns in self._times_ns) * 1e9 / RATE_OVER_NS
