"""Fit the shading: how skin's light and shade change with each blendshape.

    python -m training.fit_shading SHARDS --out weights/shading

It needs `pip install -e ".[train]"`. SHARDS is a folder of prepared pictures (or clips, of which
the frame in the middle is taken) that are labelled with emotions; those of its split *train* are
used. Every face is moved onto the mean one, so that only its light is left; of that the ratio image
of each emotion is found, and maps of shapes are fitted to what the tracker sees of each picture and
to the ratio images, which full intensity should show. People are split by identity; printed is the
cosine with the ratio images of people that the fit hasn't seen.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track

from engine.errors import MienError
from engine.files import make_folder, whole
from engine.types import BLENDSHAPES, EMOTIONS, F32, U8
from nodes.conditions import EYES, LIPS_INNER
from nodes.emotions import FEELING, MIRROR, sides, worn
from nodes.ramps import smoothstep
from nodes.rig import Rig, load_rig
from nodes.warp import apply_flow, dense_flow
from training import command
from training.data.clip import FRAME_PX, Clip, ClipInfo, open_clips, to_stderr

SIDE_PX: Final = 128
PX_PER_CM: Final = 6.0
CENTRE_CM: Final = (0.0, -2.9)
"""of the maps, on the mean face"""
DARK: Final = 16.0
"""grey levels added before a logarithm is taken: noise in the dark is no shade"""
FULL: Final = 4.0
"""how much deeper full intensity is than a labelled picture's: their feelings are of all strengths,
and what lies elsewhere in each face is blurred by the mean"""
FADE_CM: Final = 2.2
"""from the face's border inwards"""
BROADEST_CM: Final = 1.15
"""what changes over more than that is the room's light, not skin"""
FINEST_CM: Final = 0.1
ENOUGH: Final = 50
"""pictures of an emotion, to see as finely as that: fewer are blurred more, against their noise"""
HALF_CM: Final = 2.3
"""over what width one side of the face passes into the other"""
FEWEST: Final = 12
"""pictures of an emotion"""
PENALTY: Final = 4.0
"""of the regressions, in pictures"""
FULL_WEIGHT: Final = 100.0
"""of an emotion's ratio image, in pictures"""

MEND: Final = "prepare some with python -m training.data.prepare pictures"

NAMES: Final = tuple(
    dict.fromkeys(
        name.removesuffix("Left").removesuffix("Right")
        for name, feels in zip(BLENDSHAPES, FEELING, strict=True)
        if feels
    )
)
"""of feeling shapes, without their side"""


@dataclass(frozen=True)
class Faces:
    """N pictures: ``light`` [N, S, S], ``shapes`` [N, 52], ``turn`` [N, 3] (where the face looks),
    and what is known of each."""

    light: F32
    shapes: F32
    turn: F32
    infos: list[ClipInfo]

    def of(self, chosen: NDArray[np.bool_]) -> Faces:
        infos = [info for info, mine in zip(self.infos, chosen, strict=True) if mine]
        return Faces(self.light[chosen], self.shapes[chosen], self.turn[chosen], infos)

    @property
    def emotions(self) -> NDArray[np.str_]:
        """[N]"""
        return np.array([info.emotion for info in self.infos])


def main(argv: list[str] | None = None) -> int:
    parser = command.parser_of("training.fit_shading", __doc__)
    parser.add_argument("shards", type=Path)
    parser.add_argument("--out", type=Path, default=Path("weights/shading"))
    parser.add_argument("--held-out", type=float, default=0.25, help="share of people")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(argv)
    return command.run("fit_shading", lambda: fit(options))


