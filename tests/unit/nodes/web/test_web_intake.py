"""Receiving: broken data, a decoder that falls behind, an end in the middle."""

from __future__ import annotations

import logging
import queue
import threading
import time
from types import SimpleNamespace
from typing import Any

import av
import numpy as np
import pytest

from nodes.web.assembly import EncodedFrame
from nodes.web.color import Colors, within
from nodes.web.encode import H264
from nodes.web.intake import BACKLOG_FRAMES, Intake, VideoIntake
from nodes.web.private import private
from nodes.web.stamps import PublisherClock
from tests.unit.nodes.web.test_web_encode import Bench


class RTCRtpReceiver:
    """The attributes of aiortc's receiver that are taken over."""

    def __init__(self) -> None:
        self.__decoder_error = threading.Event()
        self.__decoder_queue: Any = queue.Queue()
        self.__jitter_buffer: Any = None

    async def _handle_rtcp_packet(self, packet: Any) -> None: ...

    @property
    def asked_for_key(self) -> threading.Event:
        return self.__decoder_error

    @property
    def queue(self) -> Any:
        return self.__decoder_queue


VP8 = SimpleNamespace(name="VP8")


def stream(count: int) -> list[EncodedFrame]:
    bench = Bench("VP8")
    try:
        return [
            EncodedFrame(bench.data(bench.encode(shift=n)), n * 3000, n * 33_000_000)
            for n in range(count)
        ]
    finally:
        bench.worker.close()


@pytest.fixture
def receiver() -> RTCRtpReceiver:
    return RTCRtpReceiver()


@pytest.fixture
def got() -> list[tuple[Any, int, int]]:
    return []


def test_only_the_newest_of_waiting_pictures_is_converted(
    receiver: RTCRtpReceiver, got: list[tuple[Any, int, int]]
) -> None:
    intake = VideoIntake(receiver, PublisherClock(), Colors(), lambda *item: got.append(item))
    assert receiver.queue is intake.intake
    intake._decode(VP8, stream(5))
    assert len(got) == 1
    pixels, _, dropped = got[0]
    assert pixels.shape == (240, 320, 3) and pixels.dtype == np.uint8
    assert dropped == 4


