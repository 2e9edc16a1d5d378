"""How much of a warp the tracker sees: edit pictures of clips, track again, compare the moves."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.progress import track as progress

from engine.types import F32, U8
from face.emotions import FEELING, prototype
from face.landmarker import Landmarker, region_of
from face.render.warp import apply_flow, dense_flow
from face.rig import Rig
from face.topology import OUTER_EYE_LEFT, OUTER_EYE_RIGHT
from face.types import EMOTIONS
from training.tracks import CLIP_SUFFIXES, identities, pictures

PICTURES_PER_CLIP = 4
EDITS_PER_PICTURE = 2
MAX_SIDE_PX = 1300
PRIOR = 0.8  # what a landmark's response is taken for where it hardly moved
BOUNDS = (0.5, 1.0)


@dataclass(frozen=True)
class Response:
    """``response`` [478]; ``left``: squared error over squared move on held-out people."""

    response: F32
    left: float


def fit_response(
    clips: Path, rig: Rig, landmarker: Landmarker, held_out: set[str], seed: int
) -> Response:
    """Fit one factor per landmark, the same on both sides, on people not in ``held_out``."""
    chance = np.random.default_rng(seed)
    named = identities(clips)
    made: dict[bool, list[tuple[F32, F32]]] = {True: [], False: []}
    files = sorted(file for file in clips.iterdir() if file.suffix.lower() in CLIP_SUFFIXES)
    for file in progress(files, description="re-tracking edits"):
        held = named.get(file.name, file.stem) in held_out
        for pixels in _spread(file):
            for _ in range(EDITS_PER_PICTURE):
                pair = _edit_and_track(pixels, rig, landmarker, chance)
                if pair is not None:
                    made[held].append(pair)
    moved, found = (np.stack(part) for part in zip(*made[False], strict=True))
    power = (moved**2).sum(axis=(0, 2))
    weak = 0.02 * power.mean()
    factor = ((moved * found).sum(axis=(0, 2)) + PRIOR * weak) / (power + weak)
    factor = np.clip((factor + factor[rig.mirror]) / 2, *BOUNDS).astype(np.float32)
    moved, found = (np.stack(part) for part in zip(*made[True], strict=True))
    left = float(((found - factor[:, None] * moved) ** 2).sum() / (moved**2).sum())
    return Response(factor, left)


def find_face(pixels: U8, landmarker: Landmarker) -> F32 | None:
    """Landmarks [478, 3] of the largest face of a still picture."""
    faces = landmarker.detect(pixels)
    if not faces:
        return None
    points, presence = landmarker.landmarks(pixels, faces[0][0])
    if presence < 0.5:
        return None
    points, presence = landmarker.landmarks(pixels, region_of(points))
    return points if presence >= 0.5 else None


def _edit_and_track(
    pixels: U8, rig: Rig, landmarker: Landmarker, chance: np.random.Generator
) -> tuple[F32, F32] | None:
    """Moves made and moves found [478, 2], both in eye distances."""
    before = find_face(pixels, landmarker)
    if before is None:
        return None
    shapes = landmarker.blendshapes(before)
    change = np.where(FEELING, -shapes * chance.uniform(0, 1.5), 0)
    change += prototype(EMOTIONS[chance.integers(1, len(EMOTIONS))]) * chance.uniform(0, 1)
    moves = rig.displace(change.astype(np.float32), rig.place(before))
    height, width = pixels.shape[:2]
    flow = dense_flow(before, moves, rig.triangles, width, height)
    after = None if flow is None else find_face(apply_flow(pixels, flow), landmarker)
    if after is None:
        return None
    size = float(np.linalg.norm(before[OUTER_EYE_LEFT] - before[OUTER_EYE_RIGHT]))
    return moves / size, (after - before)[:, :2] / size


def _spread(file: Path) -> list[U8]:
    """A few pictures over a clip, not too large."""
    import cv2

    kept = list(pictures(file, stride=25))
    chosen = np.unique(np.linspace(0, len(kept) - 1, PICTURES_PER_CLIP).astype(int))
    found = []
    for index in chosen if kept else []:
        scale = min(1.0, MAX_SIDE_PX / max(kept[index].shape))
        small = cv2.resize(kept[index], None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        found.append(small.astype(np.uint8, copy=False))
    return found
