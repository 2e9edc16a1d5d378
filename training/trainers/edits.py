"""What the generator learns from: a face before, a face after, and what was asked for in between.

Three kinds of samples, mixed in a batch: self-reenactment (another frame of the same clip is the
truth), strict pairs (a synthetic head says the same with the same mouth in another emotion), and
edits of real faces as the live path asks for them, which have no truth: what a tracker finds in
them is held against what was asked.
"""

from __future__ import annotations

import threading
from collections import defaultdict

import numpy as np

from engine.types import EMOTIONS, F32, U8
from nodes.assets import FACE_LANDMARKER, locate
from nodes.conditions import TELLING, edit_flow, feeling, line_map, region_mask
from nodes.drive import Drive
from nodes.emotions import FEELING, MIRROR, worn
from nodes.expression_editor import asked_shapes
from nodes.landmarker import CROP_PX as REGION_PX
from nodes.landmarker import Landmarker, region_of
from nodes.rig import Rig, load_rig, upright
from training.models.generator import IDENTITY_PX
from training.trainers.samples import Array, Clips, Look, Sample, to_chw

TELLING_WEIGHT = 5.0
"""how often a pixel of eyes, brows and lips counts"""
OUTSIDE_WEIGHT = 0.3
"""how often one far from the face counts"""
NEUTRAL_SHARE, EMOTION_SHARE = 0.5, 0.35
"""of the edits without a truth; the rest is more or less of one's own"""


