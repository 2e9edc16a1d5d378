"""How good a latent space of expressions is: on people whom its encoder never saw.

    python -m training.evaluate_latent SHARDS --inversion RUN --visual RUN [--most 200]

*Inversion* (SSERD, eq. 7): a picture is drawn from its latent upon another picture of the same
person in the same light, and held against it: L1 (0 to 255, on the face), identity (faceres), and
shapes tracked again. `canvas` is that other picture as it was, `tracked` the latent of a fresh
encoder: the tracker's shapes alone. *Directions* (eq. 11): learned on the train split, asked about
the others; and how many of a head's latents lie on one side whatever its mouth says.
"""

from __future__ import annotations

import argparse
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from engine.errors import MienError
from engine.types import F32
from face.types import EMOTIONS
from training import command
from training.data.clip import FRAME_PX
from training.data.pairs import calm_talk, to_bytes
from training.metrics.statistics import cosine

if TYPE_CHECKING:
    from training.models.latent import LatentEncoder
    from training.trainers.looks import Looks

OTHERS: Final = ("val", "test")
FELT: Final = 0.6
"""of its highest intensity, from which a head that is drawn shows its emotion"""


def main(argv: list[str] | None = None) -> int:
    parser = command.parser_of("training.evaluate_latent", __doc__)
    parser.add_argument("data", metavar="SHARDS", type=Path)
    parser.add_argument("--inversion", type=Path, required=True, help="a run of the latent encoder")
    parser.add_argument("--visual", type=Path, required=True, help="a run of the visual encoder")
    parser.add_argument("--people", default="clean", help="set of weights to draw with")
    parser.add_argument("--every", type=int, default=6, help="of a clip's pictures one is taken")
    parser.add_argument("--most", type=int, default=200, help="pictures that are drawn")
    options = parser.parse_args(argv)
    return command.run("evaluate_latent", lambda: print("\n".join(evaluate(options))))


def evaluate(options: argparse.Namespace) -> list[str]:
    """Both tables, a line each row. Raises MienError."""
    from training.models.latent import LatentEncoder
    from training.models.visual import VisualEncoder
    from training.restore import restore
    from training.trainers.looks import looks_of
    from training.trainers.samples import Clips

    visual = restore(options.visual, "visual", VisualEncoder)
    encoder = restore(options.inversion, "inversion", LatentEncoder)
    learned, asked = (
        looks_of(Clips(options.data, split, lambda info, frames: frames > 0), visual, options.every)
        for split in ("train", OTHERS)
    )
    lines = ["inversion     pictures  people  L1     identity  shapes"]
    for name, figures, people in inversions(learned, asked, encoder, options):
        means = figures.mean(axis=0)
        lines.append(
            f"{name:13s} {len(figures):8d}  {people:6d}  {means[0]:5.2f}  {means[1]:8.3f}  "
            f"{means[2]:6.4f}"
        )
    lines.append("direction     pictures  right  mouths  on one side")
    for emotion, right, count, mouths, one_side in directions(learned, asked, encoder):
        lines.append(
            f"{EMOTIONS[emotion]:13s} {count:8d}  {right:5.3f}  {mouths:6d}  {one_side:11.3f}"
        )
    return lines


