"""Made pictures as a clip: the live path's tracker looks at them, a crop that pairs share."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from engine.errors import MienError
from engine.types import F32, U8, VideoFrame
from face.crop import CROP_PX, crop_transform
from face.rig import load_rig
from face.types import FaceTrack
from training.data.clip import STEP_NS
from training.data.track import LEAST_FOUND, in_crop, tracker_of

_BELL = np.array([1, 2, 3, 2, 1]) / 9


class Watcher:
    """The live path's tracker, kept for one clip after another."""

    def __init__(self, landmarker: str = "") -> None:
        self._tracker = tracker_of(landmarker)
        self._rig = load_rig()

    def close(self) -> None:
        self._tracker.close()

    def follow(self, pictures: Sequence[U8]) -> list[FaceTrack]:
        """The face in each of a clip's pictures [H, W, 3] BGR."""
        self._tracker.reset()
        return [
            self._tracker.process(VideoFrame(capture_ns=index * STEP_NS, pixels=pixels))
            for index, pixels in enumerate(pictures)
        ]

    def framing(self, tracks: Sequence[FaceTrack]) -> F32:
        """Picture -> crop [T, 2, 3] px, steady over time. Raises MienError without a face."""
        found = [index for index, track in enumerate(tracks) if track.found]
        if len(found) < LEAST_FOUND * len(tracks):
            raise MienError(f"the tracker finds {len(found)} faces in {len(tracks)} pictures")
        keys = []
        for index in found:
            raw = crop_transform(self._rig.place(tracks[index].landmarks))
            middle = np.linalg.solve(raw[:, :2], np.full(2, CROP_PX / 2) - raw[:, 2])
            scale = float(np.hypot(raw[0, 0], raw[0, 1]))
            keys.append([*middle, np.log(scale), np.arctan2(raw[0, 1], raw[0, 0])])
        every = np.arange(len(tracks))
        columns = [np.interp(every, found, column) for column in np.array(keys).T]
        steady = [np.convolve(np.pad(c, 2, mode="edge"), _BELL, mode="valid") for c in columns]
        out = np.empty((len(tracks), 2, 3), np.float32)
        for t, (x, y, log_scale, angle) in enumerate(zip(*steady, strict=True)):
            cos, sin = np.cos(angle) * np.exp(log_scale), np.sin(angle) * np.exp(log_scale)
            turn = np.array([[cos, sin], [-sin, cos]])
            out[t] = np.column_stack([turn, CROP_PX / 2 - turn @ [x, y]])
        return out

    def cut(
        self, pictures: Sequence[U8], tracks: Sequence[FaceTrack], framing: F32
    ) -> tuple[list[U8], list[FaceTrack]]:
        """Crops [256, 256, 3] RGB, and the tracks in the crops' pixels."""
        made = [in_crop(*row) for row in zip(pictures, tracks, framing, strict=True)]
        return [pixels for pixels, _ in made], [track for _, track in made]
