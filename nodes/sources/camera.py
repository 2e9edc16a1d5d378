"""Camera: pictures from a device of this machine, stamped at capture; it comes back by itself."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Final

from engine.node import Source
from engine.parameters import parameter
from engine.program import program
from engine.types import VideoFrame
from nodes.sources.retries import Retries

_NS: Final = 1_000_000_000
_REOPEN_NS: Final = _NS
_MEASURE_NS: Final = _NS
_STALE_STAMP_NS: Final = _NS // 2


class Camera(Source):
    """Read a camera. -> video.

    A camera that is missing, busy or pulled out makes the node wait and try again every second.
    The gauge ``input_fps`` holds the measured rate, whatever the camera claims.
    """

    outputs: ClassVar = {"video": VideoFrame}

    @dataclass(frozen=True, kw_only=True, slots=True)
    class Config:
        device: str = parameter("0", "its number, or its path as /dev/video0", live=False)
        width_px: int = parameter(640, "asked for", low=16, high=7680, unit="px", live=False)
        height_px: int = parameter(480, "asked for", low=16, high=4320, unit="px", live=False)
        rate_hz: float = parameter(30.0, "asked for", low=1, high=240, unit="Hz", live=False)

    _capture: Any = None

    def setup(self) -> None:
        self._retries = Retries(self.context.clock, _REOPEN_NS)
        self._cut = True
        self._restart_count(0)
        self._last_ns = 0

    def read(self) -> VideoFrame | None:
        clock = self.context.clock
        if self._capture is None:
            if not self._retries.due():
                return None
            if not self._open():
                self._retries.failed()
                return None
        taken, pixels = self._capture.read()
        now_ns = clock.now_ns()
        if not taken or pixels is None:
            self._lose()
            self._retries.failed()
            return None
        capture_ns = max(self._stamp_ns(now_ns), self._last_ns + 1)
        self._last_ns = capture_ns
        self._measure(now_ns)
        cut, self._cut = self._cut, False
        pixels.flags.writeable = False
        return VideoFrame(capture_ns=capture_ns, pixels=pixels, pts=capture_ns, cut=cut)

    def close(self) -> None:
        capture, self._capture = self._capture, None
        if capture is not None:
            capture.release()

    def _open(self) -> bool:
        config = self.config
        capture = open_camera(config.device, config.width_px, config.height_px, config.rate_hz)
        if capture is None:
            self.context.status("failed", why_not(config.device))
            return False
        self._capture = capture
        self._cut = True
        self._restart_count(self.context.clock.now_ns())
        self.context.status("ok", "")
        return True

    def _lose(self) -> None:
        self.close()
        self.context.count("lost", 1)
        self.context.status(
            "failed", f"camera {self.config.device} stopped; plug it in again, it is awaited"
        )

    def _stamp_ns(self, now_ns: int) -> int:
        """When the driver took the picture, where it says so on our clock; else now."""
        import cv2

        driver_ns = int(self._capture.get(cv2.CAP_PROP_POS_MSEC) * 1e6)
        return driver_ns if 0 <= now_ns - driver_ns < _STALE_STAMP_NS else now_ns

    def _restart_count(self, now_ns: int) -> None:
        self._since_ns, self._frames, self._slow = now_ns, -1, False

    def _measure(self, now_ns: int) -> None:
        self._frames += 1
        if self._frames == 0:
            self._since_ns = now_ns
            return
        passed_ns = now_ns - self._since_ns
        if passed_ns < _MEASURE_NS:
            return
        fps = self._frames * _NS / passed_ns
        self.context.gauge("input_fps", round(fps, 1))
        slow = fps < 0.8 * self.config.rate_hz
        if slow:
            text = f"the camera gives {fps:.0f} fps, not {self.config.rate_hz:.0f}; more light?"
            self.context.status("degraded", text)
        elif self._slow:
            self.context.status("ok", "")
        self._slow = slow
        self._since_ns, self._frames = now_ns, 0


def open_camera(device: str, width_px: int, height_px: int, rate_hz: float) -> Any | None:
    """A capture that has delivered a picture in the mode nearest to what was asked, or None."""
    os.environ.setdefault("OPENCV_VIDEOIO_V4L_SELECT_TIMEOUT", "1")
    import cv2

    quiet = cv2.utils.logging
    level = quiet.getLogLevel()
    quiet.setLogLevel(quiet.LOG_LEVEL_SILENT)
    try:
        name: Any = int(device) if device.isdigit() else device
        backend = {"linux": cv2.CAP_V4L2, "darwin": cv2.CAP_AVFOUNDATION}.get(
            sys.platform, cv2.CAP_DSHOW
        )
        capture = cv2.VideoCapture(name, backend)
        if not capture.isOpened():
            capture.release()
            return None
        # MJPG first: uncompressed modes are slow over USB beyond 640x480.
        capture.set(cv2.CAP_PROP_FOURCC, cv2.VideoWriter.fourcc(*"MJPG"))
        capture.set(cv2.CAP_PROP_FRAME_WIDTH, width_px)
        capture.set(cv2.CAP_PROP_FRAME_HEIGHT, height_px)
        capture.set(cv2.CAP_PROP_FPS, rate_hz)
        capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)
        taken, _ = capture.read()
        if not taken:
            capture.release()
            return None
        return capture
    finally:
        quiet.setLogLevel(level)


def why_not(device: str) -> str:
    """Why a camera doesn't open, in words that say what to do."""
    if sys.platform != "linux":
        return (
            f"camera {device} does not open; close other programs that use it and allow the "
            "camera in the system's privacy settings"
        )
    path = Path(f"/dev/video{device}" if device.isdigit() else device)
    if not path.exists():
        return f"no camera at {path}; plug one in ({program()} devices lists them)"
    if not os.access(path, os.R_OK | os.W_OK):
        return f"no permission for {path}; add yourself to the group video and log in again"
    return f"camera {path} is busy or has no pictures; close other programs that use it"
