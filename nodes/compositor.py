"""Give the face the shapes that were asked for, by moving the person's own pixels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from engine.node import Node
from engine.parameters import parameter
from engine.types import U8, FaceEdit, FaceTrack, Input, Latest, Message, VideoFrame
from nodes.assets import FACE_LANDMARKER, locate
from nodes.drive import Drive
from nodes.landmarker import Landmarker
from nodes.rig import load_rig
from nodes.warp import apply_flow, dense_flow


class Compositor(Node):
    """Warp the face. frame, face, edit -> video; the picture passes untouched without an edit."""

    inputs: ClassVar[Mapping[str, Input]] = {
        "frame": Latest(VideoFrame),
        "face": Latest(FaceTrack),
        "edit": Latest(FaceEdit),
    }
    outputs: ClassVar[Mapping[str, type[Message]]] = {"video": VideoFrame}

    @dataclass(frozen=True, kw_only=True, slots=True)
    class Config:
        strength: float = parameter(
            1.0, "how far the face moves towards what is asked", low=0.0, high=1.5
        )
        landmarker: str = parameter(
            "", "path of face_landmarker.task; empty: the cache, fetched once", live=False
        )

    config: Config

    def setup(self) -> None:
        self._rig = load_rig()
        landmarker = Landmarker(locate(FACE_LANDMARKER, self.config.landmarker))
        self._drive = Drive(self._rig, landmarker.blendshapes)

    def reset(self) -> None:
        self._drive.reset()

    def process(self, frame: VideoFrame, face: FaceTrack, edit: FaceEdit) -> VideoFrame:
        if frame.cut or face.cut or not face.found:
            self._drive.reset()
        if not (edit.active and face.found):
            return frame
        pixels = self._moved(frame.pixels, face, edit)
        if pixels is frame.pixels:
            return frame
        return VideoFrame(
            capture_ns=frame.capture_ns,
            pixels=pixels,
            pts=frame.pts,
            time_base=frame.time_base,
            cut=frame.cut,
            name=frame.name,
        )

    def _moved(self, pixels: U8, face: FaceTrack, edit: FaceEdit) -> U8:
        if np.array_equal(edit.target, edit.source):
            return pixels
        placement = self._rig.place(face.landmarks)
        moves = self._drive.moves(
            face.landmarks, edit.source, edit.target, placement, self.config.strength
        )
        height, width = pixels.shape[:2]
        flow = dense_flow(face.landmarks, moves, self._rig.triangles, width, height)
        return pixels if flow is None else apply_flow(pixels, flow)
