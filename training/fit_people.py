"""Fit what real people's faces do, from photographs of people whose own neutral is known.

    python -m training.fit_people FOLDER --out weights/people

FOLDER holds EMOTION/PERSON_SESSION.jpg: each person neutral and in emotions, in one session or
more. Fitted are the displacement of a face's points to its own neutral, a ridge regression on its
shape and its blendshapes; that of each emotion, the mean over the more similar half of the people;
and what each emotion shows between the lips. Printed is how much of the displacement of people left
out is explained. Nothing that is kept shows one person. What the card says of licences is what
FOLDER/source.toml says (training.data.photograph writes one); without it, research terms.
"""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import tomli_w

from engine.errors import MienError
from engine.files import atomic_write, make_folder
from engine.types import F32
from face.emotions import MIRROR, prototype
from face.expression.people import FILE, People
from face.render.detail import coarse_detail, detail
from face.render.repertoire import mouth_aperture
from face.render.surface import MOUTH_BOX, load_surface
from face.rig import Rig, load_rig
from face.topology import LIP_MIDDLES
from face.types import EMOTIONS
from inference.card import CARD
from training import command
from training.data.own import Portrait, Source, folder_hash, in_fold, pairs, portraits, source_of

FEWEST: Final = 12
"""people"""
SHAPES: Final = 25
MOVES: Final = 40
PENALTY: Final = 10.0
"""of the ridge regression, per hundred rows"""
LIKE: Final = 0.6
"""share of the people, the most similar ones, whose mean an emotion is: the mean of all blurs kinds
of it that nobody shows"""
STRENGTH: Final = {"angry": 1.8, "sad": 1.4, "fear": 1.15, "happy": 0.85, "disgusted": 0.85}
"""by how much an emotion is shown more strongly than that mean. People who differ in how they are
angry have a mean that is weaker than any of them: their own displacements are 1.5 times as large in
anger, 2.0 in sadness, 1.3 in fear, 1.05 in joy; joy is read long before"""
KNOWN_BY: Final = {"fear": 0.5}
"""what people show in two ways, and how many of them show most of its prototype: in half of the
photographs fear lowers the brows' outer ends, and a mean of both ways hardly moves them"""
SHUT_CM: Final = 0.2
"""below which opening, more than at rest, an emotion is shown with a shut mouth; a kind of its own
where most show it so"""
FLIP: Final = np.array([-1, 1, 1], np.float32)


