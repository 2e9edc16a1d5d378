"""A face for tests: scikit-image's astronaut (NASA, public domain), and what is made of it."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from skimage import data

from engine.types import U8, FaceTrack, VideoFrame
from nodes.assets import FACE_LANDMARKER, locate
from nodes.landmarker import Landmarker

FRAME_NS = 33_333_333


@lru_cache(maxsize=1)
def astronaut() -> U8:
    """BGR [512, 512, 3], one smiling face about 110 px wide."""
    pixels: U8 = np.ascontiguousarray(data.astronaut()[..., ::-1])  # type: ignore[no-untyped-call]  # no types
    pixels.flags.writeable = False
    return pixels


@lru_cache(maxsize=1)
def landmarker() -> Landmarker:
    return Landmarker(locate(FACE_LANDMARKER))


def frame(pixels: U8, index: int = 0, *, cut: bool = False) -> VideoFrame:
    return VideoFrame(capture_ns=(index + 1) * FRAME_NS, pixels=pixels, cut=cut, pts=index)


def no_face(capture_ns: int = FRAME_NS) -> FaceTrack:
    return FaceTrack(
        capture_ns=capture_ns,
        found=False,
        landmarks=np.zeros((478, 3), np.float32),
        blendshapes=np.zeros(52, np.float32),
        pose=np.zeros((4, 4), np.float32),
    )