class Edits:
    """Draws rows of arrays for the generator from clips."""

    def __init__(self, clips: Clips, paired_share: float) -> None:
        self.clips, self.paired_share = clips, paired_share
        self.rig: Rig = load_rig()
        self._kept = threading.local()
        groups: dict[tuple[str, str, str], list[int]] = defaultdict(list)
        for index in clips.chosen:
            info = clips.infos[index]
            if info.synthetic:
                groups[info.source, info.subject, info.sentence].append(index)
        real = [index for index in clips.chosen if not clips.infos[index].synthetic]
        moving = [index for index in real if clips.lengths[index] > 1]
        self.moving = moving or real or clips.chosen
        self.pairs = [group for _, group in sorted(groups.items()) if len(group) > 1]

    def row(self, rng: np.random.Generator, frames: int) -> dict[str, Array] | None:
        """``frames`` edits of one source towards frames in a row; None where no face was found."""
        if self.pairs and rng.random() < self.paired_share:
            group = self.pairs[rng.integers(len(self.pairs))]
            first, second = rng.choice(group, 2, replace=False)
            source, target = self.clips[int(first)], self.clips[int(second)]
            both = min(len(source.clip), len(target.clip))
            shared = source.clip.found[:both] & target.clip.found[:both]
            times = _in_a_row(shared, frames, rng)
            if times is None:
                return None
            return self._build(source, times, target, times, rng, strict=True)
        sample = self.clips[int(rng.choice(self.moving))]
        times = _in_a_row(sample.clip.found, frames, rng)
        if times is None:
            return None
        start = int(rng.choice(np.flatnonzero(sample.clip.found)))
        return self._build(sample, [start] * frames, sample, times, rng, strict=False)

    def asked(self, rng: np.random.Generator) -> dict[str, Array] | None:
        """An edit without a truth: neutral half of the time, an emotion, or more or less of one's
        own; None where no face was found. ``felt`` is the index of the emotion that it should show,
        -1 where that isn't known, and ``strength`` [0..1] how much."""
        index = self.clips.draw(rng)
        if rng.random() < 0.5 or self.clips.infos[index].synthetic:
            index = int(rng.choice(self.moving))
        sample = self.clips[index]
        found = np.flatnonzero(sample.clip.found)
        if not len(found):
            return None
        felt = sample.clip.blendshapes[found][:, FEELING].sum(axis=1)
        stronger = found[np.argsort(felt, kind="stable")[len(found) // 2 :]]
        time = int(rng.choice(stronger if rng.random() < 0.7 else found))
        kind = rng.random()
        shapes, gone, felt, strength = np.zeros(len(FEELING), np.float32), 1.0, 0, 1.0
        if NEUTRAL_SHARE <= kind < NEUTRAL_SHARE + EMOTION_SHARE:
            felt = 1 + int(rng.integers(len(EMOTIONS) - 1))
            strength = float(rng.uniform(0.4, 1.0))
            shapes = worn(EMOTIONS[felt]) * np.float32(strength)
        elif kind >= NEUTRAL_SHARE:
            gone, felt = float(rng.uniform(-1, 1)), -1
        return self.edit(sample, time, shapes, gone, rng) | {
            "felt": np.array(felt, np.int64),
            "strength": np.array(strength, np.float32),
        }

    def neutralized(self, sample: Sample, time: int, rng: np.random.Generator) -> dict[str, Array]:
        """A real frame to be made neutral: the feeling goes, speech, gaze and blinks stay."""
        return self.edit(sample, time, np.zeros(len(FEELING), np.float32), 1.0, rng)

    def edit(
        self,
        sample: Sample,
        time: int,
        worn: F32,
        gone: float,
        rng: np.random.Generator,
        opens: float = 0.0,
    ) -> dict[str, Array]:
        """A frame whose own feeling goes by the share ``gone`` and that wears the shapes ``worn``
        [52], with the flow that the live path's warp would apply. The share ``opens`` of a jaw
        that is to drop does. ``weight`` is below 1 on the face."""
        clip, mirrored = sample.clip, bool(rng.random() < 0.5)
        shapes, landmarks = clip.blendshapes[time], clip.landmarks[time]
        if mirrored:
            shapes, landmarks = shapes[MIRROR], self._flipped(landmarks)
        wanted = asked_shapes(shapes, worn, gone, opens=opens)
        moves = self._drive().moves(landmarks, shapes, wanted, self.rig.place(landmarks))
        target = landmarks.copy()
        target[:, :2] += moves
        edit = self._conditions(landmarks, target, wanted, False)
        return edit | {
            "source": to_chw(_mirror(clip.frame(time), mirrored)),
            "reference": _reference(sample, rng, mirrored),
            "shapes": shapes,
            "wanted": np.where(self.rig.observable, wanted, shapes).astype(np.float32),
            "opening": _opening(target),
            "weight": _slack(target),
            "region": _region(target, rng),
        }

    def _drive(self) -> Drive:
        """The warp's own drive; one for each thread, since it keeps what it learned of a face."""
        if not hasattr(self._kept, "drive"):
            landmarker = Landmarker(locate(FACE_LANDMARKER))
            self._kept.drive = Drive(self.rig, landmarker.blendshapes)
        drive: Drive = self._kept.drive
        drive.reset()
        return drive

    def _build(
        self,
        before: Sample,
        starts: list[int],
        after: Sample,
        times: list[int],
        rng: np.random.Generator,
        strict: bool,
    ) -> dict[str, Array]:
        mirrored, by_rig = bool(rng.random() < 0.5), bool(rng.random() < 0.5) and not strict
        reference = _reference(before, rng, mirrored)
        rows: dict[str, list[Array]] = defaultdict(list)
        for start, time in zip(starts, times, strict=True):
            source = before.clip.landmarks[start]
            truth = after.clip.landmarks[time]
            target = self._asked(before, start, after, time) if by_rig else truth
            edit = self._conditions(source, target, after.clip.blendshapes[time], mirrored)
            edit["source"] = to_chw(_mirror(before.clip.frame(start), mirrored))
            edit["truth"] = to_chw(_mirror(after.clip.frame(time), mirrored))
            shown = truth if not mirrored else self._flipped(truth)
            came_from = source if not mirrored else self._flipped(source)
            edit["weight"] = _weight(shown)
            edit["points"] = shown[_LIPS, :2].astype(np.float32)
            edit["shift"] = (came_from - shown)[_LIPS, :2].astype(np.float32)
            eyes = shown[263, :2] - shown[33, :2]
            edit["eyes"] = np.array(max(float(np.linalg.norm(eyes)), 8.0), np.float32)
            edit["reference"] = reference
            for name, value in edit.items():
                rows[name].append(value)
        return {name: np.stack(values) for name, values in rows.items()}

    def _asked(self, before: Sample, start: int, after: Sample, time: int) -> F32:
        """Where the rig alone would put the landmarks [478, 3]: this face's own shape, the other
        frame's pose and blendshapes. It is what a live edit has to go by."""
        source, truth = before.clip.landmarks[start], after.clip.landmarks[time]
        face = self.rig.face(source, self.rig.place(source))
        change = after.clip.blendshapes[time] - before.clip.blendshapes[start]
        face = face + np.tensordot(change, self.rig.basis, axes=1)
        placed = self.rig.place(truth)
        return upright((face @ placed.turn.T * placed.scale + placed.offset).astype(np.float32))

    def _conditions(
        self, source: F32, target: F32, shapes: F32, mirrored: bool
    ) -> dict[str, Array]:
        if mirrored:
            source, target, shapes = self._flipped(source), self._flipped(target), shapes[MIRROR]
        direction, alpha = feeling(shapes)
        return {
            "flow": edit_flow(source, target, self.rig.triangles),
            "lines": np.stack([line_map(source), line_map(target)]),
            "expression": direction,
            "intensity": np.array([alpha], np.float32),
        }

    def _flipped(self, landmarks: F32) -> F32:
        turned = landmarks[self.rig.mirror].copy()
        turned[:, 0] = 255 - turned[:, 0]
        return turned


_LIPS = TELLING[0]


def _reference(sample: Sample, rng: np.random.Generator, mirrored: bool) -> F32:
    """A calm frame of the same clip [3, 128, 128]: who this is."""
    found = np.flatnonzero(sample.clip.found)
    order = found[np.argsort(sample.labels.intensity[found], kind="stable")]
    calm = order[: max(1, len(order) // 3)]
    picture = _mirror(sample.clip.frame(int(rng.choice(calm))), mirrored)
    return Look.plain(IDENTITY_PX).picture(picture, IDENTITY_PX)


def _opening(landmarks: F32) -> Array:
    """How far the mouth is open, in distances of the outer eye corners."""
    parted = float(np.linalg.norm(landmarks[13, :2] - landmarks[14, :2]))
    return np.array(
        parted / max(float(np.linalg.norm(landmarks[33] - landmarks[263])), 1), np.float32
    )


def _region(landmarks: F32, rng: np.random.Generator) -> F32:
    """Where a tracker would look [2, 3], a little off: points of its own square to the crop's."""
    square = region_of(landmarks)
    angle = square.angle + float(rng.uniform(-0.06, 0.06))
    step = square.side / REGION_PX * float(rng.uniform(0.96, 1.04))
    cos, sin = np.cos(angle) * step, np.sin(angle) * step
    turn = np.array([[cos, -sin], [sin, cos]])
    middle = np.array([square.x, square.y]) + rng.uniform(-0.01, 0.01, 2) * square.side
    offset = middle - turn @ np.full(2, (REGION_PX - 1) / 2)
    return np.column_stack([turn, offset]).astype(np.float32)


def _slack(landmarks: F32) -> F32:
    """How much an edit should keep what the warp shows [1, 256, 256]: little where one reads a
    feeling, all around the face."""
    near = region_mask(landmarks, (np.arange(468),), 6).astype(np.float32)
    telling = region_mask(landmarks, TELLING, 8).astype(np.float32)
    weight = 1 - 0.6 * near - 0.3 * telling * near
    return weight[None].astype(np.float32)


def _mirror(picture: U8, mirrored: bool) -> U8:
    return np.ascontiguousarray(picture[:, ::-1]) if mirrored else picture


def _weight(landmarks: F32) -> F32:
    """How much each pixel counts [1, 256, 256]."""
    near = region_mask(landmarks, (np.arange(468),), 10).astype(np.float32)
    telling = region_mask(landmarks, TELLING, 5).astype(np.float32)
    weight = OUTSIDE_WEIGHT + (1 - OUTSIDE_WEIGHT) * near + (TELLING_WEIGHT - 1) * telling
    return weight[None].astype(np.float32)


def _in_a_row(found: Array, frames: int, rng: np.random.Generator) -> list[int] | None:
    """Frames one after another, all found; None where there are none."""
    good = np.asarray(found, bool)
    if frames > 1:
        windows = (
            np.lib.stride_tricks.sliding_window_view(good, frames) if len(good) >= frames else ()
        )
        starts = np.flatnonzero([bool(window.all()) for window in windows])
    else:
        starts = np.flatnonzero(good)
    if not len(starts):
        return None
    start = int(rng.choice(starts))
    return list(range(start, start + frames))
