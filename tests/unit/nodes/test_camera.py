"""Camera: stamps, the measured rate, and a camera that comes, goes and comes back."""

from __future__ import annotations

import sys
from typing import Any

import cv2
import numpy as np
import pytest

from engine.clock import FakeClock
from engine.node import Context
from engine.parameters import build
from engine.types import VideoFrame
from nodes.sources import camera
from nodes.sources.camera import Camera

NS = 1_000_000_000


class Device:
    """A camera on a fake clock: ``rate_hz`` pictures a second, broken on request."""

    def __init__(self, clock: FakeClock, rate_hz: float = 30, driver_stamps: bool = True) -> None:
        self.clock = clock
        self.rate_hz = rate_hz
        self.driver_stamps = driver_stamps
        self.plugged = True
        self.pictures = True
        self.opened = 0
        self.released = 0
        self.asked: list[tuple[int, float]] = []

    def capture(self, name: object, backend: int) -> Capture:
        self.opened += 1
        return Capture(self)


class Capture:
    def __init__(self, device: Device) -> None:
        self.device = device
        self.taken_ns = 0

    def isOpened(self) -> bool:  # noqa: N802 - OpenCV's name
        return self.device.plugged

    def set(self, key: int, value: float) -> bool:
        self.device.asked.append((key, value))
        return True

    def get(self, key: int) -> float:
        return self.taken_ns / 1e6 if self.device.driver_stamps else 0.0

    def read(self) -> tuple[bool, Any]:
        if not (self.device.plugged and self.device.pictures):
            return False, None
        self.device.clock.advance(int(NS / self.device.rate_hz))
        self.taken_ns = self.device.clock.now_ns() - 5_000_000
        return True, np.zeros((48, 64, 3), np.uint8)

    def release(self) -> None:
        self.device.released += 1


class Bench:
    """A Camera node over a Device, with what it said."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, **device: Any) -> None:
        self.clock = FakeClock(100 * NS)
        self.device = Device(self.clock, **device)
        monkeypatch.setattr(cv2, "VideoCapture", self.device.capture)
        self.statuses: list[tuple[str, str]] = []
        self.gauges: dict[str, Any] = {}
        self.counts: dict[str, int] = {}
        context = Context(
            clock=self.clock,
            status=lambda condition, text: self.statuses.append((condition, text)),
            gauge=self.gauges.__setitem__,
            count=lambda name, n: self.counts.__setitem__(name, self.counts.get(name, 0) + n),
        )
        self.node = Camera(build(Camera.Config, {}), context)
        self.node.setup()

    def read(self, times: int) -> list[VideoFrame]:
        return [frame for _ in range(times) if (frame := self.node.read()) is not None]


def test_asks_for_mjpg_first_and_stamps_by_the_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench(monkeypatch)
    (frame,) = bench.read(1)
    key, value = bench.device.asked[0]
    assert key == cv2.CAP_PROP_FOURCC
    assert int(value).to_bytes(4, "little") == b"MJPG"
    assert (cv2.CAP_PROP_FRAME_WIDTH, 640) in bench.device.asked
    assert frame.capture_ns == bench.clock.now_ns() - 5_000_000
    assert frame.cut
    assert not bench.read(1)[0].cut


def test_stamps_without_the_drivers_help(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench(monkeypatch, driver_stamps=False)
    (frame,) = bench.read(1)
    assert frame.capture_ns == bench.clock.now_ns()


def test_the_real_rate_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench(monkeypatch, rate_hz=12.5)
    bench.read(20)
    assert bench.gauges["input_fps"] == pytest.approx(12.5, abs=0.1)
    assert bench.statuses[-1][0] == "degraded"
    assert "12 fps, not 30" in bench.statuses[-1][1]
    bench.device.rate_hz = 30
    bench.read(80)
    assert bench.gauges["input_fps"] == pytest.approx(30, abs=0.1)
    assert bench.statuses[-1] == ("ok", "")


def test_pulled_out_and_put_back(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench(monkeypatch)
    assert len(bench.read(5)) == 5
    bench.device.plugged = False
    assert bench.read(30) == []
    assert bench.statuses[-1][0] == "failed"
    assert bench.counts["lost"] == 1
    waited = bench.device.opened
    assert 3 <= waited <= 10  # about one try a second of fake time
    bench.device.plugged = True
    frames = bench.read(12)
    assert len(frames) >= 5
    assert frames[0].cut
    assert bench.statuses[-1] == ("ok", "")


def test_busy_at_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """It opens, but gives no pictures: another program has it."""
    bench = Bench(monkeypatch)
    bench.device.pictures = False
    assert bench.read(4) == []
    assert bench.statuses[-1][0] == "failed"
    assert bench.device.released == bench.device.opened
    bench.device.pictures = True
    assert bench.read(12)


def test_reading_never_blocks_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench(monkeypatch)
    bench.device.plugged = False
    for _ in range(10):
        before_ns = bench.clock.now_ns()
        bench.node.read()
        assert bench.clock.now_ns() - before_ns <= NS


def test_closing_gives_the_camera_back(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench(monkeypatch)
    bench.read(1)
    bench.node.close()
    bench.node.close()
    assert bench.device.released == 1


def test_why_not_names_the_fix(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "linux")
    assert "no camera at /dev/video97; plug one in" in camera.why_not("97")
    assert "busy" in camera.why_not("/dev/null")
    monkeypatch.setattr(sys, "platform", "darwin")
    assert "privacy" in camera.why_not("0")
