"""Clips as trainers want them: kept in memory where they fit, drawn evenly, changed at random."""

from __future__ import annotations

import threading
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from engine.errors import MienError
from engine.types import F32, U8
from face.emotions import MIRROR
from face.types import EMOTIONS
from training.data.clip import Clip, ClipInfo, open_clips, to_stderr
from training.labels import FrameLabels, clip_labels, own_neutral

Array = NDArray[Any]

KEPT_FRAMES: Final = 24_000
TRIES: Final = 300
MADE_SHARE: Final = 0.25
"""how much a synthetic person counts beside a real one, where people are drawn"""


@dataclass(frozen=True, eq=False)
class Sample:
    """A clip and the labels of its frames."""

    clip: Clip
    labels: FrameLabels

    @property
    def emotion(self) -> int:
        """Index of the clip's emotion, -1 where unknown."""
        name = self.clip.info.emotion
        return EMOTIONS.index(name) if name else -1

    @property
    def label(self) -> str:
        """The clip's emotion, or its word; "" where unknown."""
        return self.clip.info.label


class NoClipsError(MienError):
    """No clip of a split fits."""


class Clips:
    """The clips of a split. Safe to use from several threads."""

    def __init__(
        self,
        data: Path,
        split: str | Collection[str],
        wanted: Callable[[ClipInfo, int], bool] | None = None,
    ) -> None:
        """Of one split, or some; ``wanted`` (info, frames) chooses. Raises MienError where nothing
        is left."""
        splits = (split,) if isinstance(split, str) else tuple(split)
        self.data = data
        every = open_clips(data)
        self._source = every
        self.infos = every.infos
        self.lengths = every.lengths
        self.shards = every.shards
        self.chosen = [
            index
            for index, (info, frames) in enumerate(zip(self.infos, self.lengths, strict=True))
            if info.split in splits and (wanted is None or wanted(info, frames))
        ]
        if not self.chosen:
            raise NoClipsError(
                f"{data} has no fitting clip in its {' or '.join(splits)} split; prepare more"
            )
        self._kept: OrderedDict[int, Sample] = OrderedDict()
        self._kept_frames = 0
        self._neutral: dict[str, F32 | None] = {}
        self._lock = threading.Lock()
        self._noted: set[str] = set()
        self.by_emotion: dict[str, list[int]] = defaultdict(list)
        for index in self.chosen:
            self.by_emotion[self.infos[index].label].append(index)
        self.by_subject: dict[str, list[int]] = defaultdict(list)
        groups: dict[tuple[str, str], list[int]] = defaultdict(list)
        for index in self.chosen:
            self.by_subject[self.infos[index].subject].append(index)
            groups[self.infos[index].source, self.infos[index].label].append(index)
        self._groups = [group for _, group in sorted(groups.items())]
        self._people = np.array(
            [
                len({self.infos[i].subject for i in g})
                * (MADE_SHARE if self.infos[g[0]].synthetic else 1.0)
                for g in self._groups
            ]
        )

    @classmethod
    def held_out(
        cls, data: Path, wanted: Callable[[ClipInfo, int], bool] | None = None
    ) -> Clips | None:
        """Those of the val split; None where it has none that fit. Raises MienError."""
        try:
            return cls(data, "val", wanted)
        except NoClipsError:
            return None

    def __getitem__(self, index: int) -> Sample:
        with self._lock:
            if (kept := self._kept.get(index)) is not None:
                self._kept.move_to_end(index)
                return kept
        clip = self._source[index]
        sample = Sample(clip, clip_labels(clip, self.neutral_of(clip.info.subject)))
        with self._lock:
            if index not in self._kept:
                self._kept_frames += _weight(sample)
            self._kept[index] = sample
            while self._kept_frames > KEPT_FRAMES and len(self._kept) > 1:
                self._kept_frames -= _weight(self._kept.popitem(last=False)[1])
        return sample

    def draw(self, rng: np.random.Generator) -> int:
        """A clip's index: emotions alike often (those of no label as one), then clips alike."""
        emotions = sorted(self.by_emotion)
        return int(rng.choice(self.by_emotion[emotions[rng.integers(len(emotions))]]))

    def draw_tempered(self, rng: np.random.Generator, power: float = 0.5) -> int:
        """A clip's index: a source and emotion as often as its number of people to a ``power``
        says, so that rare emotions are seen more often than they are, yet not learned by heart."""
        share = self._people**power
        group = self._groups[rng.choice(len(self._groups), p=share / share.sum())]
        return int(rng.choice(group))

    def gather(
        self,
        count: int,
        row: Callable[[], Mapping[str, Array] | None],
        lacking: str,
    ) -> dict[str, Array]:
        """``count`` rows as one batch. A row that is None, or whose clip is damaged, is drawn anew;
        damage is said once. Raises MienError (``lacking`` says what) where rows are hard to get."""
        rows: dict[str, list[Array]] = {}
        got = 0
        for _ in range(count + TRIES):
            try:
                drawn = row()
            except MienError as error:
                self._note(str(error))
                continue
            for name, value in (drawn or {}).items():
                rows.setdefault(name, []).append(value)
            got += drawn is not None
            if got == count:
                return {name: np.stack(values) for name, values in rows.items()}
        raise MienError(f"hardly a clip of {self.data} {lacking}; prepare others")

    def _note(self, line: str) -> None:
        with self._lock:
            new = line not in self._noted
            self._noted.add(line)
        if new:
            to_stderr(f"left out: {line}")

    def neutral_of(self, subject: str) -> F32 | None:
        """A speaker's own neutral [52] over all their clips; None where no face of theirs is. Of
        people who are known from still pictures alone: that of all who look neutral in theirs."""
        own = self.by_subject.get(subject, [])
        if own and all(self.lengths[index] == 1 for index in own):
            return self._neutral_from(
                "", [i for i in self.by_emotion.get("neutral", own) if self.lengths[i] == 1] or own
            )
        return self._neutral_from(subject, own)

    def _neutral_from(self, subject: str, indices: list[int]) -> F32 | None:
        with self._lock:
            if subject in self._neutral:
                return self._neutral[subject]
        frames = []
        for index in indices:
            try:
                found, blendshapes = self._source.arrays(index, "found", "blendshapes")
            except MienError as error:
                self._note(str(error))
                continue
            if found.any():
                frames.append(blendshapes[found])
        neutral = None
        if frames:
            every = np.concatenate(frames)
            neutral = own_neutral(every) if subject else every.mean(axis=0).astype(np.float32)
        with self._lock:
            self._neutral[subject] = neutral
            return neutral