def main(argv: list[str] | None = None) -> int:
    parser = command.parser_of("training.fit_people", __doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--out", type=Path, default=Path("weights/people"))
    parser.add_argument("--without-fold", default="", metavar="K/N", help="leave every Nth out")
    parser.add_argument("--landmarker", default="", help="path of face_landmarker.task")
    arguments = sys.argv[1:] if argv is None else argv
    options = parser.parse_args(arguments)
    made_by = f"python -m training.fit_people {shlex.join(arguments)}"
    return command.run("fit_people", lambda: _fit(options, made_by))


def _fit(options: argparse.Namespace, made_by: str) -> None:
    source = source_of(options.folder)
    found = portraits(options.folder, options.landmarker)
    people = sorted({one.person for one in found})
    if options.without_fold:
        out = in_fold(people, options.without_fold)
        found = [one for one in found if one.person not in out]
        people = [person for person in people if person not in out]
    if len(people) < FEWEST:
        raise MienError(f"{len(people)} people are too few to speak of people; {FEWEST} at least")
    print(f"{len(found)} photographs of {len(people)} people")
    share = explained(found, load_rig())
    print(f"explained of people left out: {share:.3f}")
    make_folder(options.out)
    fitted = fit(found, load_rig(), {} if source.synthetic else STRENGTH)
    with atomic_write(options.out / FILE) as part, part.open("wb") as file:
        arrays: dict[str, Any] = dict(fitted.arrays())
        np.savez_compressed(
            file, **{name: array.astype(np.float16) for name, array in arrays.items()}
        )
    with atomic_write(options.out / CARD) as part:
        part.write_text(_card(found, options.folder, made_by, source, share), encoding="utf-8")


def _card(
    found: Sequence[Portrait], folder: Path, made_by: str, source: Source, share: float
) -> str:
    """What the statistics are, of whom, and what they may be used for."""
    people = len({one.person for one in found})
    head = {
        "name": "people",
        "task": "what real people's faces do: from any expression to neutral, from neutral to each",
        "nc": source.nc,
        "training": made_by,
    }
    data = {
        "nc": source.nc,
        "photographs": len(found),
        "people": people,
        "synthetic": source.synthetic,
        "licences": [source.licence],
        "files_sha256": folder_hash(folder),
    }
    figures = {"explained_of_people_left_out": round(share, 3)}
    return tomli_w.dumps({**head, "data": data, "metrics": figures})


def fit(found: Sequence[Portrait], rig: Rig, strength: Mapping[str, float] = STRENGTH) -> People:
    """What the photographs say of people; ``strength`` is that of synthetic heads, which don't
    differ in how they show it: {}."""
    both = pairs(found)
    rows = [_row(one, calm) for one, calm in both]
    rows += [_mirrored(row, rig) for row in rows]
    calm_rows = [(one.shape, one.rig, one.shape) for one in found if one.emotion == "neutral"]
    rows += calm_rows + [_mirrored(row, rig) for row in calm_rows]
    shapes = np.stack([shape.ravel() for shape, _, _ in rows])
    rigs = np.stack([shapes_ for _, shapes_, _ in rows])
    displacements = np.stack([(calm - shape).ravel() for shape, _, calm in rows])
    shape_mean, shape_basis, shape_std = _components(shapes, SHAPES)
    calm_mean, calm_basis, _ = _components(displacements, MOVES)
    rig_mean, rig_std = rigs.mean(axis=0), rigs.std(axis=0) + 0.03
    scores = (shapes - shape_mean) @ shape_basis.T / shape_std
    given = np.column_stack([np.ones(len(rows)), (rigs - rig_mean) / rig_std, scores])
    target = (displacements - calm_mean) @ calm_basis.T
    penalty = PENALTY * len(rows) / 100 * np.eye(given.shape[1])
    weights = np.linalg.solve(given.T @ given + penalty, given.T @ target)
    seen, deviation = _rigs(found)
    at_rest = np.stack([one.shape for one in found if one.emotion == "neutral"])
    fitted = {
        "rig_mean": rig_mean,
        "rig_std": rig_std,
        "shape_mean": shape_mean,
        "shape_basis": shape_basis,
        "shape_std": shape_std,
        "calm_weights": weights,
        "calm_basis": calm_basis,
        "calm_mean": calm_mean,
        "displacements": worn(both, rig, strength),
        "mouths": _mouths(both),
        "rigs": seen,
        "rigs_std": deviation,
        "calm_shape": at_rest.mean(axis=0),
        "calm_shape_std": at_rest.std(axis=0) + np.float32(1e-3),
        "calm_detail": _calm_detail(found),
    }
    return People(**{name: array.astype(np.float32) for name, array in fitted.items()})


def explained(found: Sequence[Portrait], rig: Rig, folds: int = 5) -> float:
    """Share of the squared displacement to neutral that is explained of people left out."""
    people = sorted({one.person for one in found})
    whole_, left = 0.0, 0.0
    for fold in range(folds):
        out = set(people[fold::folds])
        fitted = fit([one for one in found if one.person not in out], rig)
        for one, calm in pairs([one for one in found if one.person in out]):
            truth = calm.shape - one.shape
            whole_ += float(np.square(truth).sum())
            left += float(np.square(truth - fitted.to_neutral(one.shape, one.rig)).sum())
    return 1 - left / max(whole_, 1e-9)


def _row(one: Portrait, calm: Portrait) -> tuple[F32, F32, F32]:
    return one.shape, one.rig, calm.shape


def _mirrored(row: tuple[F32, F32, F32], rig: Rig) -> tuple[F32, F32, F32]:
    shape, shapes, calm = row
    return shape[rig.mirror] * FLIP, shapes[MIRROR], calm[rig.mirror] * FLIP


def _components(rows: F32, count: int) -> tuple[F32, F32, F32]:
    """Mean [D], principal directions [count, D] and their deviations [count] of rows [N, D]."""
    mean = rows.mean(axis=0)
    centred = (rows - mean).astype(np.float64)
    values, vectors = np.linalg.eigh(centred @ centred.T)
    values = np.maximum(values[::-1][:count], 1e-9)
    basis = (vectors[:, ::-1][:, :count].T @ centred) / np.sqrt(values)[:, None]
    return mean, basis, np.sqrt(values / len(rows))


def worn(both: Sequence[tuple[Portrait, Portrait]], rig: Rig, strength: Mapping[str, float]) -> F32:
    """From neutral to each emotion [8, 478, 3] cm; what nobody shows is what the rig has of it."""
    expressions = np.zeros((len(EMOTIONS), *rig.mean.shape), np.float32)
    for place, emotion in enumerate(EMOTIONS[1:], 1):
        displacements = np.array(
            [one.shape - calm.shape for one, calm in both if one.emotion == emotion]
        )
        if len(displacements) < FEWEST:
            expressions[place] = np.tensordot(prototype(emotion), rig.basis, axes=1)
            continue
        shut = (
            np.array([mouth_aperture(rig.mean + one) for one in displacements])
            - mouth_aperture(rig.mean)
            < SHUT_CM
        )
        displacements = displacements[shut] if shut.mean() > 0.5 else displacements
        displacements = (displacements + displacements[:, rig.mirror] * FLIP) / 2
        if emotion in KNOWN_BY:
            known = np.tensordot(prototype(emotion), rig.basis, axes=1)
            shown = np.argsort(-np.tensordot(displacements, known, axes=2))
            displacements = displacements[shown[: round(KNOWN_BY[emotion] * len(displacements))]]
        middle = np.median(displacements, axis=0)
        size = float(np.linalg.norm(middle))
        # Alike is what points the same way, and at least as far: the weak say little.
        along = displacements.reshape(len(displacements), -1) @ middle.ravel() / size
        apart = np.linalg.norm((displacements - middle).reshape(len(displacements), -1), axis=1)
        nearest = np.argsort(apart - along)[: max(round(LIKE * len(displacements)), FEWEST // 2)]
        expressions[place] = displacements[nearest].mean(axis=0) * strength.get(emotion, 1.0)
    return expressions


def _rigs(found: Sequence[Portrait]) -> tuple[F32, F32]:
    """The mean rig of each emotion [8, 52], and the deviation within emotions [52]; of what nobody
    shows, neutral and its prototype."""
    by_emotion = [np.array([one.rig for one in found if one.emotion == name]) for name in EMOTIONS]
    means = np.zeros((len(EMOTIONS), len(prototype("happy"))), np.float32)
    for place, rigs in enumerate(by_emotion):
        known = len(rigs) >= FEWEST
        means[place] = rigs.mean(axis=0) if known else means[0] + prototype(EMOTIONS[place])
    apart = [rigs - rigs.mean(axis=0) for rigs in by_emotion if len(rigs)]
    return means, np.concatenate(apart).std(axis=0).astype(np.float32)


def _calm_detail(found: Sequence[Portrait]) -> F32:
    surface = load_surface()
    calm = [surface.unwrap(one.pixels, one.landmarks) for one in found if one.emotion == "neutral"]
    mean: F32 = np.mean([coarse_detail(detail(*seen)) for seen in calm], axis=0)
    return mean


def _mouths(both: Sequence[tuple[Portrait, Portrait]]) -> F32:
    """What each emotion shows between the lips [8, rows, columns], to the skin's brightness."""
    surface = load_surface()
    left, top, right, bottom = MOUTH_BOX
    mouths = np.full((len(EMOTIONS), bottom - top + 1, right - left + 1), 0.3, np.float32)
    seen: dict[str, list[F32]] = {}
    for one, _ in both:
        texture, _ = surface.unwrap(one.pixels, one.landmarks)
        bright = texture.mean(axis=2).astype(np.float32)
        skin = max(float(np.median(bright[140:180, 120:264])), 20.0)
        patch = bright[top : bottom + 1, left : right + 1] / skin
        aperture = np.ptp(one.landmarks[list(LIP_MIDDLES), 1])
        if aperture > 0.03 * np.ptp(one.landmarks[:, 0]):
            seen.setdefault(one.emotion, []).append((patch + patch[:, ::-1]) / 2)
    for emotion, patches in seen.items():
        if len(patches) >= FEWEST:
            mouths[EMOTIONS.index(emotion)] = np.mean(patches, axis=0)
    everyone = [patch for patches in seen.values() for patch in patches]
    for place, emotion in enumerate(EMOTIONS):
        if len(seen.get(emotion, ())) < FEWEST and len(everyone) >= FEWEST:
            mouths[place] = np.mean(everyone, axis=0)
    return mouths


if __name__ == "__main__":
    sys.exit(main())