def test_a_huge_picture_is_scaled_down_and_a_larger_one_refused(
    receiver: RTCRtpReceiver, got: list[tuple[Any, int, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    encoder = H264(4096, 2304, 2_000_000)
    frame = av.VideoFrame.from_ndarray(np.full((3456, 4096), 128, np.uint8), format="yuv420p")
    frame.pts = 0
    data = b"".join(map(bytes, [*encoder._codec.encode(frame), *encoder._codec.encode(None)]))
    item = EncodedFrame(data, 0, 0)

    def intake() -> VideoIntake:
        return VideoIntake(receiver, PublisherClock(), Colors(), lambda *item: got.append(item))

    intake()._decode(SimpleNamespace(name="H264"), [item])
    assert got[0][0].shape == (1080, 1920, 3)
    assert got[0][0].mean() == pytest.approx(130, abs=3)
    monkeypatch.setattr("nodes.web.intake.PIXELS_MOST", 4096 * 2303)
    strict = intake()
    strict._decode(SimpleNamespace(name="H264"), [item])
    assert len(got) == 1 and strict.broken == 1


@pytest.mark.parametrize(
    ("size", "fitted"),
    [
        ((1920, 1080), (1920, 1080)),
        ((641, 481), (641, 481)),
        ((4096, 2304), (1920, 1080)),
        ((1080, 2340), (886, 1920)),
        ((4096, 16), (1920, 8)),
        ((4096, 1), (1920, 2)),
    ],
)
def test_sizes_are_fitted(size: tuple[int, int], fitted: tuple[int, int]) -> None:
    assert within(*size, 1920) == fitted


def test_without_a_key_frame_nothing_is_shown_and_one_is_asked_for(
    receiver: RTCRtpReceiver, got: list[tuple[Any, int, int]]
) -> None:
    intake = VideoIntake(receiver, PublisherClock(), Colors(), lambda *item: got.append(item))
    frames = stream(4)
    intake._decode(VP8, frames[1:])
    assert not got
    assert receiver.asked_for_key.is_set()
    intake._decode(VP8, frames[:1])
    assert len(got) == 1


def test_broken_data_is_counted_and_a_key_frame_asked_for(
    receiver: RTCRtpReceiver, got: list[tuple[Any, int, int]]
) -> None:
    intake = VideoIntake(receiver, PublisherClock(), Colors(), lambda *item: got.append(item))
    frames = stream(2)
    intake._decode(VP8, [EncodedFrame(b"\x10\x02", 0, 0)])
    assert intake.broken == 1
    assert receiver.asked_for_key.is_set()
    intake._decode(VP8, frames)
    assert len(got) == 1


def test_frames_lost_on_the_way_freeze_the_picture_until_a_key_frame(
    receiver: RTCRtpReceiver, got: list[tuple[Any, int, int]]
) -> None:
    intake = VideoIntake(receiver, PublisherClock(), Colors(), lambda *item: got.append(item))
    frames = stream(3)
    intake._decode(VP8, frames[:1])
    intake.assembler.lost_frames += 1
    intake._decode(VP8, frames[2:])
    assert len(got) == 1
    intake._decode(VP8, frames[:1])
    assert len(got) == 2


def test_a_decoder_that_falls_behind_starts_anew() -> None:
    release, decoded = threading.Event(), []

    def slow(_: Any, frames: list[EncodedFrame]) -> None:
        release.wait(5)
        decoded.append(len(frames))

    intake = Intake("video", slow)
    thread = threading.Thread(target=intake.get)
    thread.start()
    for n in range(BACKLOG_FRAMES * 3):
        intake.put((VP8, EncodedFrame(b"x", n, n)))
        time.sleep(0.001)
    assert intake.overflows > BACKLOG_FRAMES
    assert intake.lost_key.is_set()
    assert len(intake._frames) <= BACKLOG_FRAMES
    intake.put(None)
    release.set()
    thread.join(5)
    assert not thread.is_alive()


def test_a_failing_decode_doesnt_end_the_thread(caplog: pytest.LogCaptureFixture) -> None:
    def fail(_: Any, __: Any) -> None:
        raise RuntimeError("unforeseen")

    intake = Intake("video", fail)
    results: list[Any] = []
    thread = threading.Thread(target=lambda: results.append(intake.get()))
    with caplog.at_level(logging.CRITICAL, logger="nodes.web.intake"):
        thread.start()
        intake.put((VP8, EncodedFrame(b"x", 0, 0)))
        while not intake.failures:
            time.sleep(0.001)
        intake.put(None)
        thread.join(5)
    assert results == [None]


def test_a_missing_private_attribute_is_said_in_words(receiver: RTCRtpReceiver) -> None:
    with pytest.raises(AttributeError, match="install aiortc"):
        private(receiver, "nothing_like_it")


def test_aiortc_still_has_what_is_taken_over() -> None:
    from aiortc import RTCPeerConnection, RTCRtpReceiver, RTCRtpSender
    from aiortc.rtcdtlstransport import RTCDtlsTransport

    for source, names in (
        (RTCRtpReceiver.__init__, ("decoder_error", "decoder_queue", "jitter_buffer")),
        (RTCRtpSender.__init__, ("encoder",)),
        (RTCDtlsTransport.__init__, ("rx_packets",)),
    ):
        owner = source.__qualname__.partition(".")[0]
        for name in names:
            assert f"_{owner}__{name}" in source.__code__.co_names
    assert hasattr(RTCPeerConnection, "_RTCPeerConnection__connect")
    for name in ("_next_encoded_frame", "_send_keyframe"):
        assert hasattr(RTCRtpSender, name)
