"""Follow one face: landmarks, blendshapes and head pose of every frame."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from engine.node import Node
from engine.parameters import parameter
from engine.types import F32, Input, Latest, Message, VideoFrame
from face.landmarker import MIN_FACE_PX, ROI_SCALE, Landmarker, Region, parts_of, region_of
from face.rig import camera_pose, load_rig
from face.smoothing import OneEuro
from face.topology import LANDMARKS
from face.types import BLENDSHAPES, FaceTrack
from inference.assets import FACE_LANDMARKER, locate
from inference.runtimes import on_cpu
from nodes import parameters

CHECK_S = 0.5
"""how often the whole picture is searched while a face is followed"""
LARGER = 1.35
"""how much larger another face must be to take over"""
TAKE_OVER_CHECKS = 3
"""how many searches in a row it must be so"""
PARTS_PER_SEARCH = 3
"""how many parts of the picture a search of a video looks into for a small face"""
MAX_OUTSIDE = 0.5
"""share of landmarks that may lie outside of the picture"""


class FaceTracker(Node):
    """Follow one face. frame -> 478 landmarks [px], 52 blendshapes [0..1], head pose [4, 4].

    Where several are seen, ``follow`` says which it is, and gauges say where they are: ``faces``,
    how many; ``followed``, which; ``face_box``, where it is; ``other_boxes``, the others, with
    semicolons between. A box is left, top, width and height in shares of the picture.
    """

    inputs: ClassVar[Mapping[str, Input]] = {"frame": Latest(VideoFrame)}
    outputs: ClassVar[Mapping[str, type[Message]]] = {"face": FaceTrack}

    @dataclass(frozen=True, kw_only=True, slots=True)
    class Config:
        min_confidence: float = parameter(
            0.5, "below this the face counts as lost", low=0.0, high=1.0
        )
        follow: Literal["largest", "left", "right", "nearest"] = parameter(
            "largest",
            "of several faces: the largest, the outermost in the camera's picture, or the one that "
            "was followed before, as long as it is there",
        )
        smoothing: float = parameter(
            0.5,
            "how much the landmarks are smoothed over time: 0 not at all, 1 most",
            low=0.0,
            high=1.0,
        )
        search_interval_ms: float = parameter(
            66.0, "pause between searches while no face is seen", low=0.0, high=2000.0, unit="ms"
        )
        threads: int = parameters.threads(1)
        landmarker: str = parameters.landmarker()

    config: Config

    def setup(self) -> None:
        self._rig = load_rig()
        task = locate(FACE_LANDMARKER, self.config.landmarker)
        self._landmarker = Landmarker.take(task, self.config.threads)
        self.context.gauge("backend", f"LiteRT, {on_cpu(self.config.threads)}")
        self._points = OneEuro(1.0, 1.0)
        self._told = False
        self._seen = True
        self._tune()
        self.reset()

    def reconfigure(self, config: Config) -> None:
        if config.follow != self.config.follow:  # what was chosen by hand isn't waited for
            self._anew = True
        super().reconfigure(config)
        self._tune()

    def reset(self) -> None:
        self._region: Region | None = None
        self._checked_ns: int | None = None
        self._last_ns = 0
        self._place: Region | None = None
        self._others: list[Region] = []
        self._faces = 0
        self._rivals = 0
        self._part = -1
        self._anew = False
        self._points.reset()

    def process(self, frame: VideoFrame) -> FaceTrack:
        if frame.cut:
            self.reset()
        now_ns = frame.capture_ns
        jumped = self._region is None
        if self._region is None:
            self._search(frame)
        elif self._due(now_ns, CHECK_S * 1e9) or self._anew:
            jumped = self._check(frame)
        points, confidence = None, 0.0
        if self._region is not None:
            points, confidence = self._follow(frame, refine=jumped)
        self._tell(frame)
        step_s = (now_ns - self._last_ns) / 1e9
        self._last_ns = now_ns
        if points is None:
            return self._lost(frame, confidence)
        if jumped:
            self._points.reset()
        points = self._steady(points, step_s)
        if not self._seen:
            self.context.status("ok", "")
        self._seen = True
        placement = self._rig.place(points)
        height, width = frame.pixels.shape[:2]
        return FaceTrack(
            capture_ns=now_ns,
            found=True,
            landmarks=points,
            blendshapes=self._landmarker.blendshapes(points),
            pose=camera_pose(placement, width, height),
            confidence=confidence,
            faces=max(self._faces, 1),
            cut=frame.cut or jumped,
        )

    def _tune(self) -> None:
        calm = self.config.smoothing
        # In face sizes: 0.5 % of a face per second is noise, a face per second is motion.
        self._points.min_cutoff_hz = 10.0 ** (2.0 - 2.2 * calm)
        self._points.beta = 60.0

    def _due(self, now_ns: int, interval_ns: float) -> bool:
        due = self._checked_ns is None or not 0 <= now_ns - self._checked_ns < interval_ns
        if due:
            self._checked_ns = now_ns
        return due

    def _search(self, frame: VideoFrame) -> None:
        if self._due(frame.capture_ns, self.config.search_interval_ms * 1e6):
            found = self._landmarker.detect(frame.pixels) or self._look_closer(frame)
            self._faces, self._rivals = len(found), 0
            regions = [region for region, _ in found]
            self._region = self._chosen(regions) if regions else None
            self._others = [region for region in regions if region is not self._region]

    def _look_closer(self, frame: VideoFrame) -> list[tuple[Region, float]]:
        """Search parts of the picture for a small face: all of a still, a few of a video's frame.

        The detector sees the picture at 128 px, where a face of a tenth of it is lost.
        """
        parts = parts_of(*frame.pixels.shape[:2])
        count = len(parts) if frame.cut else min(PARTS_PER_SEARCH, len(parts))
        for _ in range(count):
            self._part = (self._part + 1) % len(parts)
            if found := self._landmarker.detect_in(frame.pixels, parts[self._part]):
                return found
        return []

    def _check(self, frame: VideoFrame) -> bool:
        """Count the faces; True where another one has been the one to follow for long enough."""
        found = self._landmarker.detect(frame.pixels)
        assert self._region is not None
        self._others = [region for region, _ in found if region.overlap(self._region) < 0.2]
        self._faces = 1 + len(self._others)
        if self._anew:
            chosen = self._chosen([self._region, *self._others])
        else:
            rivals = [region for region in self._others if self._beats(region, self._region)]
            self._rivals = self._rivals + 1 if rivals else 0
            chosen = self._chosen(rivals) if self._rivals >= TAKE_OVER_CHECKS else self._region
        self._anew = False
        if chosen is self._region:
            return False
        self._others = [self._region, *(other for other in self._others if other is not chosen)]
        self._region, self._rivals = chosen, 0
        return True

    def _beats(self, other: Region, followed: Region) -> bool:
        """Whether another face is the one to follow."""
        match self.config.follow:
            case "largest":
                return other.side > LARGER * followed.side
            case "left":
                return other.x < followed.x
            case "right":
                return other.x > followed.x
        return False

    def _chosen(self, faces: list[Region]) -> Region:
        """The one to follow of faces."""
        place = self._place
        match self.config.follow:
            case "left":
                return min(faces, key=lambda face: face.x)
            case "right":
                return max(faces, key=lambda face: face.x)
            case "nearest" if place is not None:
                return min(faces, key=lambda face: math.hypot(face.x - place.x, face.y - place.y))
        return max(faces, key=lambda face: face.side)

    def _tell(self, frame: VideoFrame) -> None:
        """Say where the faces are while there are several, and when there no longer are."""
        if self._region is None:
            self._others = []
        several = bool(self._others)
        if several:
            self.context.count("several_faces", 1)
        if several or self._told:
            boxes = [_box(face, frame) for face in self._others]
            self.context.gauge("followed", self.config.follow)
            self.context.gauge("faces", self._faces)
            self.context.gauge("face_box", _box(self._region, frame) if several else "")
            self.context.gauge("other_boxes", "; ".join(boxes))
        self._told = several

    def _follow(self, frame: VideoFrame, refine: bool) -> tuple[F32 | None, float]:
        """Landmarks near the last ones; the detector's square is rough, so look twice there."""
        assert self._region is not None
        points, confidence = self._landmarker.landmarks(frame.pixels, self._region)
        if refine and confidence >= self.config.min_confidence:
            points, confidence = self._landmarker.landmarks(frame.pixels, region_of(points))
        if confidence < self.config.min_confidence or not _plausible(points, frame):
            self._region = None
            return None, confidence
        self._region = self._place = region_of(points)
        return points, confidence

    def _steady(self, points: F32, step_s: float) -> F32:
        if self.config.smoothing <= 0:
            return points
        size = float(np.ptp(points[:, :2], axis=0).max())
        return self._points(points, step_s, max(size, 1.0))

    def _lost(self, frame: VideoFrame, confidence: float) -> FaceTrack:
        if self._seen:
            self.context.status("lost", "no face in the picture")
            self.context.count("lost_faces", 1)
        self._seen = False
        self._points.reset()
        return FaceTrack(
            capture_ns=frame.capture_ns,
            found=False,
            landmarks=np.zeros((LANDMARKS, 3), np.float32),
            blendshapes=np.zeros(len(BLENDSHAPES), np.float32),
            pose=np.zeros((4, 4), np.float32),
            confidence=confidence,
            faces=self._faces,
            cut=frame.cut,
        )


def _box(face: Region | None, frame: VideoFrame) -> str:
    """Left, top, width and height of a face's square, in shares of the picture."""
    if face is None:
        return ""
    height, width = frame.pixels.shape[:2]
    side = face.side / ROI_SCALE
    place = (face.x - side / 2) / width, (face.y - side / 2) / height, side / width, side / height
    return " ".join(f"{share:.3f}" for share in place)


def _plausible(points: F32, frame: VideoFrame) -> bool:
    height, width = frame.pixels.shape[:2]
    x, y = points[:, 0], points[:, 1]
    outside = (x < 0) | (y < 0) | (x >= width) | (y >= height)
    return bool(np.ptp(x) >= MIN_FACE_PX and float(outside.mean()) <= MAX_OUTSIDE)
