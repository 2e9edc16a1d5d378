"""Fit the linear rig: ridge regression of pose-normalized landmarks on blendshapes.

    python -m training.fit_rig CLIPS --out weights/rig --tracks CACHE

It needs `pip install -e ".[train]"`. CLIPS is a folder of videos of talking and grimacing faces.
Tracks are kept in CACHE. People are split by identity; the share of variance explained is that on
people the fit hasn't seen.
"""

from __future__ import annotations

import argparse
import hashlib
import shlex
import sys
from pathlib import Path
from typing import Any

import numpy as np
import tomli_w
from numpy.typing import NDArray

from engine.errors import MienError
from engine.files import atomic_write, make_folder
from engine.types import F32
from face.emotions import MIRROR
from face.landmarker import Landmarker
from face.rig import EYE_SPAN_CM, Rig, align, upright
from face.topology import CHIN, FOREHEAD, IRIS_RINGS, OUTER_EYE_LEFT, OUTER_EYE_RIGHT, RIGID
from face.types import BLENDSHAPES
from inference.assets import FACE_LANDMARKER, locate
from inference.card import CARD
from inference.terms import nc_of, together
from training import command
from training.provenance import sha256_of
from training.response import fit_response
from training.tracks import Track, load_tracks, noted

OBSERVABLE = 0.01  # standard deviation over all tracks
ARRAYS = {
    "mean": "float32 [478, 3] cm",
    "basis": "float16 [52, 478, 3] cm per unit of blendshape",
    "triangles": "int16 [T, 3], wound alike",
    "mirror": "int16 [478], the partner on the other side",
    "response": "float32 [478], landmark moves found by the tracker per move of the pixels",
    "observable": "bool [52], blendshapes that the tracker ever reports",
}


def main(argv: list[str] | None = None) -> int:
    parser = command.parser_of("training.fit_rig", __doc__)
    parser.add_argument("clips", type=Path)
    parser.add_argument("--out", type=Path, default=Path("weights/rig"))
    parser.add_argument("--tracks", type=Path, default=Path("build/tracks"))
    parser.add_argument("--ridge", type=float, default=30.0)
    parser.add_argument("--held-out", type=float, default=0.25, help="share of people")
    parser.add_argument("--seed", type=int, default=0)
    arguments = sys.argv[1:] if argv is None else argv
    options = parser.parse_args(arguments)
    made_by = f"python -m training.fit_rig {shlex.join(arguments)}"
    return command.run("fit_rig", lambda: fit(options, made_by))


def fit(options: argparse.Namespace, made_by: str) -> None:
    """Fit and write; ``made_by`` is the command that does. Raises MienError."""
    landmarker = Landmarker(locate(FACE_LANDMARKER), threads=2)
    tracks = load_tracks(options.clips, options.tracks, landmarker)
    mean = mean_face([track.landmarks for track in tracks])
    mirror = partners(mean)
    mean = symmetric(mean, mirror)
    samples = [normalized(track, mean, mirror) for track in tracks]
    people = sorted({track.identity for track in tracks})
    shuffled = np.random.default_rng(options.seed).permutation(len(people))
    held = {people[i] for i in shuffled[: round(len(people) * options.held_out)]}
    groups = [track.identity in held for track in tracks]
    train = [sample for sample, out in zip(samples, groups, strict=True) if not out]
    test = [sample for sample, out in zip(samples, groups, strict=True) if out]
    basis = regress(train, options.ridge)
    explained = variance_explained(test, basis)
    regions = {
        name: variance_explained(test, basis, points) for name, points in _regions(mean).items()
    }
    frames = sum(len(track.landmarks) for track in tracks)
    print(f"{frames} frames of {len(people)} people; held out: {len(held)}")
    print(f"variance explained on held-out people: {explained:.3f}")
    for name, share in regions.items():
        print(f"  {name}: {share:.3f}")
    rig = Rig(
        mean=mean,
        basis=regress(samples, options.ridge),
        triangles=triangulate(mean),
        mirror=mirror.astype(np.int32),
        response=np.ones(len(mean), np.float32),
        observable=np.concatenate([t.blendshapes for t in tracks]).std(axis=0) > OBSERVABLE,
    )
    response = fit_response(options.clips, rig, landmarker, held, options.seed)
    print(f"landmark moves as re-tracked, error left on held-out people: {response.left:.3f}")
    make_folder(options.out)
    target = options.out / "rig.npz"
    with atomic_write(target) as part, part.open("wb") as opened:
        np.savez_compressed(
            opened,
            mean=mean.astype(np.float32),
            basis=rig.basis.astype(np.float16),
            triangles=rig.triangles.astype(np.int16),
            mirror=mirror.astype(np.int16),
            response=response.response,
            observable=rig.observable,
        )
    data = {"frames": frames, "people": len(people), "held_out_people": len(held)}
    metrics = {
        "variance_explained_held_out_people": round(explained, 4),
        "response_error_held_out_people": round(response.left, 4),
        "regions": {name: round(share, 4) for name, share in regions.items()},
    }
    write_card(options, made_by, tracks, data, metrics, target)


