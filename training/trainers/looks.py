"""Pictures of faces and what is seen in each: what expressions by reference are learned from."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray

from engine.errors import MienError
from engine.types import F32, U8
from face.render.detail import COLUMNS, ROWS, detail
from face.render.renderer import placed
from face.render.surface import load_surface
from face.rig import Placement, load_rig
from face.types import EMOTIONS
from training.models.generator import canvas_of, posed
from training.models.intensity import READING, reading
from training.models.visual import VisualEncoder
from training.trainers.cache import cached, each, key_of
from training.trainers.samples import Array, Augmentation, Clips

AGREED: Final = 0.25
"""how likely a label has to be to the visual encoder: crowds err, and clips have calm moments"""
SMOOTH: Final = 1.5
"""of the mean light of an emotion, in cells"""
_AT_ONCE: Final = 32
NEUTRAL: Final = EMOTIONS.index("neutral")


@dataclass(frozen=True, eq=False)
class Looks:
    """N pictures: ``clip`` and ``frame`` [N] where each lies, ``shapes`` [N, 52] as tracked,
    ``reading`` [N, 11] of each by itself, ``label`` [N] its emotion, -1 where unknown or not
    agreed with."""

    clips: Clips
    clip: NDArray[np.int64]
    frame: NDArray[np.int64]
    shapes: F32
    reading: F32
    label: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.clip)

    @cached_property
    def seen(self) -> F32:
        """Shapes and reading [N, 63]."""
        return np.concatenate([self.shapes, self.reading], axis=1)

    @cached_property
    def subject(self) -> list[str]:
        return [self.clips.infos[index].subject for index in self.clip]

    @cached_property
    def by_emotion(self) -> dict[int, NDArray[np.int64]]:
        """Pictures of each emotion that is known."""
        return {e: np.flatnonzero(self.label == e) for e in sorted(set(self.label.tolist()) - {-1})}

    @cached_property
    def by_subject(self) -> dict[tuple[str, int], list[int]]:
        """The same of one person."""
        found: dict[tuple[str, int], list[int]] = defaultdict(list)
        for place, (subject, label) in enumerate(zip(self.subject, self.label, strict=True)):
            if label >= 0:
                found[subject, int(label)].append(place)
        return found

    @cached_property
    def moments(self) -> list[NDArray[np.int64]]:
        """Pictures of one person in one light, two or more: a clip's, or a sitting's."""
        found: dict[Any, list[int]] = defaultdict(list)
        for place, index in enumerate(self.clip):
            info = self.clips.infos[index]
            alone = self.clips.lengths[index] == 1
            sitting = (info.source, info.subject, info.take) if info.source in SITTINGS else index
            found[sitting if alone else index].append(place)
        return [np.array(places) for _, places in sorted(found.items(), key=str) if len(places) > 1]

    def picture(self, place: int) -> tuple[U8, F32, Placement]:
        """RGB [256, 256, 3], landmarks [478, 3] px, and where the head is. Raises MienError."""
        clip, frame = self.clips[int(self.clip[place])].clip, int(self.frame[place])
        landmarks = clip.landmarks[frame]
        return clip.frame(frame), landmarks, load_rig().place(landmarks)

    def canvas(self, place: int, side_px: int) -> dict[str, F32]:
        """A picture as a canvas, without a batch."""
        return canvas_of(*self.picture(place), side_px)

    def canvas_like(self, place: int, other: int, side_px: int) -> tuple[dict[str, F32], F32]:
        """The same, its head where another picture's is; and that picture [3, S, S]."""
        rig = load_rig()
        picture, landmarks, placement = self.picture(place)
        truth, _, there = self.picture(other)
        target = placed(rig.face(landmarks, placement), there)
        moved = posed(picture, landmarks, target, rig)
        plain = Augmentation.plain(side_px)
        return canvas_of(moved, target, there, side_px), plain.picture(truth, side_px)


SITTINGS: Final = ("heads", "own", "made")
"""sources whose stills of one take have one light"""