def fit(options: argparse.Namespace) -> None:
    rig = load_rig()
    points = places(rig)
    skin = skin_of(points)
    faces = look(options.shards, rig, points, skin)
    people = sorted({info.subject for info in faces.infos})
    shuffled = np.random.default_rng(options.seed).permutation(len(people))
    held = {people[i] for i in shuffled[: round(len(people) * options.held_out)]}
    unseen = np.array([info.subject in held for info in faces.infos])
    if not ratio_images(learned := faces.of(~unseen)):
        raise MienError(
            f"{options.shards} has too few labelled faces: {FEWEST} neutral ones and as many of an "
            f"emotion are the least, people held out aside; {MEND}"
        )
    agreement = agree(shape_maps(learned, skin), ratio_images(faces.of(unseen)), skin)
    print(f"{len(faces.infos)} faces of {len(people)} people; held out: {len(held)}")
    for emotion, cosine in agreement.items():
        print(f"  {emotion}: {cosine:.2f} with the ratio image of people held out")
    maps = both_sides(shape_maps(faces, skin), points)
    make_folder(options.out)
    target = options.out / "shading.npz"
    with whole(target) as part, part.open("wb") as opened:
        np.savez_compressed(opened, maps=maps.astype(np.float16), points=points)
    write_card(options, faces, len(people), len(held), agreement, target)


def places(rig: Rig) -> F32:
    """Where the landmarks of the mean face lie in the maps [478, 2]."""
    offset = (rig.mean[:, :2] - np.array(CENTRE_CM, np.float32)) * np.array([1, -1], np.float32)
    return (SIDE_PX / 2 + PX_PER_CM * offset).astype(np.float32)


def skin_of(points: F32) -> F32:
    """1 on skin, fading out towards the face's border, and around eyes and mouth [S, S]."""
    import cv2

    whole_px = np.rint(points).astype(np.int32)
    face, holes = np.zeros((2, SIDE_PX, SIDE_PX), np.uint8)
    cv2.fillConvexPoly(face, cv2.convexHull(whole_px), 1)
    for contour in (LIPS_INNER, *EYES):
        cv2.fillConvexPoly(holes, cv2.convexHull(whole_px[contour]), 1)
    border_px = cv2.distanceTransform(face, cv2.DIST_L2, 3)
    inward = smoothstep(0, FADE_CM * PX_PER_CM, border_px)
    grown = cv2.dilate(holes, np.ones((3, 3), np.uint8)).astype(np.float32)
    around = cv2.GaussianBlur(grown, (0, 0), 2 * FINEST_CM * PX_PER_CM)
    skin: F32 = (inward * (1 - around)).astype(np.float32)
    return skin


def look(shards: Path, rig: Rig, points: F32, skin: F32) -> Faces:
    """Every labelled face's light. Raises MienError where there is none."""
    clips = open_clips(shards).where(lambda info: info.split == "train" and info.emotion != "")
    rows: list[tuple[F32, F32, F32, ClipInfo]] = []
    shown = sys.stderr.isatty()
    for index in track(range(len(clips)), "faces", console=Console(stderr=True), disable=not shown):
        try:
            clip = clips[index]
        except MienError as error:
            to_stderr(f"left out: {error}")
            continue
        middle = len(clip) // 2
        if clip.found[middle]:
            light = _light(clip, middle, rig, points, skin)
            rows.append((light, clip.blendshapes[middle], clip.pose[middle, :3, 2], clip.info))
    if not rows:
        raise MienError(f"{shards} has no labelled faces; {MEND}")
    lights, shapes, turn, infos = zip(*rows, strict=True)
    light = np.stack(lights)
    # faces in hard light don't fold more: all count alike, in the mean contrast
    contrasts = light[:, skin > 0].std(axis=1)
    light *= (contrasts.mean() / np.maximum(contrasts, 1e-3))[:, None, None]
    # a face and its mirror image count alike
    both = (np.stack(shapes) + np.stack(shapes)[:, MIRROR]) / 2
    ahead = np.stack(turn)
    ahead[:, 0] = np.abs(ahead[:, 0])
    return Faces(light, both.astype(np.float32), ahead, list(infos))


