"""Give the face what was asked for: the person's own faces first, real people's where they are
missing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Final, Literal

import numpy as np

from engine.errors import MienError
from engine.node import Node
from engine.parameters import parameter
from engine.types import U8, Input, Latest, Message, VideoFrame
from face.render.badge import put_badge
from face.rig import load_rig
from face.types import EMOTIONS, FaceEdit, FaceTrack
from inference.assets import FACE_LANDMARKER, locate
from nodes import parameters

if TYPE_CHECKING:
    from face.render.actor import Actor
    from face.render.warped import Warped

LABEL_HOLDS_S: Final = 10.0
"""for so long what the face shows is taken from who said it; then whoever said it has gone"""
UNSAY: Final = "unsay"
WARP = "warp (OpenCV, CPU)"


class Compositor(Node):
    """Change the face. frame, face, edit -> video; the picture passes untouched without an edit."""

    inputs: ClassVar[Mapping[str, Input]] = {
        "frame": Latest(VideoFrame),
        "face": Latest(FaceTrack),
        "edit": Latest(FaceEdit),
    }
    outputs: ClassVar[Mapping[str, type[Message]]] = {"video": VideoFrame}

    @dataclass(frozen=True, kw_only=True, slots=True)
    class Config:
        renderer: Literal["auto", "faces", "warp"] = parameter(
            "auto",
            "auto: the person's own faces and real people's, or the warp if weights are missing; "
            "faces: the same, without falling back to the warp; warp: only move pixels",
        )
        strength: float = parameter(
            1.0, "how far the face moves towards the target expression", low=0.0, high=1.5
        )
        remember: bool = parameter(
            True, "remember the person's own faces while they are seen, and use them"
        )
        person: str = parameter(
            "",
            "an enrolled person, whose faces are used: a name, at the start also a path",
            kept=False,
        )
        shows: Literal[
            "read",
            "neutral",
            "angry",
            "contempt",
            "disgusted",
            "fear",
            "happy",
            "sad",
            "surprised",
            "unsay",
        ] = parameter(
            "read",
            "what the face in front of the camera shows: read from the picture, or, for some "
            "seconds, what the person says; unsay: forget what was remembered since they said so",
            kept=False,
        )
        enrol: str = parameter(
            "", "save the remembered faces under this person's name, with their consent",
            kept=False,
        )  # fmt: skip
        every: int = parameter(
            1, "run the skin network for every n-th picture; its answer is used in between",
            low=1, high=10,
        )  # fmt: skip
        beside: bool = parameter(
            False,
            "don't wait for the network; its answer is used one picture later",
            live=False,
        )
        badge: bool = parameter(False, "a small mark in the corner says that the face is generated")
        backend: Literal["auto", "tensorrt", "openvino", "onnxruntime"] = parameter(
            "auto", "what runs the network; auto: the best that is here", live=False
        )
        threads: int = parameters.threads(2)
        weights: str = parameters.weights()
        landmarker: str = parameters.landmarker()

    config: Config
    _actor: Actor | None = None
    _warped: Warped | None = None

    def setup(self) -> None:
        self._rig = load_rig()
        self._last_ns: int | None = None
        self._labelled_s = 0.0
        self._choose(self.config)

    def reconfigure(self, config: Config) -> None:
        if config.enrol and config.enrol != self.config.enrol:
            self._enrol(config.enrol)
        self._labelled_s = 0.0
        if config.shows == UNSAY and config.shows != self.config.shows and self._actor is not None:
            self._actor.unsay()
        if config.person != self.config.person:
            self._check_name(config.person)
        if config.renderer != self.config.renderer:
            self._choose(config)
        elif config.person != self.config.person and self._actor is not None:
            self._actor.expect(config.person)
        super().reconfigure(config)

    def _enrol(self, name: str) -> None:
        """Raises MienError."""
        from face.render.person_file import SUFFIX, names

        if self._actor is None:
            raise MienError("the face is only warped here; nothing of it is remembered")
        if name.endswith(SUFFIX):
            raise MienError(f"{name} can't be a person's name; leave {SUFFIX} out")
        if name in names():
            raise MienError(f"there is somebody called {name} already; forget them first")
        self._actor.enrol(name)

    @staticmethod
    def _check_name(person: str) -> None:
        """Raises MienError where a page, or who else changes a running graph, gives a path."""
        from face.render.person_file import names

        if person and person not in names():
            raise MienError(f"nobody called {person} is enrolled here")

    def reset(self) -> None:
        self._last_ns = None
        for drawing in (self._actor, self._warped):
            if drawing is not None:
                drawing.reset()

    def close(self) -> None:
        if self._actor is not None:
            self._actor.close()
            self._actor = None

    def process(self, frame: VideoFrame, face: FaceTrack, edit: FaceEdit) -> VideoFrame:
        if frame.cut or face.cut or not face.found:
            self.reset()
        pixels = self._changed(frame, face, edit) if face.found else frame.pixels
        if self.config.badge:
            if pixels is frame.pixels:
                pixels = self.context.allocate("video", frame.pixels.shape)
                np.copyto(pixels, frame.pixels)
            put_badge(pixels)
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

    def _choose(self, config: Config) -> None:
        """Load what draws. Raises MienError where nothing else will do."""
        self.close()
        self._warped = None
        if config.renderer == "warp":
            self._use_warp()
            self.context.status("ok", "")
            return
        from face.render.actor import Actor

        try:
            self._actor = Actor(
                self._rig,
                self.context,
                weights=config.weights,
                person=config.person,
                backend=config.backend,
                threads=config.threads,
                beside=self.config.beside,
            )
        except MienError as error:
            if config.renderer == "faces":
                raise
            self._use_warp()
            self.context.status("degraded", f"{error}; the face is warped instead")

    def _use_warp(self) -> None:
        from face.render.warped import Warped

        self._warped = Warped(self._rig, locate(FACE_LANDMARKER, self.config.landmarker))
        self.context.gauge("backend", WARP)

    def _changed(self, frame: VideoFrame, face: FaceTrack, edit: FaceEdit) -> U8:
        step_s = 0.0 if self._last_ns is None else (frame.capture_ns - self._last_ns) / 1e9
        self._last_ns = frame.capture_ns
        placement = self._rig.place(face.landmarks)
        actor = self._actor
        if actor is not None:
            seen = (frame.pixels, face.landmarks, placement, face.blendshapes)
            if frame.name:
                actor.recognize(*seen)
            elif self.config.remember:
                self._labelled_s += step_s
                labelled = self.config.shows in EMOTIONS and self._labelled_s < LABEL_HOLDS_S
                actor.watch(*seen, step_s, self.config.shows if labelled else "")
        if not edit.active:
            return frame.pixels
        if actor is None:
            assert self._warped is not None
            if np.array_equal(edit.target, edit.source):
                return frame.pixels
            out = self.context.allocate("video", frame.pixels.shape)
            return self._warped.render(
                frame.pixels, face.landmarks, placement, edit, self.config.strength, out
            )
        if edit.removed == 0 and not (edit.expression.any() or edit.beyond.any()):
            return frame.pixels
        out = self.context.allocate("video", frame.pixels.shape)
        return actor.render(
            frame.pixels,
            face.landmarks,
            placement,
            edit,
            strength=self.config.strength,
            every=self.config.every,
            still=bool(frame.name),
            step_s=step_s,
            out=out,
        )
