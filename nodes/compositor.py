"""Give the face the shapes that were asked for, by moving the person's own pixels, and painting
with the generator what can't be moved."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np

from engine.errors import MienError
from engine.node import Node
from engine.parameters import parameter
from engine.types import U8, Affect, FaceEdit, FaceTrack, Input, Latest, Message, VideoFrame
from nodes.assets import FACE_LANDMARKER, locate
from nodes.drive import Drive
from nodes.eyes import keep_eyes
from nodes.landmarker import Landmarker
from nodes.rig import load_rig
from nodes.warp import apply_flow, dense_flow

if TYPE_CHECKING:
    from nodes.learned_face import LearnedFace

WARP = "warp (OpenCV, CPU)"


class Compositor(Node):
    """Change the face. frame, face, edit -> video; the picture passes untouched without an edit.

    feeling (of face and voice together) tells the generator which frames show somebody calm.
    """

    inputs: ClassVar[Mapping[str, Input]] = {
        "frame": Latest(VideoFrame),
        "face": Latest(FaceTrack),
        "edit": Latest(FaceEdit),
        "feeling": Latest(Affect, optional=True),
    }
    outputs: ClassVar[Mapping[str, type[Message]]] = {"video": VideoFrame}

    @dataclass(frozen=True, kw_only=True, slots=True)
    class Config:
        renderer: Literal["auto", "learned", "warp"] = parameter(
            "auto",
            "auto: the learned generator, or the warp where its weights are missing; "
            "learned: nothing else will do; warp: only move pixels",
        )
        strength: float = parameter(
            1.0, "how far the face moves towards what is asked", low=0.0, high=1.5
        )
        correction: float = parameter(
            0.3,
            "how much of the generator's correction of the warp is done where a face changes much: "
            "more takes more of a feeling away, less keeps more of the likeness",
            low=0.0,
            high=1.0,
        )
        shading: float = parameter(
            1.0,
            "how deeply the skin is shaded by the feelings that the face wears, as wrinkles do it",
            low=0.0,
            high=2.0,
        )
        every: int = parameter(
            1,
            "ask the generator about every n-th picture; what it says of a face holds in between",
            low=1,
            high=10,
        )
        backend: Literal["auto", "tensorrt", "openvino", "onnxruntime"] = parameter(
            "auto", "what runs the networks; auto: the best that is here", live=False
        )
        threads: int = parameter(2, "compute threads of the networks", low=1, high=16, live=False)
        weights: str = parameter(
            "", "folder of the networks; empty: $MIEN_WEIGHTS, else those that ship", live=False
        )
        landmarker: str = parameter(
            "", "path of face_landmarker.task; empty: the cache, fetched once", live=False
        )

    aside: ClassVar[bool] = False
    """whether pictures go on while the generator is asked"""

    config: Config
    _learned: LearnedFace | None = None
    _felt = 0.0

    def setup(self) -> None:
        self._rig = load_rig()
        landmarker = Landmarker(locate(FACE_LANDMARKER, self.config.landmarker))
        self._drive = Drive(self._rig, landmarker.blendshapes)
        self._choose(self.config)

    def reconfigure(self, config: Config) -> None:
        if config.renderer != self.config.renderer:
            self._choose(config)
        super().reconfigure(config)

    def reset(self) -> None:
        self._drive.reset()
        if self._learned is not None:
            self._learned.reset()

    def close(self) -> None:
        self._drop()

    def on_feeling(self, message: Affect) -> None:
        """Kept until the next picture."""
        self._felt = message.intensity

    def process(self, frame: VideoFrame, face: FaceTrack, edit: FaceEdit) -> VideoFrame:
        if frame.cut or face.cut or not face.found:
            self.reset()
        if not (edit.active and face.found):
            return frame
        pixels = self._changed(frame.pixels, face, edit)
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
        """Load the generator, or not. Raises MienError where nothing else will do."""
        if config.renderer == "warp":
            self._drop()
            self.context.gauge("backend", WARP)
            self.context.status("ok", "")
            return
        if self._learned is not None:
            return
        from nodes.learned_face import LearnedFace

        try:
            self._learned = LearnedFace(
                self._rig,
                config.weights,
                self.context,
                config.backend,
                config.threads,
                self.aside,
            )
        except MienError as error:
            if config.renderer == "learned":
                raise
            self._fall_back(str(error))

    def _fall_back(self, why: str) -> None:
        self._drop()
        self.context.gauge("backend", WARP)
        self.context.status("degraded", f"{why}; the face is warped instead")

    def _drop(self) -> None:
        if self._learned is not None:
            self._learned.close()
            self._learned = None

    def _changed(self, pixels: U8, face: FaceTrack, edit: FaceEdit) -> U8:
        if np.array_equal(edit.target, edit.source):
            return pixels
        placement = self._rig.place(face.landmarks)
        moves = self._drive.moves(
            face.landmarks,
            edit.source,
            edit.target,
            placement,
            self.config.strength,
            opens=self._learned is not None,
        )
        if self._learned is not None:
            out = self.context.allocate("video", pixels.shape)
            try:
                return self._learned.render(
                    pixels,
                    face.landmarks,
                    moves,
                    placement,
                    edit,
                    self._felt,
                    self.config.strength,
                    self.config.correction,
                    self.config.shading,
                    self.config.every,
                    out,
                )
            except RuntimeError as error:  # what runtimes raise: a driver that went away, no memory
                line = " ".join(str(error).split())[:160]
                self._fall_back(f"the generator failed ({line})")
        height, width = pixels.shape[:2]
        flow = dense_flow(face.landmarks, moves, self._rig.triangles, width, height)
        if flow is None:
            return pixels
        warped = apply_flow(pixels, flow, self.context.allocate("video", pixels.shape))
        keep_eyes(warped, pixels, face.landmarks, face.landmarks[:, :2] + moves)
        return warped


class CompositorAside(Compositor):
    """The same in a thread of its own, so that the next picture is tracked meanwhile; what the
    generator says comes a picture later."""

    aside: ClassVar[bool] = True

    runs: ClassVar[Literal["lane", "thread", "loop"]] = "thread"
    paces: ClassVar[bool] = True