def _light(clip: Clip, frame: int, rig: Rig, points: F32, skin: F32) -> F32:
    """Logarithm of brightness where the mean face is [S, S], its mean and slope over the skin taken
    out; the mean of both sides."""
    import cv2

    scale = FRAME_PX / SIDE_PX
    landmarks = clip.landmarks[frame]
    moves = (points + 0.5) * scale - 0.5 - landmarks[:, :2]
    flow = dense_flow(landmarks, moves, rig.triangles, FRAME_PX, FRAME_PX)
    picture: U8 = clip.frame(frame)
    moved = picture if flow is None else apply_flow(picture, flow)
    large = cv2.cvtColor(moved, cv2.COLOR_RGB2GRAY).astype(np.float32)
    grey = cv2.resize(large, (SIDE_PX, SIDE_PX), interpolation=cv2.INTER_AREA)
    log: F32 = np.log(grey + np.float32(DARK)).astype(np.float32)
    across, down = np.meshgrid(*[np.linspace(-1, 1, SIDE_PX, dtype=np.float32)] * 2)
    plane = np.stack([np.ones_like(across), across, down])
    inside = skin > 0
    slope = np.linalg.lstsq(plane[:, inside].T, log[inside], rcond=None)[0]
    log -= np.tensordot(slope, plane, axes=1)
    both: F32 = ((log + log[:, ::-1]) / 2).astype(np.float32)
    return both


def ratio_images(faces: Faces) -> dict[str, F32]:
    """By emotion, what it changes in a neutral face's light [S, S], speech and pose being equal;
    none of which there are fewer than FEWEST, or no neutral faces to compare with."""
    import cv2

    known = faces.emotions
    names = [name for name in EMOTIONS[1:] if (known == name).sum() >= FEWEST]
    if not names or (known == "neutral").sum() < FEWEST:
        return {}
    labels = np.stack([known == name for name in names], axis=1).astype(np.float64)
    images = _regress(np.hstack([labels, _beside(faces)]), faces.light)
    sigmas = FINEST_CM * PX_PER_CM * np.sqrt(np.maximum(ENOUGH / labels.sum(axis=0) - 1, 0.01))
    return {
        name: cv2.GaussianBlur(image, (0, 0), float(sigma))
        for name, image, sigma in zip(names, images, sigmas, strict=False)
    }


def shape_maps(faces: Faces, skin: F32) -> F32:
    """A map for each of NAMES [G, S, S]: logarithms of the ratio at full intensity."""
    import cv2

    ratios: dict[str, F32] = ratio_images(faces)
    beside = _beside(faces)
    seen = np.hstack([_by_name(faces.shapes), beside])
    asked = _by_name(np.stack([worn(name) for name in ratios]))
    full = np.hstack([asked, np.zeros((len(asked), beside.shape[1]))])
    wanted: F32 = (FULL * np.stack(list(ratios.values()))).astype(np.float32)
    found = _regress(seen, faces.light, (full, wanted))[: len(NAMES)]
    there = (skin > 0).astype(np.float32)
    broad = BROADEST_CM * PX_PER_CM
    reach = cv2.GaussianBlur(there, (0, 0), broad) + 1e-3
    maps = np.empty_like(found)
    for image, fine in zip(found, maps, strict=True):
        level = image - np.average(image, weights=skin)
        room = cv2.GaussianBlur(level * there, (0, 0), broad) / reach
        fine[:] = (cv2.GaussianBlur(level, (0, 0), FINEST_CM * PX_PER_CM) - room) * skin
    return maps


def both_sides(maps: F32, points: F32) -> F32:
    """Maps of NAMES as those of BLENDSHAPES [52, S, S]: each side's shape has its half."""
    middle = points[:, 0].mean()
    half = HALF_CM * PX_PER_CM / 2
    left = smoothstep(-half, half, np.arange(SIDE_PX) - middle)
    all_maps = np.zeros((len(BLENDSHAPES), SIDE_PX, SIDE_PX), np.float32)
    for name, image in zip(NAMES, maps, strict=True):
        if len(places := sides(name)) == 1:
            all_maps[places[0]] = image
        else:
            all_maps[places] = image * left, image * (1 - left)
    return all_maps


