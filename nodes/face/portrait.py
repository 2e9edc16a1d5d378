"""A photograph, or a painting, that speaks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Final, Literal

import numpy as np

from engine.errors import MienError, UsageError
from engine.node import Context, Node
from engine.parameters import parameter
from engine.types import U8, Input, Latest, Message, VideoFrame
from face.render.badge import put_badge
from face.types import FaceRig, FaceTrack
from nodes import parameters

if TYPE_CHECKING:
    from face.render.actor import Actor
    from face.render.portrait import Portrait as Drawing

MOST: Final = 64
"""pictures to choose from"""
MIN_FACE_PX: Final = 48
MAX_TURN_DEG: Final = 42.0


class Portrait(Node):
    """Make a still picture talk. rig -> video; its person's face as the rig says."""

    inputs: ClassVar[Mapping[str, Input]] = {"rig": Latest(FaceRig)}
    outputs: ClassVar[Mapping[str, type[Message]]] = {"video": VideoFrame}

    @dataclass(frozen=True, kw_only=True, slots=True)
    class Config:
        path: str = parameter(
            "", "the picture: one face, turned to the camera; empty: the person's own", live=False
        )
        others: str = parameter("", "more pictures to choose from, one a line", live=False)
        shown: int = parameter(
            0, "which of them talks, counted from 0, the first", low=0, high=MOST - 1, kept=False
        )
        longest_px: int = parameter(
            720, "its longer side at most, as it is shown", low=64, high=4096, unit="px", live=False
        )
        person: str = parameter(
            "", "the enrolled person that it shows, whose own faces are used", live=False
        )
        neutralize: float = parameter(
            0.4,
            "share of the picture's own expression that is taken away while no other is worn",
            low=0.0,
            high=1.0,
            live=False,
        )
        still_first: bool = parameter(
            False, "show the picture as it is until a voice is heard", live=False
        )
        badge: bool = parameter(False, "a small mark in the corner says that the face is generated")
        backend: Literal["auto", "tensorrt", "openvino", "onnxruntime"] = parameter(
            "auto", "what runs the skin network; auto: the best that is here", live=False
        )
        threads: int = parameters.threads(2)
        weights: str = parameters.weights()
        landmarker: str = parameters.landmarker()

    config: Config
    _actor: Actor | None = None

    def setup(self) -> None:
        from face.render.actor import Actor
        from face.rig import load_rig

        self._paths = [self.config.path, *filter(None, self.config.others.split("\n"))]
        if len(self._paths) > MOST:
            raise UsageError(f"{len(self._paths)} portraits: {MOST} at most")
        self._known: dict[int, tuple[U8, Drawing]] = {}
        self._actor = Actor(
            load_rig(),
            self.context,
            weights=self.config.weights,
            person=self.config.person,
            backend=self.config.backend,
            threads=self.config.threads,
        )
        self._show(self.config.shown)
        if len(self._paths) > 1:
            self.context.gauge("portraits", "\n".join(Path(path).stem for path in self._paths))
        if self.config.still_first:
            now_ns = self.context.clock.now_ns()
            self.context.emit(
                "video", VideoFrame(capture_ns=now_ns, pixels=self._still, pts=now_ns)
            )

    def reconfigure(self, config: Config) -> None:
        if config.shown != self.config.shown:
            self._show(config.shown)
        super().reconfigure(config)

    def _show(self, number: int) -> None:
        """Let another of the pictures talk; one that can't changes nothing. Raises MienError."""
        if number >= len(self._paths):
            raise UsageError(f"there are {len(self._paths)} portraits; none has number {number}")
        if number not in self._known:
            self._known[number] = self._prepared(self._paths[number])
        self._still, self._drawing = self._known[number]

    def _prepared(self, path: str) -> tuple[U8, Drawing]:
        """A picture, and what draws its face. Raises MienError."""
        from face.render.request import Request
        from face.rig import load_rig

        assert self._actor is not None
        picture = self._picture(path)
        face = self._find(picture, path)
        request = Request(
            picture=picture,
            landmarks=face.landmarks,
            placement=load_rig().place(face.landmarks),
            rig=face.blendshapes,
            removed=self.config.neutralize,
        )
        return picture, self._actor.portrait(request)

    def process(self, rig: FaceRig) -> VideoFrame:
        pixels = self.context.allocate("video", self._still.shape)
        if rig.found:
            pixels = self._drawing.draw(rig.spoken, rig.expression, rig.pose[:3, :3], pixels)
        else:
            np.copyto(pixels, self._still)
        if self.config.badge:
            put_badge(pixels)
        return VideoFrame(capture_ns=rig.capture_ns, pixels=pixels, pts=rig.capture_ns)

    def close(self) -> None:
        if self._actor is not None:
            self._actor.close()
            self._actor = None

    def _picture(self, path: str) -> U8:
        """The still: a file's, or the person's own. Raises MienError."""
        if path:
            return read(Path(path), self.config.longest_px)
        if not self.config.person:
            raise UsageError("a portrait needs a picture: set its path, or a person")
        from face.render import person_file

        still = person_file.load(person_file.place_of(self.config.person)).still
        if still is None:
            raise MienError(
                f"no picture of {self.config.person} is kept, calm and from the front; enrol them "
                "again, or name one with --portrait"
            )
        return fitted(still.picture, self.config.longest_px)

    def _find(self, picture: U8, path: str) -> FaceTrack:
        """The face of a portrait. Raises MienError where there is none that can talk."""
        from face.expression.speech import head_angles
        from nodes.face.face_tracker import FaceTracker

        tracker = FaceTracker(
            FaceTracker.Config(smoothing=0, landmarker=self.config.landmarker), Context()
        )
        tracker.setup()
        frame = VideoFrame(capture_ns=0, pixels=picture, cut=True, name=path)
        face = tracker.process(frame)
        tracker.close()
        name = Path(path).name or f"the picture of {self.config.person}"
        if not face.found:
            raise MienError(f"no face in {name}: a portrait shows one, turned to the camera")
        wide = float(np.ptp(face.landmarks[:, 0]))
        if wide < MIN_FACE_PX:
            raise MienError(
                f"the face in {name} is {wide:.0f} px wide; it takes {MIN_FACE_PX} or more to talk"
            )
        turn = head_angles(face.pose[:3, :3])
        if np.abs(turn).max() > MAX_TURN_DEG:
            raise MienError(
                f"the face in {name} is turned away by {np.abs(turn).max():.0f} degrees; take a "
                f"picture from the front ({MAX_TURN_DEG:.0f} at most)"
            )
        if face.faces > 1:
            self.context.status("degraded", f"{face.faces} faces in {name}; the largest one talks")
        return face


def read(path: Path, longest_px: int) -> U8:
    """A file's picture, as `fitted`. Raises MienError."""
    from media.image_file import read_picture, srgb

    return fitted(srgb(read_picture(path)).pixels, longest_px)


def fitted(pixels: U8, longest_px: int) -> U8:
    """A picture of ``longest_px`` at most on its longer side, of even width and height."""
    import cv2

    scale = min(1.0, longest_px / max(pixels.shape[:2]))
    height, width = (max(2, 2 * round(side * scale / 2)) for side in pixels.shape[:2])
    if (height, width) == pixels.shape[:2]:
        return pixels
    small = cv2.resize(pixels, (width, height), interpolation=cv2.INTER_AREA)
    return small.astype(np.uint8, copy=False)
