"""The person's own picture, moved by their voice, while no pictures come from the camera."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from engine.parameters import parameter
from engine.types import Input, Latest, Message, VideoFrame
from face.types import FaceRig
from nodes.face.portrait import Portrait


class StandIn(Portrait):
    """video, seen, rig -> video, rig: picture and rig of the camera's face, or, while it is lost, a
    picture that talks and the voice's rig, which moves it."""

    inputs: ClassVar[Mapping[str, Input]] = {
        "video": Latest(VideoFrame),
        "seen": Latest(FaceRig),
        "rig": Latest(FaceRig),
    }
    outputs: ClassVar[Mapping[str, type[Message]]] = {"video": VideoFrame, "rig": FaceRig}

    @dataclass(frozen=True, kw_only=True, slots=True)
    class Config(Portrait.Config):
        after_ms: float = parameter(
            700.0, "so long after the camera's last picture", low=100.0, high=10_000.0, unit="ms"
        )

    config: Config

    def setup(self) -> None:
        super().setup()
        self._last_ns: int | None = None
        self._stands = False

    def on_video(self, frame: VideoFrame) -> dict[str, Message]:
        """The camera is there."""
        self._last_ns = self.context.clock.now_ns()
        if self._stands:
            self._stands = False
            self.context.status("ok", "")
        return {"video": frame}

    def on_seen(self, rig: FaceRig) -> dict[str, Message] | None:
        """The camera's, until it gives way together with the picture."""
        return None if self._stands else {"rig": rig}

    def on_rig(self, rig: FaceRig) -> dict[str, Message] | None:
        """Stand in, where the camera was there and isn't any more."""
        now_ns = self.context.clock.now_ns()
        if self._last_ns is None or now_ns - self._last_ns < self.config.after_ms * 1e6:
            return None
        if not self._stands:
            self._stands = True
            self.context.count("stood_in", 1)
            self.context.status(
                "degraded", f"no pictures come; the picture of {self.config.person} stands in"
            )
        return {"video": self.process(rig), "rig": rig}
