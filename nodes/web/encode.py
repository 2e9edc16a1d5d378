"""Send: one encode per codec, shared by every viewer; the newest picture wins, nothing queues."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from engine.types import U8

VIDEO_HZ = 90_000
KEY_EVERY_NS = 250_000_000  # forced key frames come no closer than this
VP8_RESTART_NS = 4_000_000_000  # a new VP8 bitrate costs a key frame
LEAST_BPS = 250_000


def start_bitrate_bps(width: int, height: int) -> int:
    """What looks good from the first second: 2 Mbit/s at 640x480, 4.6 at 1280x720."""
    return int(2_000_000 * (width * height / 307_200) ** 0.75)


@dataclass(frozen=True, slots=True)
class Encoded:
    """One encoded picture as RTP payloads; ``timestamp`` in 1/90000 s."""

    payloads: list[bytes]
    timestamp: int
    key: bool
    size_bytes: int
    capture_ns: int
    live: bool


@dataclass(frozen=True, slots=True)
class Picture:
    """What is to be encoded: BGR [H, W, 3] and its media time; ``live`` False: a repeat."""

    pixels: U8
    timestamp: int
    capture_ns: int
    live: bool


class H264:
    """x264, one thread, no look-ahead; takes a new bitrate without a key frame."""

    def __init__(self, width: int, height: int, bitrate_bps: int) -> None:
        import av

        self.width, self.height, self.bitrate_bps = width, height, bitrate_bps
        codec = av.CodecContext.create("libx264", "w")
        codec.width, codec.height = width, height
        codec.pix_fmt = "yuv420p"
        codec.time_base = Fraction(1, VIDEO_HZ)
        codec.framerate = Fraction(30, 1)
        codec.bit_rate = bitrate_bps
        codec.gop_size = 30_000
        codec.thread_count = 1
        codec.profile = "Baseline"
        codec.options = {
            "preset": "ultrafast" if width * height > 160_000 else "superfast",
            "tune": "zerolatency",
            "forced-idr": "1",
            "maxrate": str(bitrate_bps),
            "bufsize": str(bitrate_bps // 4),
            "x264-params": "force-cfr=1:scenecut=0:colorprim=smpte170m:transfer=bt709"
            ":colormatrix=smpte170m",
        }
        self._codec = codec

    def set_bitrate(self, bitrate_bps: int) -> bool:
        """False where only a new encoder can take it."""
        self._codec.bit_rate = bitrate_bps
        self.bitrate_bps = bitrate_bps
        return True

    def encode(self, frame: Any) -> tuple[list[bytes], bool]:
        from aiortc.codecs.h264 import H264Encoder

        data = b"".join(bytes(packet) for packet in self._codec.encode(frame))
        units = list(H264Encoder._split_bitstream(data))
        return H264Encoder._packetize(units), any(unit[0] & 0x1F == 5 for unit in units)


class Vp8:
    """libvpx in real time; a new bitrate needs a new encoder."""

    def __init__(self, width: int, height: int, bitrate_bps: int) -> None:
        import av

        self.width, self.height, self.bitrate_bps = width, height, bitrate_bps
        codec = av.CodecContext.create("libvpx", "w")
        codec.width, codec.height = width, height
        codec.pix_fmt = "yuv420p"
        codec.time_base = Fraction(1, VIDEO_HZ)
        codec.bit_rate = bitrate_bps
        codec.gop_size = 30_000
        codec.qmin, codec.qmax = 2, 56
        codec.thread_count = 1
        codec.options = {
            "deadline": "realtime",
            "cpu-used": "-12",
            "lag-in-frames": "0",
            "minrate": str(bitrate_bps),
            "maxrate": str(bitrate_bps),
            "bufsize": str(bitrate_bps // 2),
            "undershoot-pct": "100",
            "overshoot-pct": "15",
            "static-thresh": "1",
        }
        self._codec = codec
        self._picture_id = int(time.monotonic_ns() % (1 << 15))

    def set_bitrate(self, bitrate_bps: int) -> bool:
        return False

    def encode(self, frame: Any) -> tuple[list[bytes], bool]:
        from aiortc.codecs.vpx import Vp8Encoder

        data = b"".join(bytes(packet) for packet in self._codec.encode(frame))
        self._picture_id = (self._picture_id + 1) % (1 << 15)
        return Vp8Encoder._packetize(data, self._picture_id), bool(data) and data[0] & 1 == 0


class EncodeWorker:
    """A thread with a slot for one picture. ``deliver(Encoded, codec)`` is called from the thread.

    ``dropped`` counts live pictures that were replaced while the encoder was busy.
    """

    def __init__(
        self,
        codec_name: str,
        deliver: Callable[[Encoded, str], None],
        observe: Callable[[str, float], None],
        failed: Callable[[str], None],
    ) -> None:
        self.codec_name = codec_name
        self.encoded = 0
        self.dropped = 0
        self.keys = 0
        self.bitrate_limit_bps: int | None = None
        self.bitrate_wish_bps = 0  # 0: by the picture's size
        self.size = (0, 0)
        self._deliver = deliver
        self._observe = observe
        self._failed = failed
        self._wake = threading.Condition()
        self._waiting: Picture | None = None
        self._key_wanted = True
        self._key_ns = 0
        self._made_ns = 0
        self._ended = False
        self._encoder: H264 | Vp8 | None = None
        self._thread = threading.Thread(target=self._run, name=f"encode-{codec_name}", daemon=True)
        self._thread.start()

    def submit(self, picture: Picture) -> None:
        with self._wake:
            if self._waiting is not None and self._waiting.live:
                self.dropped += 1
            self._waiting = picture
            self._wake.notify()

    def want_key(self) -> None:
        self._key_wanted = True

    def close(self) -> None:
        """End the thread; waits for the picture at hand."""
        with self._wake:
            self._ended = True
            self._waiting = None
            self._wake.notify()
        self._thread.join()

    def target_bps(self, width: int, height: int) -> int:
        wish = self.bitrate_wish_bps or start_bitrate_bps(width, height)
        return max(LEAST_BPS, min(wish, self.bitrate_limit_bps or wish))

    def _run(self) -> None:
        import av

        while True:
            with self._wake:
                while self._waiting is None and not self._ended:
                    self._wake.wait()
                if self._ended:
                    self._encoder = None
                    return
                picture, self._waiting = self._waiting, None
            assert picture is not None
            try:
                self._encode(picture)
            except av.FFmpegError as error:
                self._encoder = None
                self._key_wanted = True
                self._failed(f"{self.codec_name} encoder: {error}")

    def _encode(self, picture: Picture) -> None:
        import av
        import cv2
        import numpy as np

        began_ns = time.monotonic_ns()
        pixels = picture.pixels
        height, width = pixels.shape[0] & ~1, pixels.shape[1] & ~1
        if pixels.shape[:2] != (height, width):
            pixels = pixels[:height, :width]
        encoder = self._ready_encoder(width, height, began_ns)
        planes = np.asarray(cv2.cvtColor(pixels, cv2.COLOR_BGR2YUV_I420), np.uint8)
        frame = av.VideoFrame.from_ndarray(planes, format="yuv420p")
        frame.pts = picture.timestamp
        frame.time_base = Fraction(1, VIDEO_HZ)
        if self._key_wanted and began_ns - self._key_ns >= KEY_EVERY_NS:
            self._key_wanted = False
            frame.pict_type = av.video.frame.PictureType.I
        payloads, key = encoder.encode(frame)
        if key:
            self.keys += 1
            self._key_ns = began_ns
        self.encoded += 1
        self.size = (width, height)
        self._observe("encode", (time.monotonic_ns() - began_ns) / 1e6)
        if payloads:
            size = sum(map(len, payloads))
            self._deliver(
                Encoded(payloads, picture.timestamp, key, size, picture.capture_ns, picture.live),
                self.codec_name,
            )

    def _ready_encoder(self, width: int, height: int, now_ns: int) -> H264 | Vp8:
        target = self.target_bps(width, height)
        encoder = self._encoder
        if encoder is not None and (encoder.width, encoder.height) == (width, height):
            change = abs(target - encoder.bitrate_bps) / encoder.bitrate_bps
            if change < 0.1 or encoder.set_bitrate(target):
                return encoder
            # VP8: a key frame is dear; slow down for congestion soon, speed up rarely
            patience = VP8_RESTART_NS if target < encoder.bitrate_bps else 3 * VP8_RESTART_NS
            if change < 0.3 or now_ns - self._made_ns < patience:
                return encoder
        self._encoder = None
        maker = H264 if self.codec_name == "H264" else Vp8
        encoder = self._encoder = maker(width, height, target)
        self._made_ns = now_ns
        return encoder