def inversions(
    learned: Looks, asked: Looks, encoder: LatentEncoder, options: argparse.Namespace
) -> Iterator[tuple[str, F32, int]]:
    """Name, figures [M, 3] of each picture, and how many people they are of."""
    import torch

    from face.expression.people import load_people
    from face.rig import load_rig
    from training.data.own import tracked
    from training.metrics.networks import judges
    from training.models.generator import SurfaceGenerator, batched, fields_of
    from training.models.latent import LatentEncoder
    from training.trainers.drawing import face_of
    from training.trainers.inversion import encode
    from training.trainers.looks import NEUTRAL, light_of

    generator = SurfaceGenerator(
        fields_of(load_people(options.people), load_rig(), light_of(learned))
    )
    fresh = LatentEncoder(encoder.size)
    [who] = judges(["faceres"])
    rng = np.random.default_rng(0)
    rows: dict[str, list[list[float]]] = defaultdict(list)
    people: set[str] = set()
    chosen = [asked.moments[int(n)] for n in rng.permutation(len(asked.moments))]
    for moment in (chosen * options.most)[: options.most]:
        calmest = int(moment[asked.reading[moment, NEUTRAL].argmax()])
        target = int(rng.choice(moment[moment != calmest]))
        canvas, truth = asked.canvas_like(calmest, target, FRAME_PX)
        batch = batched([canvas])
        codes = torch.from_numpy(asked.seen[[target, calmest]])
        pictures = {"canvas": batch["picture"]}
        with torch.no_grad():
            for name, one in (("tracked", fresh), ("inversion", encoder)):
                w = encode(one, codes)
                pictures[name] = generator(w[:1], w[1:], batch)
        found = tracked(to_bytes(truth))
        if found is None:
            continue
        identity = who(to_bytes(truth), found.landmarks)["faceres"]
        skin = float(batch["skin"].mean())
        figures = {}
        for name, picture in pictures.items():
            made = tracked(to_bytes(picture[0].numpy()))
            if made is None:
                break
            off = face_of((picture - torch.from_numpy(truth)).abs(), batch)
            own = who(to_bytes(picture[0].numpy()), made.landmarks)["faceres"]
            figures[name] = [
                255 * float(off.mean()) / skin,
                cosine(own[None], identity[None]),
                float(np.abs(made.rig - found.rig).mean()),
            ]
        if len(figures) == len(pictures):
            people.add(asked.subject[target])
            for name, row in figures.items():
                rows[name].append(row)
    if not rows:
        raise MienError("nobody of the val and test splits is seen twice in one light")
    for name, found_rows in rows.items():
        yield name, np.array(found_rows, np.float32), len(people)


def directions(
    learned: Looks, asked: Looks, encoder: LatentEncoder
) -> Iterator[tuple[int, float, int, int, float]]:
    """Emotion, accuracy between neutral and it (mean of both), pictures; and of heads that speak in
    it: how many moments, and the share that lies on the side where most of a head's lie."""
    import torch

    from training.directions import emotion_directions, from_own_neutral, speech_basis
    from training.trainers.inversion import encode
    from training.trainers.looks import NEUTRAL

    with torch.no_grad():
        codes, others = (
            encode(encoder, torch.from_numpy(x.seen)).numpy() for x in (learned, asked)
        )
    basis = speech_basis(*calm_talk(learned, codes))
    own, known = from_own_neutral(codes, learned.label, learned.subject)
    theirs, asked_of = from_own_neutral(others, asked.label, asked.subject)
    label = np.where(asked_of, asked.label, -1)
    for emotion, normal in emotion_directions(own[known], learned.label[known], basis).items():
        before, now = (np.tensordot(x, normal, axes=2) for x in (own, theirs))
        bounds = [np.median(before[known & (learned.label == e)]) for e in (NEUTRAL, emotion)]
        far = now > np.mean(bounds)
        felt, calm = far[label == emotion], far[label == NEUTRAL]
        if not len(felt) or not len(calm):
            continue
        right = (float(felt.mean()) + 1 - float(calm.mean())) / 2
        spoken = [far[places] for places in _spoken(asked, emotion)]
        agreed = [max(float(one.mean()), 1 - float(one.mean())) * len(one) for one in spoken]
        count = sum(map(len, spoken))
        yield emotion, right, len(felt) + len(calm), count, sum(agreed) / max(count, 1)


def _spoken(looks: Looks, emotion: int) -> Iterator[NDArray[np.int64]]:
    """Moments of each drawn head's clip in which it speaks and shows its emotion wholly."""
    for clip in sorted(set(looks.clip.tolist())):
        info = looks.clips.infos[clip]
        if (
            not info.synthetic
            or looks.clips.lengths[clip] == 1
            or info.emotion != EMOTIONS[emotion]
        ):
            continue
        strong = looks.clips[clip].clip.intensity
        places = np.flatnonzero(looks.clip == clip)
        if strong is not None and strong.max() > 0:
            kept = places[strong[looks.frame[places]] >= FELT * strong.max()]
            if len(kept) > 1:
                yield kept


if __name__ == "__main__":
    sys.exit(main())
