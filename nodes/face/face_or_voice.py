"""The camera's face while one is seen, else the voice's: an avatar goes on while the camera is
lost."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from engine.parameters import parameter
from engine.types import AudioFrame, Input, Latest
from face import rotations
from face.types import FaceRig
from nodes.face.voice_face import VoiceFace


class FaceOrVoice(VoiceFace):
    """seen, audio, voice, reference -> rig: ``seen``, the camera's, or, while that shows no face or
    doesn't come, the voice's; from one to the other without a jump.

    While a face is seen, nothing is computed of the sound.
    """

    inputs: ClassVar[Mapping[str, Input]] = {"seen": Latest(FaceRig), **VoiceFace.inputs}

    @dataclass(frozen=True, kw_only=True, slots=True)
    class Config(VoiceFace.Config):
        after_ms: float = parameter(
            700.0, "how long after the camera's last face the voice takes over",
            low=100.0, high=10_000.0, unit="ms",
        )  # fmt: skip
        hand_over_ms: float = parameter(
            300.0,
            "how long the change between face and voice takes",
            low=0.0,
            high=2000.0,
            unit="ms",
        )

    config: Config

    def setup(self) -> None:
        super().setup()
        self._seen_ns: int | None = None
        self._speaks = False  # the rig that was sent last is the voice's
        self._last: FaceRig | None = None
        self._left: FaceRig | None = None
        self._left_ns = 0

    def on_seen(self, rig: FaceRig) -> FaceRig | None:
        """The camera's; of a face that is lost it isn't known any more once the voice has it."""
        if not rig.found:
            return None if self._speaks else rig
        self._seen_ns = self.context.clock.now_ns()
        return self._handed(rig, speaks=False)

    def process(self, audio: AudioFrame) -> Iterator[FaceRig]:
        now_ns = self.context.clock.now_ns()
        if self._seen_ns is not None and now_ns - self._seen_ns < self.config.after_ms * 1e6:
            self._listen_anew()
            return
        for rig in super().process(audio):
            yield self._handed(rig, speaks=True)

    def _handed(self, rig: FaceRig, speaks: bool) -> FaceRig:
        """It, or on the way to it from where the other one left the face."""
        now_ns = self.context.clock.now_ns()
        if speaks is not self._speaks:
            self._speaks = speaks
            self._left, self._left_ns = self._last, now_ns
            self.context.count("handed_over", 1)
        passed_ms = (now_ns - self._left_ns) / 1e6
        if self._left is not None and passed_ms < self.config.hand_over_ms:
            share = passed_ms / self.config.hand_over_ms
            rig = between(self._left, rig, share * share * (3 - 2 * share))
        self._last = rig
        return rig


def between(one: FaceRig, other: FaceRig, share: float) -> FaceRig:
    """The face that is the share 0..1 of the way from one to the other, at the other's moment."""
    part = np.float32(share)
    pose = one.pose + part * (other.pose - one.pose)
    turn = other.pose[:3, :3] @ one.pose[:3, :3].T
    pose[:3, :3] = rotations.power(turn, share) @ one.pose[:3, :3]
    return replace(
        other,
        pose=pose.astype(np.float32),
        blendshapes=one.blendshapes + part * (other.blendshapes - one.blendshapes),
        expression=one.expression + part * (other.expression - one.expression),
        spoken=one.spoken + part * (other.spoken - one.spoken),
    )
