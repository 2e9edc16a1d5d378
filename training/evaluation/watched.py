"""Where sequences of pictures lie in the emotion space, and how far sets of them are apart.

VE-FID of pictures is the Frechet distance of their places; EcoFace's own features (frame attention
networks) are others', so figures aren't comparable with its.
Legend: P pictures of 40 ms, S features of the face backbone, D of the space.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch

from engine.types import F32, U8
from training.data.clip import Clip, ClipInfo
from training.metrics.statistics import frechet_distance, left_out_error
from training.models.emotion_space import EmotionSpace
from training.trainers.face_features import backbone_of
from training.trainers.samples import Augmentation

CALM: Final = "calm"
FELT: Final = "emotional"
LEAST: Final = 12
"""sequences from which on a distance says anything"""


@dataclass(frozen=True, eq=False)
class Place:
    """Of pictures in a row: whose, and where in the space [D]; ``first`` of the clip's pictures."""

    info: ClipInfo
    place: F32
    first: int = 0

    @property
    def moment(self) -> tuple[str, int]:
        """Of which clip, and when."""
        return self.info.key, self.first


class Watcher:
    """The visual side of an emotion space. Raises MienError where it never learned from crops."""

    def __init__(self, space: EmotionSpace) -> None:
        self._eyes, self._space = space.eyes(), space
        self._see = backbone_of(self._eyes)
        self._plain = Augmentation.plain(self._eyes.crop_px)

    def __call__(self, crops: Sequence[U8]) -> F32:
        """Of crops [256, 256, 3] RGB in a row their place [D], the mean over time."""
        seen_PS = [self._see(self._plain.picture(crop, self._eyes.crop_px)) for crop in crops]
        with torch.no_grad():
            z_BTD = self._space.crop(torch.from_numpy(np.stack(seen_PS))[None])
        return np.asarray(z_BTD.mean(dim=1)[0])

    def places(self, clip: Clip, length: int) -> Iterator[Place]:
        """Of a clip, ``length`` pictures at a time, as far as its face is seen; a still is one."""
        for first in range(0, max(1, len(clip) - length + 1), length):
            run = np.arange(first, min(first + length, len(clip)))
            if len(run) and clip.found[run].all():
                yield Place(clip.info, self([clip.frame(int(t)) for t in run]), first)


def apart(drawn: Sequence[Place], real: Sequence[Place]) -> str:
    """VE-FID, times 100 as that of rigs is, and half of its 95 % interval over people; "-" where
    there are too few."""
    if min(len(drawn), len(real)) < LEAST:
        return "-"
    sides = [np.stack([one.place for one in places]) for places in (drawn, real)]
    names = [[one.info.subject for one in places] for places in (drawn, real)]
    found = 100 * frechet_distance(*sides)
    return f"{found:.1f} ± {100 * left_out_error(frechet_distance, sides, names):.1f}"


def kinds(real: Sequence[Place]) -> dict[str, list[Place]]:
    """Real faces by whether their label is an emotion; those without a label are neither."""
    return {
        CALM: [one for one in real if one.info.emotion == "neutral"],
        FELT: [one for one in real if one.info.emotion not in ("", "neutral")],
    }


def as_text(drawn: dict[str, list[Place]], real: Sequence[Place]) -> str:
    """A table in Markdown: a row for each way, a column for each kind of real faces; the last rows
    are what real people's faces are apart from each other's."""
    by_kind = kinds(real)
    counts = [
        f"{kind}: {len(own)} of {len({one.info.subject for one in own})} people"
        for kind, own in by_kind.items()
    ]
    lines = [f"| VE-FID of pictures | {' | '.join(counts)} |", "| --- | --- | --- |"]
    for way, own in drawn.items():
        lines.append(f"| {way} | {' | '.join(apart(own, faces) for faces in by_kind.values())} |")
    for kind, own in by_kind.items():
        cells = []
        for other, faces in by_kind.items():
            cells.append(apart(*_halves(own)) if other == kind else apart(own, faces))
        lines.append(f"| real, {kind} (itself: half against half) | {' | '.join(cells)} |")
    return "\n".join(lines)


def _halves(places: Sequence[Place]) -> tuple[list[Place], list[Place]]:
    """Every other person, and the rest."""
    people = sorted({one.info.subject for one in places})[::2]
    first = [one for one in places if one.info.subject in people]
    return first, [one for one in places if one.info.subject not in people]
