"""Receive: take over an aiortc receiver's queues, decode in its thread, hand frames on bounded."""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any

from nodes.web.assembly import AudioAssembler, EncodedFrame, VideoAssembler
from nodes.web.color import Colors, ToBgr
from nodes.web.private import get_private, set_private
from nodes.web.stamps import PublisherClock, StreamTime

logger = logging.getLogger(__name__)

KEY_REQUEST_NS = 200_000_000
BACKLOG_FRAMES = 30  # encoded frames a slow decoder may be behind before it starts anew
SECOND_NS = 1_000_000_000
PIXELS_MOST = 4096 * 2304  # a decoder of larger pictures would take gigabytes


class Intake(queue.Queue[Any]):
    """What aiortc's decoder thread reads from: the thread spends its life in the first ``get``.

    aiortc would decode into an asyncio queue without a bound. Here frames are decoded, converted
    and handed on in the thread itself, so the event loop does nothing per frame; of pictures that
    wait, only the newest is converted.
    """

    def __init__(self, kind: str, decode: Callable[[Any, list[EncodedFrame]], None]) -> None:
        super().__init__()
        self.kind = kind
        self._decode = decode
        self._ready = threading.Condition()
        self._frames: deque[EncodedFrame] = deque()
        self._codec: Any = None
        self._ended = False
        self.overflows = 0
        self.failures = 0
        self.lost_key = threading.Event()

    def put(self, item: Any, block: bool = True, timeout: float | None = None) -> None:
        with self._ready:
            if item is None:
                self._ended = True
                self._frames.clear()
            else:
                self._codec, frame = item
                self._frames.append(frame)
                self._frames.extend(frame.after)
                if len(self._frames) > BACKLOG_FRAMES:
                    self.overflows += len(self._frames)
                    self._frames.clear()
                    self.lost_key.set()
            self._ready.notify()

    def get(self, block: bool = True, timeout: float | None = None) -> Any:
        while True:
            with self._ready:
                while not self._frames and not self._ended:
                    self._ready.wait()
                if self._ended:
                    return None
                frames = list(self._frames)
                self._frames.clear()
                codec = self._codec
            try:
                self._decode(codec, frames)
            except Exception:  # the thread must live: without it the peer can't be closed
                self.failures += 1
                logger.exception("decoding %s failed", self.kind)


class VideoIntake:
    """Decodes one publisher's pictures to BGR and calls ``deliver(pixels, capture_ns, drops)``.

    What is longer than ``longest_px`` on a side is scaled down; what is larger than PIXELS_MOST
    can't be decoded.
    """

    def __init__(
        self,
        receiver: Any,
        clock: PublisherClock,
        colors: Colors,
        deliver: Callable[[Any, int, int], None],
        longest_px: int = 1920,
    ) -> None:
        self._clock = clock
        self._deliver = deliver
        self._decoder: Any = None
        self._codec_name = ""
        self._need_key = True
        self._to_bgr = ToBgr(colors, longest_px)
        self._error = get_private(receiver, "decoder_error")
        self._asked_ns = 0
        self._lost_frames = 0
        self.intake = Intake("video", self._decode)
        self.assembler = VideoAssembler()
        self.broken = 0
        set_private(receiver, "decoder_queue", self.intake)
        set_private(receiver, "jitter_buffer", self.assembler)
        listen_to_reports(receiver, "video", clock)

    @property
    def longest_px(self) -> int:
        return self._to_bgr.longest_px

    @longest_px.setter
    def longest_px(self, most: int) -> None:
        self._to_bgr.longest_px = most

    def _decode(self, codec: Any, frames: list[EncodedFrame]) -> None:
        import av

        if codec.name != self._codec_name:
            self._decoder = make_video_decoder(codec.name)
            self._codec_name = codec.name
            self._need_key = True
        if self.intake.lost_key.is_set() or self.assembler.lost_frames != self._lost_frames:
            self.intake.lost_key.clear()
            self._lost_frames = self.assembler.lost_frames
            self._need_key = True
        picture = None
        newest = frames[0]
        pictures = 0
        for frame in frames:
            if self._need_key:
                if not is_key(codec.name, frame.data):
                    self._ask_for_key()
                    continue
                self._need_key = False
            try:
                for decoded in self._decoder.decode(av.Packet(frame.data)):
                    picture, newest = decoded, frame
                    pictures += 1
            except av.FFmpegError:
                self.broken += 1
                self._need_key = True
                self._ask_for_key()
        if picture is not None:
            capture_ns = self._clock.stamp("video", newest.rtp, 90_000, newest.arrival_ns)
            self._deliver(self._to_bgr(picture), capture_ns, pictures - 1)

    def _ask_for_key(self) -> None:
        now_ns = time.monotonic_ns()
        if now_ns - self._asked_ns > KEY_REQUEST_NS:
            self._asked_ns = now_ns
            self._error.set()  # aiortc answers with a PLI


