"""The way down: one viewer's connection, fed with pictures and sound that were encoded once."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from nodes.web.peer import Peer, agree_on_video
from nodes.web.playback import UNHELD_NS, PlayoutLimit, report_capture_time
from nodes.web.private import set_private
from nodes.web.sdp import BadOfferError

if TYPE_CHECKING:
    from nodes.web.encode import Encoded

WAITING_MOST = 12  # encoded pictures a viewer may be behind before it starts anew at a key frame


class Outbox:
    """What waits to be sent to one viewer: short, and never missing its middle."""

    def __init__(self) -> None:
        self._items: deque[Any] = deque()
        self._ready = asyncio.Event()

    def __len__(self) -> int:
        return len(self._items)

    def put(self, item: Any) -> None:
        self._items.append(item)
        self._ready.set()

    def clear(self) -> None:
        self._items.clear()

    async def get(self) -> Any:
        while not self._items:
            self._ready.clear()
            await self._ready.wait()
        return self._items.popleft()


class Remb:
    """Stands where aiortc keeps an encoder: hears how much the viewer says it can take."""

    def __init__(self) -> None:
        self.limit_bps: int | None = None

    @property
    def target_bitrate(self) -> int:
        return self.limit_bps or 0

    @target_bitrate.setter
    def target_bitrate(self, bps: int) -> None:
        self.limit_bps = bps


class Viewer(Peer):
    """A WHEP viewer. ``codec`` is H264 or VP8 once it is known."""

    preferred_codec: str
    playout: PlayoutLimit
    want_key: Callable[[str], None]
    started: Callable[[Viewer], None]

    codec = ""
    skipped = 0
    sent_bytes = 0

    def prepare(self) -> None:
        self.remb = Remb()
        self._video = Outbox()
        self._audio = Outbox()
        self._needs_key = True
        self._unheld_ns = 0
        self._senders: dict[str, Any] = {}
        seen: set[str] = set()
        for transceiver in self.connection.getTransceivers():
            if transceiver.kind in seen or transceiver._offerDirection not in (
                "sendonly", "sendrecv",
            ):  # fmt: skip
                transceiver.direction = "inactive"
                continue
            seen.add(transceiver.kind)
            transceiver.direction = "sendonly"
            sender = report_capture_time(transceiver.sender)
            sender.replaceTrack(placeholder(transceiver.kind))
            self._senders[transceiver.kind] = sender
            if transceiver.kind == "video":
                self.codec = agree_on_video(transceiver, self.preferred_codec, self.offer)
                if not self.codec:
                    raise BadOfferError("the offer has neither H264 nor VP8")
                feed(sender, self._next_video, self._key_wanted)
                set_private(sender, "encoder", self.remb)
                if self.playout.send_with(transceiver, self.connection.remoteDescription.sdp):
                    self._unheld_ns = UNHELD_NS
            else:
                opus = [codec for codec in transceiver._codecs if codec.name.lower() == "opus"]
                if not opus:
                    raise BadOfferError("the offer's sound has no Opus")
                transceiver._codecs = opus[:1]
                feed(sender, self._next_audio, None)

    @property
    def has_sound(self) -> bool:
        """Connected, and wants the voice."""
        return self.connected_s is not None and "audio" in self._senders

    def offer_picture(self, picture: Encoded) -> None:
        """An encoded picture; waits for a key frame first, and again after falling behind."""
        if self.connected_s is None:
            return
        if len(self._video) >= WAITING_MOST:
            self.skipped += len(self._video)
            self._video.clear()
            self._needs_key = True
            self.want_key(self.codec)
        if self._needs_key:
            if not picture.key:
                return
            self._needs_key = False
        self._video.put(picture)

    def offer_sound(self, payload: bytes, timestamp: int, capture_ns: int) -> None:
        if not self.has_sound:
            return
        if len(self._audio) >= WAITING_MOST:
            self._audio.clear()
        self._audio.put((payload, timestamp, capture_ns))

    async def figures(self) -> dict[str, float]:
        """rtt_ms and loss (0..1) as the viewer last reported them."""
        from aiortc.stats import RTCRemoteInboundRtpStreamStats

        result: dict[str, float] = {}
        sender = self._senders.get("video")
        if sender is None:
            return result
        for item in (await sender.getStats()).values():
            if isinstance(item, RTCRemoteInboundRtpStreamStats):
                if item.roundTripTime is not None:
                    result["rtt_ms"] = max(0.0, item.roundTripTime * 1000)
                result["loss"] = item.fractionLost / 256
        return result

    def _key_wanted(self) -> None:
        self.want_key(self.codec)

    # aiortc's types don't say so, but a frame without an audio level has None there.

    async def _next_video(self, _codec: Any) -> Any:
        from aiortc.rtcrtpsender import RTCEncodedFrame

        picture: Encoded = await self._video.get()
        self.sent_bytes += picture.size_bytes
        self._senders["video"].captured_ns = picture.capture_ns + self._unheld_ns
        return RTCEncodedFrame(picture.payloads, picture.timestamp & 0xFFFFFFFF, None)  # type: ignore[arg-type]  # no level

    async def _next_audio(self, _codec: Any) -> Any:
        from aiortc.rtcrtpsender import RTCEncodedFrame

        payload, timestamp, capture_ns = await self._audio.get()
        self._senders["audio"].captured_ns = capture_ns
        return RTCEncodedFrame([payload], timestamp & 0xFFFFFFFF, None)  # type: ignore[arg-type]  # no level

    def established(self) -> None:
        self.started(self)


def feed(sender: Any, next_frame: Any, key_wanted: Any) -> None:
    """Let aiortc's sender take encoded frames from ``next_frame`` rather than encode a track."""
    sender._next_encoded_frame = next_frame
    if key_wanted is not None:
        sender._send_keyframe = key_wanted


def placeholder(kind: str) -> Any:
    """A track that is never read: aiortc's sender wants one."""
    from aiortc import MediaStreamTrack

    class Unread(MediaStreamTrack):
        async def recv(self) -> Any:
            raise RuntimeError("the sender is fed with encoded media")

    track = Unread()
    track.kind = kind
    return track
