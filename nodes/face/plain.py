"""A plain picture in step with a face that is shown elsewhere, as a 3D avatar is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from engine.node import Node
from engine.types import Input, Latest, Message, VideoFrame
from face.types import FaceRig

SIZE_PX = (180, 320)
GREY = 40


class Plain(Node):
    """rig -> video: grey pictures, one for each rig, so that viewers, sound and figures go on."""

    inputs: ClassVar[Mapping[str, Input]] = {"rig": Latest(FaceRig)}
    outputs: ClassVar[Mapping[str, type[Message]]] = {"video": VideoFrame}

    def process(self, rig: FaceRig) -> VideoFrame:
        pixels = self.context.allocate("video", (*SIZE_PX, 3))
        pixels.fill(GREY)
        return VideoFrame(capture_ns=rig.capture_ns, pixels=pixels, pts=rig.capture_ns)