def _weight(sample: Sample) -> int:
    """What it takes to keep a sample, in frames; sound alone counts as its mel would."""
    return max(len(sample.clip), len(sample.clip.mel) // 40, 1)


def run_of_frames(found: Array, length: int, rng: np.random.Generator) -> Array | None:
    """Indices [length] of frames in a row whose faces were found; short runs repeat their last."""
    good = np.flatnonzero(found)
    if not len(good):
        return None
    start = int(rng.choice(good))
    frames = [start]
    while len(frames) < length:
        following = frames[-1] + 1
        frames.append(following if following < len(found) and found[following] else frames[-1])
    return np.array(frames)


@dataclass(frozen=True)
class Augmentation:
    """One random change of camera and light, the same for every frame of a sample."""

    matrix: F32
    gain: F32
    lift: F32
    blur: float
    mirrored: bool

    @staticmethod
    def draw(rng: np.random.Generator, crop_px: int, strength: float = 1.0) -> Augmentation:
        """Turned up to 8 degrees, scaled and shifted by up to 8 %, lit otherwise, mirrored."""
        mirrored = bool(rng.random() < 0.5)
        angle = np.radians(rng.uniform(-8, 8) * strength)
        scale = crop_px / 256 * (1 + rng.uniform(-0.08, 0.08) * strength)
        cos, sin = scale * np.cos(angle), scale * np.sin(angle)
        turn = np.array([[cos, -sin], [sin, cos]], np.float32)
        if mirrored:
            turn = turn @ np.diag([-1, 1]).astype(np.float32)
        shift = rng.uniform(-0.06, 0.06, 2) * crop_px * strength
        offset = crop_px / 2 - turn @ [127.5, 127.5] + shift - 0.5
        return Augmentation(
            matrix=np.column_stack([turn, offset]).astype(np.float32),
            gain=rng.uniform(0.75, 1.25) * rng.uniform(0.92, 1.08, 3).astype(np.float32),
            lift=rng.uniform(-0.08, 0.08, 1).astype(np.float32),
            blur=float(rng.uniform(0, 1.5)) if rng.random() < 0.3 else 0.0,
            mirrored=mirrored,
        )

    @staticmethod
    def plain(crop_px: int) -> Augmentation:
        """Only scaled to ``crop_px``."""
        scale = crop_px / 256
        offset = scale / 2 - 0.5
        matrix = np.array([[scale, 0, offset], [0, scale, offset]], np.float32)
        return Augmentation(matrix, np.ones(3, np.float32), np.zeros(1, np.float32), 0.0, False)

    def picture(self, picture: U8, crop_px: int) -> F32:
        """A frame [256, 256, 3] as [3, S, S] in 0..1."""
        import cv2

        small = cv2.blur(picture, (2, 2)) if crop_px < 200 else picture
        side = (crop_px, crop_px)
        moved = cv2.warpAffine(small, self.matrix, side, borderMode=cv2.BORDER_REPLICATE)
        out: Array = moved.astype(np.float32)
        if self.blur:
            out = cv2.GaussianBlur(out, (0, 0), self.blur)
        lit = np.clip(out / 255 * self.gain + self.lift, 0, 1)
        return np.ascontiguousarray(lit.transpose(2, 0, 1), np.float32)

    def rig(self, shapes: F32) -> F32:
        """The blendshapes [..., 52] as this camera sees them."""
        return shapes[..., MIRROR] if self.mirrored else shapes
