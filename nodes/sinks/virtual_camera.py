"""VirtualCamera: pictures into a camera that other programs see."""

from __future__ import annotations

import importlib.util
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Final

from engine.errors import MienError
from engine.node import Node
from engine.parameters import parameter
from engine.program import extra
from engine.types import U8, Latest, VideoFrame

HOW_TO: Final = {
    "linux": "install v4l2loopback (apt install v4l2loopback-dkms), then run: "
    "sudo modprobe v4l2loopback exclusive_caps=1 card_label=Mien",
    "win32": "install OBS Studio 26 or later (it brings a virtual camera)",
    "darwin": "install OBS Studio 30 or later, open it and start its virtual camera once",
}


class VirtualCamera(Node):
    """Show the stream as a camera in video calls. video -> the system's virtual camera.

    Its size is that of the first picture; later ones of another size are fitted into it.
    """

    inputs: ClassVar = {"video": Latest(VideoFrame)}
    runs = "thread"

    @dataclass(frozen=True, kw_only=True, slots=True)
    class Config:
        device: str = parameter("", "which one, as /dev/video4; empty: the first", live=False)
        rate_hz: float = parameter(
            30.0, "frame rate that the camera reports", low=1, high=240, unit="Hz", live=False
        )

    _camera: Any = None

    def setup(self) -> None:
        if (problem := missing(self.config.device)) is not None:
            raise MienError(problem)

    def process(self, video: VideoFrame) -> None:
        """Show one picture."""
        height_px, width_px = video.pixels.shape[:2]
        if self._camera is None:
            # Video calls want even sizes.
            self._camera = self._open(width_px - width_px % 2, height_px - height_px % 2)
        self._camera.send(self._fitted(video.pixels))

    def close(self) -> None:
        camera, self._camera = self._camera, None
        if camera is not None:
            camera.close()

    def _open(self, width_px: int, height_px: int) -> Any:
        import pyvirtualcam

        try:
            camera = pyvirtualcam.Camera(
                width_px,
                height_px,
                self.config.rate_hz,
                fmt=pyvirtualcam.PixelFormat.BGR,
                device=self.config.device or None,
            )
        except RuntimeError as error:
            reason = " ".join(str(error).split())
            raise MienError(f"no virtual camera: {reason}; {how_to()}") from None
        self.context.gauge("backend", f"{camera.backend} {camera.device}")
        return camera

    def _fitted(self, pixels: U8) -> U8:
        width_px, height_px = self._camera.width, self._camera.height
        if pixels.shape[:2] == (height_px, width_px):
            return pixels
        import cv2
        import numpy as np

        scale = min(width_px / pixels.shape[1], height_px / pixels.shape[0])
        wide = min(width_px, round(pixels.shape[1] * scale))
        high = min(height_px, round(pixels.shape[0] * scale))
        left, top = (width_px - wide) // 2, (height_px - high) // 2
        fitted = np.zeros((height_px, width_px, 3), np.uint8)
        fitted[top : top + high, left : left + wide] = cv2.resize(pixels, (wide, high))
        return fitted


def how_to() -> str:
    """How this system gets a virtual camera."""
    return HOW_TO.get(sys.platform, HOW_TO["linux"])


def missing(device: str = "") -> str | None:
    """Why there is no virtual camera here, in one line, or None. Changes nothing."""
    if importlib.util.find_spec("pyvirtualcam") is None:
        return (
            f"the virtual camera needs pyvirtualcam (GPL-2, so not part of Mien): {extra('camera')}"
        )
    if sys.platform != "linux":
        return None  # only opening one tells
    if device:
        return None if Path(device).exists() else f"no virtual camera at {device}; {how_to()}"
    if loopbacks():
        return None
    return f"this system has no virtual camera; {how_to()}"


def loopbacks() -> list[str]:
    """The v4l2loopback devices of a Linux system, as paths."""
    folder = Path("/sys/devices/virtual/video4linux")
    return sorted(f"/dev/{item.name}" for item in folder.glob("video*"))
