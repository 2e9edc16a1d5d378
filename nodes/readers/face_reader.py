"""Read what a face feels, picture by picture, with the visual encoder; never looking ahead."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

from engine.node import Node
from engine.parameters import parameter
from engine.types import F32, Input, Latest, Message, VideoFrame
from face.affect.answers import ANSWERS, from_network, unknown
from face.rig import load_rig
from face.steady_crop import SteadyCrop, cut_out, to_tensor
from face.types import Affect, FaceTrack
from inference.weights import open_or_report
from nodes import parameters

if TYPE_CHECKING:
    from inference.model import Model


class FaceReader(Node):
    """frame, face -> affect: emotion, valence-arousal and intensity of every picture.

    What it remembers of a face is forgotten at a cut and when the face is lost. Without its weight
    it says so once, and knows nothing.
    """

    inputs: ClassVar[Mapping[str, Input]] = {"frame": Latest(VideoFrame), "face": Latest(FaceTrack)}
    outputs: ClassVar[Mapping[str, type[Message]]] = {"affect": Affect}

    @dataclass(frozen=True, kw_only=True, slots=True)
    class Config:
        every: int = parameter(
            1, "read every n-th picture; in between the last answer is used", low=1, high=10
        )
        threads: int = parameters.threads(1)
        weights: str = parameters.weights()

    config: Config
    _model: Model | None = None

    def setup(self) -> None:
        self._rig = load_rig()
        self._crop = SteadyCrop()
        self._model = open_or_report(
            "visual",
            self.config.weights,
            self.context,
            "what a face feels isn't read",
            inputs=("crop", "rig", "state"),
            outputs=ANSWERS,
            threads=self.config.threads,
        )
        self.reset()

    def reset(self) -> None:
        self._crop.reset()
        self._state: dict[str, F32] = self._model.begin() if self._model is not None else {}
        self._last_ns: int | None = None
        self._last: Affect | None = None
        self._unseen = 0

    def process(self, frame: VideoFrame, face: FaceTrack) -> Affect:
        if frame.cut or face.cut or not face.found:
            self.reset()
        if self._model is None or not face.found:
            return unknown("face", frame.capture_ns)
        self._unseen += 1
        if self._last is not None and self._unseen < self.config.every:
            return replace(self._last, capture_ns=frame.capture_ns)
        self._unseen = 0
        step_s = 0.0 if self._last_ns is None else (frame.capture_ns - self._last_ns) / 1e9
        self._last_ns = frame.capture_ns
        transform = self._crop(self._rig.place(face.landmarks), step_s)
        side_px = next(t.shape[-1] for t in self._model.card.inputs if t.name == "crop")
        answer = self._model(
            crop=to_tensor(cut_out(frame.pixels, transform), side_px),
            rig=face.blendshapes[None],
            **self._state,
        )
        self._state = self._model.carry(answer)
        self._last = from_network(answer, "face", frame.capture_ns)
        return self._last

    def close(self) -> None:
        if self._model is not None:
            self._model.close()
            self._model = None
