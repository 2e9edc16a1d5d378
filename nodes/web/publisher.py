"""The way up: a browser or OBS publishes camera and microphone; the newest publisher is the one."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from engine.node import LoopNode
from engine.parameters import parameter
from engine.types import I16, U8, AudioFrame, VideoFrame
from nodes.web.options import WEB_SERVER
from nodes.web.peer import Peer, agree_on_video, make_room
from nodes.web.sdp import read_offer, with_limits, with_short_packets, with_start_bitrate

PUBLISHERS_MOST = 8  # one that is live, others that connect

if TYPE_CHECKING:
    from nodes.web.intake import AudioIntake, VideoIntake
    from nodes.web.server import WebServer


class Publisher(Peer):
    """A peer whose media goes up: decoded in its own threads, emitted from there."""

    node: PublishNode
    video: VideoIntake | None = None
    audio: AudioIntake | None = None

    def prepare(self) -> None:
        from nodes.web.color import listen
        from nodes.web.intake import AudioIntake, VideoIntake
        from nodes.web.stamps import PublisherClock

        clock = PublisherClock()
        for transceiver in self.connection.getTransceivers():
            receiver = transceiver.receiver
            if receiver.track is None:
                continue
            if transceiver.kind == "video" and self.video is None:
                agree_on_video(transceiver, self.node.config.codec, self.offer)
                colors = listen(transceiver, self.connection.remoteDescription.sdp)
                longest_px = self.node.config.longest_px
                self.video = VideoIntake(receiver, clock, colors, self._video, longest_px)
            elif transceiver.kind == "audio" and self.audio is None:
                self.audio = AudioIntake(receiver, clock, self._audio)

    def established(self) -> None:
        self.node.take_over(self)

    def _video(self, pixels: U8, capture_ns: int, dropped: int) -> None:
        self.node.take_video(self, pixels, capture_ns, dropped)

    def _audio(self, samples: I16, rate_hz: int, capture_ns: int, media_ns: int) -> None:
        self.node.take_audio(self, samples, rate_hz, capture_ns, media_ns)


class PublishNode(LoopNode):
    """A source that a WebRTC publisher feeds through an HTTP path of the shared server."""

    outputs: ClassVar = {"video": VideoFrame, "audio": AudioFrame}
    together = WEB_SERVER
    who: ClassVar[str] = "publisher"

    @dataclass(frozen=True, kw_only=True, slots=True)
    class Config:
        codec: Literal["h264", "vp8"] = parameter(
            "h264", "codec that new publishers are asked to send, if they can"
        )
        start_kbps: int = parameter(
            1_500, "bitrate that a browser is asked to start at", low=100, high=20_000,
            unit="kbit/s",
        )  # fmt: skip
        least_kbps: int = parameter(
            500, "bitrate that a browser is asked not to go below", low=30, high=20_000,
            unit="kbit/s",
        )  # fmt: skip
        most_kbps: int = parameter(
            2_500, "bitrate that a browser is asked not to exceed", low=100, high=20_000,
            unit="kbit/s",
        )  # fmt: skip
        longest_px: int = parameter(
            1_920, "longer side of pictures that publishers are asked for; larger ones are "
            "scaled down", low=160, high=4_096, unit="px",
        )  # fmt: skip

    async def start(self) -> None:
        from nodes.web.server import join

        self._publisher: Publisher | None = None
        self._peers: list[Publisher] = []  # in the order of their offers
        self._lock = threading.Lock()
        self._arrivals_ns: deque[int] = deque(maxlen=90)
        self._size = (0, 0)
        self._frames = 0
        self.context.status("waiting", f"waiting for a {self.who}")
        self._server: WebServer = await join(self.context)
        for path in self.paths():
            self._server.register(path, self)
        self._figures = asyncio.create_task(self._report())

    async def stop(self) -> None:
        from nodes.web.server import leave

        if not hasattr(self, "_figures"):
            return
        self._figures.cancel()
        await asyncio.gather(self._figures, return_exceptions=True)
        for path in self.paths():
            self._server.unregister(path, self)
        for peer in list(self._peers):
            await peer.close("the engine stops")
        await leave(self._server, self.context)

    def reconfigure(self, config: Config) -> None:
        super().reconfigure(config)
        for peer in self._peers:
            if peer.video is not None:
                peer.video.longest_px = config.longest_px

    def paths(self) -> tuple[str, ...]:
        """Where publishers post their offers."""
        raise NotImplementedError

    async def negotiate(self, offer: str) -> tuple[Peer, str]:
        """A new publisher; the one before it ends once this one is connected.

        Raises BadOfferError.
        """
        readable = read_offer(offer, viewer=False)
        make_room(self._peers, PUBLISHERS_MOST)
        peer = Publisher(self._server.ice_servers(), self._gone)
        peer.node = self
        self._peers.append(peer)
        answer = await peer.answer(readable)
        config = self.config
        answer = with_start_bitrate(answer, config.start_kbps, config.least_kbps, config.most_kbps)
        answer = with_limits(answer, config.longest_px, config.most_kbps)
        answer = with_short_packets(answer)
        return peer, answer

    def take_over(self, peer: Publisher) -> None:
        """``peer`` is connected: it is the one, and all who offered before it go."""
        if self._publisher is not None:
            self.context.count("takeovers", 1)
        with self._lock:
            self._publisher = peer
            self._arrivals_ns.clear()
        if peer.video is None:  # who sends a voice alone isn't waited for
            self.context.status("ok", "")
        for before in self._peers[: self._peers.index(peer)]:
            before.close_soon("another publisher took over")

    def take_video(self, peer: Publisher, pixels: U8, capture_ns: int, dropped: int) -> None:
        """Called in the decoder's thread."""
        now_ns = self.context.clock.now_ns()
        with self._lock:
            if peer is not self._publisher:
                return
            first = not self._arrivals_ns
            self._arrivals_ns.append(now_ns)
            cut = first or self._size != (pixels.shape[1], pixels.shape[0])
            self._size = (pixels.shape[1], pixels.shape[0])
            self._frames += 1
        if dropped:
            self.context.count("late_frames", dropped)
        self.context.observe("receive", (now_ns - capture_ns) / 1e6)
        self.context.emit(
            "video",
            VideoFrame(
                capture_ns=capture_ns,
                pixels=pixels,
                pts=capture_ns,
                time_base=Fraction(1, 1_000_000_000),
                cut=cut,
            ),
        )
        if first:
            self.context.status("ok", "")

    def take_audio(
        self, peer: Publisher, samples: I16, rate_hz: int, capture_ns: int, media_ns: int
    ) -> None:
        """Called in the decoder's thread."""
        if peer is self._publisher:
            self.context.emit(
                "audio",
                AudioFrame(capture_ns=capture_ns, samples=samples, rate_hz=rate_hz, pts=media_ns),
            )

    def info(self) -> dict[str, Any]:
        """What the page shows about the publisher."""
        peer = self._publisher
        return {
            "state": "none" if peer is None else peer.state,
            "id": None if peer is None else peer.id,
            "width": self._size[0],
            "height": self._size[1],
            "fps": round(self._fps(), 1),
            "frames": self._frames,
        }

    def _fps(self) -> float:
        with self._lock:
            times = list(self._arrivals_ns)
        if len(times) < 2 or self.context.clock.now_ns() - times[-1] > 2_000_000_000:
            return 0.0
        return (len(times) - 1) * 1e9 / (times[-1] - times[0])

    def _gone(self, peer: Peer, why: str) -> None:
        self._peers = [other for other in self._peers if other is not peer]
        self._server.forget(peer)
        with self._lock:
            if self._publisher is not peer:
                return
            self._publisher = None
            self._arrivals_ns.clear()
        self.context.status("waiting", f"waiting for a {self.who} ({why})")

    async def _report(self) -> None:
        loss = 0
        while True:
            await asyncio.sleep(0.5)
            gauge = self.context.gauge
            gauge("input_fps", round(self._fps(), 2))
            gauge("size", f"{self._size[0]}x{self._size[1]}")
            gauge("publishers", len(self._peers))
            peer = self._publisher
            if peer is None:
                loss = 0
                continue
            lost = 0
            for intake in (peer.video, peer.audio):
                if intake is not None:
                    lost += intake.assembler.lost_frames + intake.broken
            if lost > loss:
                self.context.count("lost_frames", lost - loss)
            loss = lost
            broken = peer.video.broken if peer.video is not None else 0
            if broken and not self._arrivals_ns:
                self.context.status(
                    "degraded",
                    f"pictures of the {self.who} can't be decoded: they may be at most "
                    "4096x2304; choose a smaller size there",
                )
            if self._arrivals_ns:
                quiet_s = (self.context.clock.now_ns() - self._arrivals_ns[-1]) / 1e9
                if quiet_s > 1.5:
                    self.context.status("lost", f"no picture from the {self.who}")
                else:
                    self.context.status("ok", "")
