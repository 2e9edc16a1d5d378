"""The baseline: the camera's pixels moved as the rig says, and nothing else."""

from __future__ import annotations

from pathlib import Path

from engine.types import F32, U8
from face.expression.retargeting import Retargeting
from face.landmarker import Blendshapes
from face.render.eyes import keep_eyes
from face.render.warp import apply_flow, dense_flow
from face.rig import Placement, Rig
from face.types import FaceEdit


class Warped:
    """A warp that is corrected until the tracker would see the shapes that were asked for."""

    def __init__(self, rig: Rig, landmarker: Path) -> None:
        self._rig = rig
        self._retargeting = Retargeting(rig, Blendshapes(landmarker))

    def reset(self) -> None:
        """Another picture, or another face."""
        self._retargeting.reset()

    def render(
        self,
        picture: U8,
        landmarks: F32,
        placement: Placement,
        edit: FaceEdit,
        strength: float = 1.0,
        out: U8 | None = None,
    ) -> U8:
        """The picture [H, W, 3] with the face in the shapes that were asked for, as far as moving
        brings them."""
        displacements = self._retargeting.displacements(
            landmarks, edit.source, edit.target, placement, strength
        )
        height, width = picture.shape[:2]
        flow = dense_flow(landmarks, displacements, self._rig.triangles, width, height)
        if flow is None:
            return picture
        warped = apply_flow(picture, flow, out)
        keep_eyes(warped, picture, landmarks, landmarks[:, :2] + displacements)
        return warped
