"""Pictures and sound as H.264 and AAC in an FLV stream to an RTMP server, each in its time."""

from __future__ import annotations

import time
from fractions import Fraction
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from engine.types import F32, U8, AudioFrame

SOUND_HZ: Final = 48_000
BLOCK: Final = 1024
"""samples of an AAC frame"""
GAP: Final = SOUND_HZ // 20
"""samples: what comes later than this after the sound before it leaves a silence"""
LATE: Final = SOUND_HZ // 2
"""samples: so much later than the picture, sound is missing, and silence takes its place"""
KEY_S: Final = 2
LEAST_BPS: Final = 300_000
LOOK_NS: Final = 2_000_000_000
"""how often the bit rate is thought over"""
SLOW, QUICK = 0.3, 0.03
"""shares of the time that the network is waited for: above it sends less, below it more"""
_MS: Final = Fraction(1, 1000)


class FlvStream:
    """One connection. Everything raises av.FFmpegError where it breaks, OSError among them."""

    def __init__(
        self, address: str, width: int, height: int, bitrate_bps: int, sound: bool
    ) -> None:
        import av

        self.size = (width, height)
        self._blocked_s = 0.0  # waited for the network, ever
        self._rate = BitRate(bitrate_bps, time.monotonic_ns())
        self._container: Any = av.open(
            address, "w", format="flv",
            options={"flvflags": "no_duration_filesize"},
        )  # fmt: skip
        self._video: Any = self._container.add_stream("libx264", rate=30)
        self._video.width, self._video.height = width, height
        self._video.pix_fmt = "yuv420p"
        self._video.time_base = self._video.codec_context.time_base = _MS
        self._video.codec_context.gop_size = 30 * KEY_S
        self._video.thread_count = 1
        self._video.options = {
            "preset": "veryfast", "tune": "zerolatency", "forced-idr": "1",
            "maxrate": str(bitrate_bps), "bufsize": str(bitrate_bps),
        }  # fmt: skip
        self._video.codec_context.bit_rate = bitrate_bps
        self._sound: Any = None
        if sound:
            self._sound = self._container.add_stream("aac", rate=SOUND_HZ, layout="stereo")
            self._sound.bit_rate = 128_000
        self._resampler: Any = None
        self._resampled_hz = 0
        self._held: F32 = np.zeros((2, 0), np.float32)
        self._begun = 0  # of what is held: samples since the origin
        self._origin_ns: int | None = None
        self._key_ms = 0
        self._shown_ms = -1
        self._container.start_encoding()

    def follow(self, now_ns: int, wish_bps: int) -> int:
        """Bits a second from now on: as wished, or what the network takes."""
        self._rate.wish_bps = wish_bps
        bitrate_bps = self._rate.follow(now_ns, self._blocked_s)
        self._video.codec_context.bit_rate = bitrate_bps
        return bitrate_bps

    def picture(self, pixels: U8, capture_ns: int) -> None:
        """Send pixels [H, W, 3] (BGR), fitted into the stream's size."""
        import av
        import cv2

        if self._origin_ns is None:
            self._origin_ns = capture_ns
        at_ms = max((capture_ns - self._origin_ns) // 1_000_000, self._shown_ms + 1)
        self._shown_ms = at_ms
        if self._sound is not None:
            self._fill(at_ms * SOUND_HZ // 1000 - LATE)
        if (pixels.shape[1], pixels.shape[0]) != self.size:
            pixels = np.asarray(cv2.resize(pixels, self.size), np.uint8)
        planes = np.asarray(cv2.cvtColor(pixels, cv2.COLOR_BGR2YUV_I420), np.uint8)
        frame = av.VideoFrame.from_ndarray(planes, format="yuv420p")
        frame.pts, frame.time_base = at_ms, _MS
        if (
            at_ms >= self._key_ms
        ):  # whoever begins to watch waits for one, however slow pictures come
            frame.pict_type = av.video.frame.PictureType.I
            self._key_ms = at_ms + 1000 * KEY_S
        self._mux(self._video.encode(frame))

    def sound(self, message: AudioFrame) -> None:
        """Send a block of sound; what was before the first picture isn't sent."""
        if self._sound is None or self._origin_ns is None:
            return
        samples = self._stereo(message)
        start = (message.capture_ns - self._origin_ns) * SOUND_HZ // 1_000_000_000
        end = self._begun + self._held.shape[1]
        if start > end + GAP:
            self._fill(start)
        elif start < end - GAP:
            samples = samples[:, min(end - start, samples.shape[1]) :]
        self._hold(samples)

    def close(self) -> None:
        """End the stream; what breaks at that is of no matter any more."""
        import av

        try:
            self._container.close()
        except av.FFmpegError:
            return

    def _fill(self, until: int) -> None:
        """Silence up to a sample, where there is nothing yet."""
        missing = until - self._begun - self._held.shape[1]
        if missing > 0:
            self._hold(np.zeros((2, missing), np.float32))

    def _hold(self, samples: NDArray[np.float32]) -> None:
        import av

        self._held = np.concatenate([self._held, samples], axis=1)
        while self._held.shape[1] >= BLOCK:
            block = np.ascontiguousarray(self._held[:, :BLOCK])
            self._held = self._held[:, BLOCK:]
            frame = av.AudioFrame.from_ndarray(block, format="fltp", layout="stereo")
            frame.sample_rate, frame.pts = SOUND_HZ, self._begun
            frame.time_base = Fraction(1, SOUND_HZ)
            self._begun += BLOCK
            self._mux(self._sound.encode(frame))

    def _stereo(self, message: AudioFrame) -> F32:
        """Samples [2, N] at SOUND_HZ."""
        import av

        mixed = message.samples.astype(np.float32).mean(axis=1, keepdims=True) / 32768
        pair = (
            message.samples[:, :2] / np.float32(32768) if message.samples.shape[1] == 2 else mixed
        )
        planes = np.ascontiguousarray(np.broadcast_to(pair, (len(pair), 2)).T, np.float32)
        if message.rate_hz == SOUND_HZ:
            return planes
        if self._resampled_hz != message.rate_hz:
            self._resampler = av.AudioResampler("fltp", "stereo", SOUND_HZ)
            self._resampled_hz = message.rate_hz
        frame = av.AudioFrame.from_ndarray(planes, format="fltp", layout="stereo")
        frame.sample_rate = message.rate_hz
        made = [part.to_ndarray() for part in self._resampler.resample(frame)]
        return np.concatenate(made, axis=1) if made else np.zeros((2, 0), np.float32)

    def _mux(self, packets: Any) -> None:
        began_s = time.monotonic()
        for packet in packets:
            self._container.mux(packet)
        self._blocked_s += time.monotonic() - began_s


class BitRate:
    """What the network takes, by how long it is waited for."""

    def __init__(self, wish_bps: int, now_ns: int) -> None:
        self.wish_bps = wish_bps
        self._now_bps = wish_bps
        self._looked_ns, self._blocked_s = now_ns, 0.0

    def follow(self, now_ns: int, blocked_s: float) -> int:
        """Bits a second from now on; ``blocked_s`` is how long was waited, ever."""
        passed_ns = now_ns - self._looked_ns
        if passed_ns >= LOOK_NS:
            share = (blocked_s - self._blocked_s) / (passed_ns / 1e9)
            if share > SLOW:
                self._now_bps = max(int(self._now_bps * 0.7), LEAST_BPS)
            elif share < QUICK:
                self._now_bps = int(self._now_bps * 1.1)
            self._looked_ns, self._blocked_s = now_ns, blocked_s
        self._now_bps = min(self._now_bps, self.wish_bps)
        return self._now_bps
