"""The camera's face as a rig: measured, or with the expression that is asked for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import numpy as np

from engine.node import Node
from engine.types import Input, Latest, Message
from face.emotions import FEELING
from face.types import FaceEdit, FaceRig, FaceTrack


class RigOut(Node):
    """face, edit -> rig: the 52 shapes that the edited face has, and its pose."""

    inputs: ClassVar[Mapping[str, Input]] = {"face": Latest(FaceTrack), "edit": Latest(FaceEdit)}
    outputs: ClassVar[Mapping[str, type[Message]]] = {"rig": FaceRig}

    def process(self, face: FaceTrack, edit: FaceEdit) -> FaceRig:
        return FaceRig(
            capture_ns=face.capture_ns,
            found=face.found,
            blendshapes=edit.target if edit.active else face.blendshapes,
            pose=face.pose,
            expression=edit.expression,
            spoken=np.where(FEELING, 0, face.blendshapes).astype(np.float32),
        )
