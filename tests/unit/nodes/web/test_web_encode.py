"""The shared encoder: newest picture wins, key frames on request, sizes and rates that change."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Any

import av
import numpy as np
import pytest
from aiortc.codecs import depayload
from aiortc.rtcrtpparameters import RTCRtpCodecParameters

from nodes.web.encode import (
    KEY_EVERY_NS,
    Encoded,
    EncodeWorker,
    Picture,
    start_bitrate_bps,
)
from nodes.web.intake import is_key, make_video_decoder


class Bench:
    """A worker and what it delivered."""

    def __init__(self, codec: str) -> None:
        self.codec = codec
        self.got: list[Encoded] = []
        self.failed: list[str] = []
        self._more = threading.Condition()
        self.worker = EncodeWorker(
            codec, self._deliver, lambda *_: None, lambda text: self.failed.append(text)
        )
        self._timestamp = 0

    def _deliver(self, encoded: Encoded, _codec: str) -> None:
        with self._more:
            self.got.append(encoded)
            self._more.notify_all()

    def picture(self, width: int = 320, height: int = 240, shift: int = 0) -> Picture:
        self._timestamp += 3000
        rows, columns = np.mgrid[:height, :width]
        pixels = np.empty((height, width, 3), np.uint8)
        pixels[..., 0] = (columns + shift) % 256
        pixels[..., 1] = rows % 256
        pixels[..., 2] = 90
        return Picture(pixels, self._timestamp, self._timestamp, True)

    def encode(self, **arguments: Any) -> Encoded:
        count = len(self.got)
        self.worker.submit(self.picture(**arguments))
        with self._more:
            assert self._more.wait_for(lambda: len(self.got) > count, 5)
        return self.got[-1]

    def data(self, encoded: Encoded) -> bytes:
        codec = RTCRtpCodecParameters(f"video/{self.codec}", 90_000, payloadType=96)
        return b"".join(depayload(codec, payload) for payload in encoded.payloads)


@pytest.fixture(params=["H264", "VP8"])
def bench(request: pytest.FixtureRequest) -> Iterator[Bench]:
    item = Bench(request.param)
    yield item
    item.worker.close()
    assert not item.failed
    assert not item.worker._thread.is_alive()


def test_what_is_encoded_can_be_decoded(bench: Bench) -> None:
    decoder = make_video_decoder(bench.codec)
    for shift in range(10):
        encoded = bench.encode(shift=shift * 4)
        assert encoded.key == (shift == 0) == is_key(bench.codec, bench.data(encoded))
        assert max(map(len, encoded.payloads)) <= 1300
        assert encoded.timestamp == (shift + 1) * 3000
        frames = decoder.decode(av.Packet(bench.data(encoded)))
        assert len(frames) == 1
    pixels = frames[0].to_ndarray(format="bgr24").astype(int)
    assert (
        np.abs(pixels[40:200, 40:100] - bench.picture(shift=36).pixels[40:200, 40:100]).mean() < 6
    )


def test_a_key_frame_on_request_but_not_too_often(bench: Bench) -> None:
    bench.encode()
    time.sleep(KEY_EVERY_NS / 1e9)
    bench.worker.want_key()
    assert bench.encode().key
    bench.worker.want_key()
    assert not bench.encode().key  # put off
    time.sleep(KEY_EVERY_NS / 1e9)
    assert bench.encode().key


def test_a_new_size_odd_or_even_starts_with_a_key_frame(bench: Bench) -> None:
    decoder = make_video_decoder(bench.codec)
    for width, height in ((320, 240), (161, 121), (640, 480), (2, 2)):
        encoded = bench.encode(width=width, height=height)
        assert encoded.key
        frame = decoder.decode(av.Packet(bench.data(encoded)))[0]
        assert (frame.width, frame.height) == (width & ~1, height & ~1)


def test_the_newest_picture_wins_and_the_others_are_counted(bench: Bench) -> None:
    bench.encode()
    pictures = [bench.picture(640, 480) for _ in range(50)]
    for picture in pictures:
        bench.worker.submit(picture)
    deadline = time.monotonic() + 5
    while bench.got[-1].timestamp != pictures[-1].timestamp:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert bench.worker.dropped > 10
    assert bench.worker.dropped + bench.worker.encoded == 51


def test_h264_takes_a_new_bitrate_without_a_key_frame() -> None:
    bench = Bench("H264")
    try:
        noise = np.random.default_rng(1)

        def kilobytes(count: int) -> float:
            total = 0
            for _ in range(count):
                picture = bench.picture(640, 480)
                picture.pixels[:] = (
                    noise.integers(0, 255, (60, 80, 3), np.uint8)
                    .repeat(8, axis=0)
                    .repeat(8, axis=1)
                )
                before = len(bench.got)
                bench.worker.submit(picture)
                while len(bench.got) == before:
                    time.sleep(0.001)
                total += bench.got[-1].size_bytes
            return total / 1000

        kilobytes(20)
        rich = kilobytes(30)
        bench.worker.bitrate_limit_bps = 400_000
        kilobytes(20)
        poor = kilobytes(30)
        assert poor < 0.6 * rich
        assert bench.worker.keys == 1
    finally:
        bench.worker.close()


def test_vp8_doesnt_restart_for_every_change_of_rate() -> None:
    bench = Bench("VP8")
    try:
        bench.encode()
        for limit in range(1_000_000, 300_000, -50_000):
            bench.worker.bitrate_limit_bps = limit
            bench.encode()
        assert bench.worker.keys == 1
    finally:
        bench.worker.close()


def test_start_bitrates() -> None:
    assert start_bitrate_bps(640, 480) == 2_000_000
    assert 4_000_000 < start_bitrate_bps(1280, 720) < 5_000_000