def looks_of(clips: Clips, visual: VisualEncoder, every: int) -> Looks:
    """Every so many pictures of all clips with faces; from the user's cache where they were read
    before. Raises MienError."""
    made = cached("looks", key_of(clips, visual, every), lambda: _read(clips, visual, every))
    if not len(made["clip"]):
        raise MienError(f"no clip of {clips.data} shows a face; prepare others")
    return Looks(clips, **made)


def _read(clips: Clips, visual: VisualEncoder, every: int) -> Mapping[str, Array]:
    rows: dict[str, list[Array]] = {name: [] for name in ("clip", "frame", "shapes", "reading")}
    labels: list[Array] = []
    side = visual.size.crop_px
    plain = Augmentation.plain(side)

    def look(number: int, index: int) -> None:
        clip = clips[index].clip
        frames = np.flatnonzero(clip.found)[::every]
        readings = np.zeros((len(frames), READING), np.float32)
        for start in range(0, len(frames), _AT_ONCE):
            part = frames[start : start + _AT_ONCE]
            crops = np.stack([plain.picture(clip.frame(int(t)), side) for t in part])
            readings[start : start + len(part)] = read(visual, crops, clip.blendshapes[part])
        emotion = EMOTIONS.index(clip.info.emotion) if clip.info.emotion else -1
        agreed = readings[:, emotion] >= AGREED if emotion >= 0 else np.zeros(len(frames), np.bool_)
        known = np.where(agreed | (clip.info.synthetic & (len(clip) == 1)), emotion, -1)
        labels.append(known.astype(np.int64))
        rows["clip"].append(np.full(len(frames), index, np.int64))
        rows["frame"].append(frames.astype(np.int64))
        rows["shapes"].append(clip.blendshapes[frames])
        rows["reading"].append(readings)

    for _ in each(clips, look, "looking"):
        pass
    return {name: np.concatenate(parts) for name, parts in (rows | {"label": labels}).items()}


def read(visual: VisualEncoder, crops: F32, shapes: F32) -> F32:
    """What the visual encoder says [N, 11] of crops [N, 3, S, S], each by itself."""
    with torch.no_grad():
        frames = visual.look(torch.from_numpy(crops), torch.from_numpy(shapes))
        answer = visual.judge(frames, visual.begin(len(crops)))
    readings: F32 = reading(*answer[1:4]).numpy()
    return readings


def light_of(looks: Looks) -> F32:
    """What each emotion does to the logarithm of light [8, ROWS, COLUMNS]: the mean over stills of
    people whose own neutral of one sitting is known; zeros where nobody's is."""
    import cv2

    found: dict[int, list[F32]] = defaultdict(list)
    for moment in looks.moments:
        calm = [p for p in moment if looks.label[p] == NEUTRAL and _still(looks, p)]
        for place in moment if calm else ():
            if looks.label[place] > NEUTRAL and _still(looks, place):
                change = _detail(looks, int(place)) - _detail(looks, int(calm[0]))
                found[int(looks.label[place])].append(change)
    light = np.zeros((len(EMOTIONS), ROWS, COLUMNS), np.float32)
    for emotion, changes in found.items():
        mean = np.stack(changes).mean(axis=0)
        light[emotion] = cv2.GaussianBlur((mean + mean[:, ::-1]) / 2, (0, 0), SMOOTH)
    return light


def _still(looks: Looks, place: int) -> bool:
    return bool(looks.clips.lengths[looks.clip[place]] == 1)


def _detail(looks: Looks, place: int) -> F32:
    picture, landmarks, _ = looks.picture(place)
    bgr = np.ascontiguousarray(picture[..., ::-1])
    return detail(*load_surface().unwrap(bgr, landmarks))


class Canvases:
    """Canvases that are asked for again and again, kept small. Safe to use from several threads."""

    def __init__(self, looks: Looks, side_px: int) -> None:
        self._looks, self._side = looks, side_px
        self._kept: dict[int, dict[str, NDArray[np.float16]]] = {}
        self._lock = threading.Lock()

    def __getitem__(self, place: int) -> dict[str, F32]:
        with self._lock:
            kept = self._kept.get(place)
        if kept is None:
            made = self._looks.canvas(place, self._side)
            kept = {name: value.astype(np.float16) for name, value in made.items()}
            with self._lock:
                self._kept[place] = kept
        return {name: value.astype(np.float32) for name, value in kept.items()}
