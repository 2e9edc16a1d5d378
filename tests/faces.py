"""A face for tests: scikit-image's astronaut (NASA, public domain), and what is made of it."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from skimage import data

from engine.node import Context
from engine.types import F32, U8, VideoFrame
from face.landmarker import Landmarker, region_of
from face.rig import Placement, load_rig
from face.types import FaceEdit, FaceTrack
from inference.assets import FACE_LANDMARKER, locate

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


class Seen(NamedTuple):
    """A face as the renderer meets it."""

    pixels: U8
    landmarks: F32
    placement: Placement
    shape: F32
    rig: F32


def seen_face(pixels: U8) -> Seen:
    """The face of a picture, looked at twice as the tracker does."""
    net = landmarker()
    points, _ = net.landmarks(pixels, net.detect(pixels)[0][0])
    points, _ = net.landmarks(pixels, region_of(points))
    placement = load_rig().place(points)
    return Seen(
        pixels, points, placement, load_rig().face(points, placement), net.blendshapes(points)
    )


@lru_cache(maxsize=1)
def seen_astronaut() -> Seen:
    return seen_face(astronaut())


@lru_cache(maxsize=1)
def calm_astronaut() -> U8:
    """The same face with its smile taken away."""
    from face.render.actor import Actor

    seen = seen_face(astronaut())
    actor = Actor(load_rig(), Context(), threads=1)
    edit = FaceEdit(capture_ns=1, active=True, source=seen.rig, target=seen.rig)
    calm = actor.render(seen.pixels, seen.landmarks, seen.placement, edit, still=True)
    actor.close()
    return calm