def mean_face(clips: list[F32], rounds: int = 6) -> F32:
    """The mean of all faces, pose and size taken out (generalized Procrustes), in cm."""
    frames = np.concatenate([clip[:: max(1, len(clip) // 12)] for clip in clips])
    faces = [upright(frame) for frame in frames]
    mean: NDArray[np.float64] = (faces[0] - faces[0][RIGID].mean(axis=0)).astype(np.float64)
    for _ in range(rounds):
        turned = []
        for face in faces:
            placed = align(mean[RIGID].astype(np.float32), face[RIGID])
            turned.append((face - placed.offset) @ placed.turn / placed.scale)
        mean = np.median(turned, axis=0)
        mean -= mean[RIGID].mean(axis=0)
        mean *= EYE_SPAN_CM / np.linalg.norm(mean[OUTER_EYE_LEFT] - mean[OUTER_EYE_RIGHT])
        mean = _straight(mean)
    result: F32 = mean.astype(np.float32)
    return result


def _straight(mean: NDArray[np.float64]) -> NDArray[np.float64]:
    """Turn so that the eyes lie along x and the forehead-chin line along y."""
    across = mean[OUTER_EYE_LEFT] - mean[OUTER_EYE_RIGHT]
    across /= np.linalg.norm(across)
    up = mean[FOREHEAD] - mean[CHIN]
    up -= across * (up @ across)
    up /= np.linalg.norm(up)
    straight: NDArray[np.float64] = mean @ np.stack([across, up, np.cross(across, up)]).T
    return straight


def partners(mean: F32) -> NDArray[np.int64]:
    """For each landmark the one on the other side of the face."""
    flipped = mean * [-1, 1, 1]
    distance = np.linalg.norm(mean[:, None] - flipped[None], axis=2)
    from scipy.optimize import linear_sum_assignment

    rows, columns = linear_sum_assignment(distance**2)
    partner = np.empty(len(mean), np.int64)
    partner[rows] = columns
    if not (partner[partner] == np.arange(len(mean))).all():
        raise MienError("the mean face is too crooked to pair its sides; use more clips")
    return partner


def symmetric(mean: F32, mirror: NDArray[np.int64]) -> F32:
    return ((mean + mean[mirror] * [-1, 1, 1]) / 2).astype(np.float32)


def normalized(
    track: Track, mean: F32, mirror: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.float64], float]:
    """A track and its mirror image as (regressors [2N, 58], displacements [2N, 1434], weight).

    Both have the clip's own mean taken out: who somebody is doesn't count, only how they move.
    Head angles are regressors too, so that what a turn does to the landmarks isn't taken for a
    blendshape's doing.
    """
    faces, angles = [], []
    for frame in track.landmarks:
        placed = align(mean[RIGID], upright(frame[RIGID]))
        faces.append((upright(frame) - placed.offset) @ placed.turn / placed.scale)
        yaw = np.arctan2(placed.turn[0, 2], placed.turn[2, 2])
        pitch = -np.arcsin(np.clip(placed.turn[1, 2], -1, 1))
        angles.append((yaw, pitch))
    face = np.array(faces)
    yaw, pitch = np.array(angles).T
    both_faces = (face, face[:, mirror] * [-1, 1, 1])
    both_shapes = (track.blendshapes, track.blendshapes[:, MIRROR])
    inputs, outputs = [], []
    for face, shapes, side in zip(both_faces, both_shapes, (1, -1), strict=True):
        turn = np.stack([side * yaw, pitch, yaw**2, pitch**2, side * yaw * pitch], axis=1)
        regressors = np.column_stack([shapes, turn])
        inputs.append(regressors - regressors.mean(axis=0))
        outputs.append((face - face.mean(axis=0)).reshape(len(face), -1))
    frames = len(track.landmarks)
    return np.concatenate(inputs), np.concatenate(outputs), min(1.0, 120 / frames)


def regress(
    samples: list[tuple[NDArray[np.float64], NDArray[np.float64], float]], ridge: float
) -> F32:
    """Ridge regression; cm per unit of each blendshape [52, 478, 3]. `_neutral` stays zero."""
    size = samples[0][0].shape[1]
    gram = np.zeros((size, size))
    cross = np.zeros((size, samples[0][1].shape[1]))
    for inputs, outputs, weight in samples:
        gram += weight * inputs.T @ inputs
        cross += weight * inputs.T @ outputs
    gram[0], gram[:, 0], cross[0] = 0, 0, 0
    penalty = np.full(size, ridge)
    solved = np.linalg.solve(gram + np.diag(penalty), cross)
    return solved[: len(BLENDSHAPES)].reshape(len(BLENDSHAPES), -1, 3).astype(np.float32)


def variance_explained(
    samples: list[tuple[NDArray[np.float64], NDArray[np.float64], float]],
    basis: F32,
    points: NDArray[np.int64] | None = None,
) -> float:
    """1 - residual / total over samples, x and y of the given points (all: None)."""
    chosen = np.arange(basis.shape[1]) if points is None else points
    residual = total = 0.0
    for inputs, outputs, weight in samples:
        truth = outputs.reshape(len(outputs), -1, 3)[:, chosen, :2]
        guess = np.tensordot(inputs[:, : len(basis)], basis[:, chosen, :2], axes=1)
        residual += weight * float(((truth - guess) ** 2).sum())
        total += weight * float((truth**2).sum())
    return 1 - residual / total


def _regions(mean: F32) -> dict[str, NDArray[np.int64]]:
    y = mean[:, 1]
    mouth = (mean[13, 1] + mean[14, 1]) / 2
    return {
        "brows": np.array([46, 52, 53, 55, 63, 65, 66, 70, 105, 107, 276, 282, 283, 285, 293, 295]),
        "eyelids": np.array([145, 159, 153, 158, 144, 160, 374, 386, 380, 385, 373, 387]),
        "mouth": np.flatnonzero((np.abs(y - mouth) < 1.6) & (np.abs(mean[:, 0]) < 3.2)),
    }


def triangulate(mean: F32) -> NDArray[np.int32]:
    """Triangles over the frontal view of the mean face, of an iris only its centre."""
    from scipy.spatial import Delaunay

    points = np.delete(np.arange(len(mean)), IRIS_RINGS)
    flat = mean[points, :2].astype(np.float64).copy()
    found = points[Delaunay(flat).simplices]
    a, b, c = (mean[found[:, k], :2] for k in range(3))
    area = (b[:, 0] - a[:, 0]) * (c[:, 1] - a[:, 1]) - (b[:, 1] - a[:, 1]) * (c[:, 0] - a[:, 0])
    found[area < 0] = found[area < 0][:, ::-1]
    kept: NDArray[np.int32] = found[np.abs(area) > 1e-4].astype(np.int32)
    return kept


def write_card(
    options: argparse.Namespace, made_by: str, tracks: list[Track], data: dict[str, Any],
    metrics: dict[str, Any], target: Path,
) -> None:  # fmt: skip
    """What the rig is, of whom, and what it may be used for."""
    known = noted(options.clips)
    rows = [known.get(track.name, {}) for track in tracks]
    nc = together(nc_of(row.get("nc"), row.get("licence", "")) for row in rows)
    files = [sha256_of(options.clips / track.name) for track in tracks]
    card = {
        "name": "rig",
        "task": "how each of 52 blendshapes moves 478 landmarks",
        "file": target.name,
        "sha256": sha256_of(target),
        "training": made_by,
        "seed": options.seed,
        "nc": nc,
        "arrays": ARRAYS,
        "data": {
            "nc": nc,
            "kind": "landmark tracks of clips; no picture or track is part of the weights",
            **data,
            "landmarker_sha256": FACE_LANDMARKER.sha256,
            "clips_sha256": hashlib.sha256("\n".join(files).encode()).hexdigest(),
            "licences": sorted({row.get("licence") or "unknown" for row in rows}),
            "sources": sorted({"/".join(track.name.split("__")[:2]) for track in tracks}),
        },
        "metrics": metrics,
    }
    with atomic_write(target.parent / CARD) as part:
        head = "# The linear rig: how each of 52 blendshapes moves 478 landmarks.\n"
        part.write_text(head + tomli_w.dumps(card), encoding="utf-8")


if __name__ == "__main__":
    raise SystemExit(main())
