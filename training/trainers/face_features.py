"""Cached features of faces: each is seen many times in advance, by networks that stay as they are.

Networks of others, which aren't trained, are most of the work of whoever looks at faces. What they
make of randomly changed pictures is kept in the user's cache; a training then takes seconds.
Legend: N views, F backbone features, S shapes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from torch import Tensor, nn

from engine.errors import MienError
from engine.types import F32
from face.emotions import MIRROR
from training.models.face_backbone import FaceBackbone
from training.trainers.cache import cached, compiled, each, key_of
from training.trainers.degradation import degraded_picture
from training.trainers.samples import Array, Augmentation, Clips, Sample, run_of_frames

WORN_EVERY: Final = 3
"""of so many views one is of a poor camera"""
_COLUMNS: Final = ("backbone", "rig", "affect", "intensity", "known", "frame")


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How many views of a still, how many runs of a clip, and how many frames those have."""

    stills: int
    runs: int
    frames: int


@dataclass(frozen=True)
class FaceFeatures:
    """``backbone`` [N, F] and, of each: ``rig`` [N, S], ``affect`` [N, 2],
    ``intensity`` [N, 1], ``known`` [N, 1], and which picture of its clip it is, ``frame`` [N, 1].
    Those of a clip lie together, run after run; ``rows`` says where: clip -> (first, number of
    runs, frames of each)."""

    backbone: F32
    rig: F32
    affect: F32
    intensity: F32
    known: F32
    frame: Array
    rows: dict[int, tuple[int, int, int]]

    def of(self, clips: Sequence[int]) -> Array:
        """Indices of all views of some clips."""
        rows = [self.rows[clip] for clip in clips if clip in self.rows]
        every = [np.arange(a, a + runs * frames) for a, runs, frames in rows]
        return np.concatenate([np.zeros(0, np.int64), *every])

    def draw(self, clip: int, length: int, rng: np.random.Generator) -> Array | None:
        """Indices of ``length`` frames in a row, or of one; None where there are none."""
        if clip not in self.rows:
            return None
        first, runs, frames = self.rows[clip]
        start = first + int(rng.integers(runs)) * frames
        if length == 1:
            return np.array([start + int(rng.integers(frames))])
        return start + np.minimum(np.arange(length), frames - 1)


def face_features(encoder: FaceBackbone, clips: Clips, plan: Plan, keep: bool) -> FaceFeatures:
    """The views of all clips: those kept, where they were made of the same; else made anew."""

    def make() -> dict[str, Array]:
        return _made(encoder, clips, plan)

    key = key_of(clips, encoder.fixed, encoder.parts, encoder.crop_px, plan, _COLUMNS)
    made = cached("face_features", key, make) if keep else make()
    rows = {int(clip): (int(a), int(b), int(c)) for clip, a, b, c in made.pop("rows")}
    return FaceFeatures(**made, rows=rows)


def _made(encoder: FaceBackbone, clips: Clips, plan: Plan) -> dict[str, Array]:
    columns: dict[str, list[Any]] = {name: [] for name in _COLUMNS}
    backbone, rows = backbone_of(encoder), []

    def length(index: int) -> tuple[int, int]:
        """How many runs of how many frames."""
        return (plan.stills, 1) if clips.lengths[index] == 1 else (plan.runs, plan.frames)

    def looked_at(number: int, index: int) -> list[dict[str, Array]]:
        runs, frames = length(index)
        sample, rng = clips[index], np.random.default_rng([number, 7])
        side = encoder.crop_px
        return [
            row for run in range(runs) for row in _run(sample, side, run, frames, rng, backbone)
        ]

    for index, seen in each(clips, looked_at, "looking"):
        if seen:
            rows.append((index, len(columns["rig"]), *length(index)))
        for row in seen:
            for name, value in row.items():
                columns[name].append(value)
    if not rows:
        raise MienError(f"{clips.data} shows no face; prepare others")
    out = {name: np.stack(values) for name, values in columns.items()}
    return out | {"rows": np.array(rows, np.int64)}


def _run(
    sample: Sample,
    side: int,
    number: int,
    length: int,
    rng: np.random.Generator,
    backbone: Callable[[F32], F32],
) -> Iterator[dict[str, Array]]:
    """Frames in a row, all seen by one camera. A still is first seen as it is, then mirrored."""
    frames = run_of_frames(sample.clip.found, length, rng)
    if frames is None:
        return
    plain = length == 1 and number < 2
    augmentation = Augmentation.plain(side) if plain else Augmentation.draw(rng, side)
    seed, labels = int(rng.integers(1 << 62)), sample.labels
    for t in frames:
        picture, rig = sample.clip.frame(int(t)), augmentation.rig(sample.clip.blendshapes[t])
        if plain and number == 1:
            picture, rig = np.ascontiguousarray(picture[:, ::-1]), rig[MIRROR]
        elif number % WORN_EVERY == WORN_EVERY - 1:
            picture = degraded_picture(picture, np.random.default_rng(seed))
        yield {
            "backbone": backbone(augmentation.picture(picture, side)),
            "rig": rig,
            "affect": np.array([labels.valence[t], labels.arousal[t]], np.float32),
            "intensity": labels.intensity[t : t + 1],
            "known": labels.known[t : t + 1],
            "frame": np.array([t], np.int64),
        }


class _Backbone(nn.Module):
    def __init__(self, encoder: FaceBackbone) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, crop_BCHW: Tensor) -> Tensor:
        return self.encoder.backbone(crop_BCHW)


def backbone_of(encoder: FaceBackbone) -> Callable[[F32], F32]:
    """Backbone features [F] of a crop [3, S, S]."""
    side = encoder.crop_px
    network = compiled(_Backbone(encoder), (1, 3, side, side))
    return lambda crop: network(crop[None])[0]