def agree(maps: F32, truth: dict[str, F32], skin: F32) -> dict[str, float]:
    """Cosine, over the skin, of what each emotion wears with ratio images of others."""
    return {
        name: _cosine(np.tensordot(_by_name(worn(name)[None])[0], maps, axes=1), image, skin)
        for name, image in truth.items()
    }


def _cosine(one: F32, other: F32, skin: F32) -> float:
    one, other = ((image - np.average(image, weights=skin)) * skin for image in (one, other))
    return float((one * other).sum() / np.sqrt((one**2).sum() * (other**2).sum() + 1e-12))


def _by_name(shapes: F32) -> F32:
    """Shapes [N, 52] without their side [N, G]."""
    return np.stack([shapes[:, sides(name)].mean(axis=1) for name in NAMES], axis=1)


def _beside(faces: Faces) -> NDArray[np.float64]:
    """What changes a face's light and isn't felt [N, B], about its mean over neutral ones: speech,
    looks and blinks, and where the face turns to."""
    others = np.hstack([faces.shapes[:, ~FEELING], faces.turn]).astype(np.float64)
    beside: NDArray[np.float64] = others - others[faces.emotions == "neutral"].mean(axis=0)
    return beside


def _regress(
    inputs: NDArray[np.float64], images: F32, full: tuple[NDArray[np.float64], F32] | None = None
) -> F32:
    """The images [K, S, S] of which those of each picture [N, S, S] are sums, weighed by ``inputs``
    [N, K], over a constant one: ridge regression. ``full``: sums without the constant that should
    come out, too, [E, K] and [E, S, S]."""
    rows = np.hstack([np.ones((len(inputs), 1)), inputs])
    gram, cross = rows.T @ rows, np.tensordot(rows.T, images, axes=1)
    if full is not None:
        more = np.hstack([np.zeros((len(full[0]), 1)), full[0]])
        gram += FULL_WEIGHT * more.T @ more
        cross += FULL_WEIGHT * np.tensordot(more.T, full[1], axes=1)
    gram[np.diag_indices(len(gram))] += np.r_[0, np.full(len(gram) - 1, PENALTY)]
    solved = np.linalg.solve(gram, cross.reshape(len(gram), -1))[1:]
    return solved.reshape(-1, *images.shape[1:]).astype(np.float32)


def write_card(
    options: argparse.Namespace,
    faces: Faces,
    people: int,
    held: int,
    agreement: dict[str, float],
    target: Path,
) -> None:
    licences = json.dumps(sorted({info.licence for info in faces.infos}))
    counts = "\n".join(f"{name} = {(faces.emotions == name).sum()}" for name in EMOTIONS)
    cosines = "\n".join(f"{name} = {cosine:.3f}" for name, cosine in agreement.items())
    text = f"""# The shading: how light and shade of the skin change with each blendshape.
name = "shading"
file = "{target.name}"
sha256 = "{hashlib.sha256(target.read_bytes()).hexdigest()}"
command = "python -m training.fit_shading SHARDS --out weights/shading"
seed = {options.seed}
nc = {str(any(info.nc for info in faces.infos)).lower()}

[arrays]
maps = "float16 [52, S, S], logarithm of the ratio of brightness per unit of blendshape"
points = "float32 [478, 2], where the landmarks of the mean face lie in the maps, px"

[data]
kind = "labelled pictures of many people; only their mean light is part of the weights"
people = {people}
held_out_people = {held}
sources = {json.dumps(sorted({info.source for info in faces.infos}))}
licences = {licences}

[data.faces]
{counts}

[metrics.cosine_with_ratio_images_of_held_out_people]
{cosines}
"""
    with whole(target.parent / "card.toml") as part:
        part.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    raise SystemExit(main())