class AudioIntake:
    """Decodes one publisher's sound.

    Calls ``deliver(samples, rate_hz, capture_ns, media_ns)``, samples int16 [N, channels].
    """

    def __init__(
        self, receiver: Any, clock: PublisherClock, deliver: Callable[[Any, int, int, int], None]
    ) -> None:
        self._time: StreamTime | None = None
        self._clock = clock
        self._deliver = deliver
        self._decoder: Any = None
        self._codec_name = ""
        self.intake = Intake("audio", self._decode)
        self.assembler = AudioAssembler()
        self.broken = 0
        set_private(receiver, "decoder_queue", self.intake)
        set_private(receiver, "jitter_buffer", self.assembler)
        listen_to_reports(receiver, "audio", clock)

    def _decode(self, codec: Any, frames: list[EncodedFrame]) -> None:
        import av
        import numpy as np
        from aiortc.codecs import get_decoder

        if codec.name != self._codec_name:
            self._decoder = get_decoder(codec)
            self._codec_name = codec.name
        for frame in frames:
            try:
                sounds = self._decoder.decode(frame)
            except av.FFmpegError:
                self.broken += 1
                continue
            for sound in sounds:
                channels = len(sound.layout.channels)
                samples = np.ascontiguousarray(sound.to_ndarray().reshape(-1, channels))
                length_ns = len(samples) * SECOND_NS // sound.sample_rate
                capture_ns = self._clock.stamp(
                    "audio", frame.rtp, codec.clockRate, frame.arrival_ns, length_ns
                )
                if self._time is None or self._time.rate_hz != codec.clockRate:
                    self._time = StreamTime(codec.clockRate)
                media_ns = SECOND_NS + self._time.media_ns(frame.rtp)
                self._deliver(samples, sound.sample_rate, capture_ns, media_ns)


def listen_to_reports(receiver: Any, kind: str, clock: PublisherClock) -> None:
    """Let the sender's reports, its own time for its packets, reach the clock."""
    from aiortc.rtp import RtcpSrPacket

    handle = receiver._handle_rtcp_packet

    async def handle_and_note(packet: Any) -> None:
        if isinstance(packet, RtcpSrPacket):
            info = packet.sender_info
            clock.sender_report(kind, info.rtp_timestamp, info.ntp_timestamp)
        await handle(packet)

    receiver._handle_rtcp_packet = handle_and_note


def make_video_decoder(name: str) -> Any:
    import av

    decoder = av.CodecContext.create("vp8" if name == "VP8" else "h264", "r")
    decoder.thread_count = 1
    decoder.options = {"max_pixels": str(PIXELS_MOST)}
    decoder.flags |= av.codec.context.Flags.low_delay
    return decoder


def is_key(name: str, data: bytes) -> bool:
    """Whether a decoder can start at this frame."""
    if name == "VP8":
        return len(data) > 0 and data[0] & 1 == 0
    position = data.find(b"\x00\x00\x01")
    while 0 <= position < len(data) - 3:
        if data[position + 3] & 0x1F in (5, 7):
            return True
        position = data.find(b"\x00\x00\x01", position + 3)
    return False
