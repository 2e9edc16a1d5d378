"""The person's own picture, moved by their voice, while no pictures come from the camera."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Final

from engine.parameters import parameter
from engine.types import Input, Latest, VideoFrame
from face.types import FaceRig
from nodes.face.portrait import Portrait

STARTS_NS: Final = 3_000_000_000
"""so long a camera may take for its first picture"""


class StandIn(Portrait):
    """video, rig -> video: the camera's picture, or, while none comes, one that talks."""

    inputs: ClassVar[Mapping[str, Input]] = {"video": Latest(VideoFrame), "rig": Latest(FaceRig)}

    @dataclass(frozen=True, kw_only=True, slots=True)
    class Config(Portrait.Config):
        after_ms: float = parameter(
            700.0, "how long after the camera's last picture", low=100.0, high=10_000.0, unit="ms"
        )

    config: Config

    def setup(self) -> None:
        super().setup()
        self._due_ns: int | None = None
        self._stands = False

    def on_video(self, frame: VideoFrame) -> VideoFrame:
        """The camera is there."""
        self._due_ns = self.context.clock.now_ns() + round(self.config.after_ms * 1e6)
        if self._stands:
            self._stands = False
            self.context.status("ok", "")
        return frame

    def on_rig(self, rig: FaceRig) -> VideoFrame | None:
        """Stand in, where the camera isn't there."""
        now_ns = self.context.clock.now_ns()
        if self._due_ns is None:
            self._due_ns = now_ns + STARTS_NS
        if now_ns < self._due_ns:
            return None
        if not self._stands:
            self._stands = True
            self.context.count("stood_in", 1)
            self.context.status(
                "degraded", f"no pictures come; the picture of {self.config.person} stands in"
            )
        return self.process(rig)
