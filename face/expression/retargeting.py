"""How the landmarks must move so that a tracker sees the shapes that were asked for.

The rig alone falls short: a shape isn't linear in the landmarks, and a tracker that looks at a
warped picture finds each landmark moved by only a part of what the pixels moved. So the rig is
driven in a closed loop: predict the landmarks that a tracker would find, read their shapes with the
same network that will judge them, and correct the rig by what is missing. On a still picture the
loop runs to its end; on video one step per frame carries on from the last.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np
from numpy.typing import NDArray

from engine.types import F32
from face.emotions import FEELING, JAW, sides
from face.ramps import ramp
from face.rig import Placement, Rig
from face.topology import (
    BROWS,
    EYE_CONTOURS,
    LID_MIDDLES,
    LOWER_INNER,
    LOWER_LIP,
    OUTER_EYE_LEFT,
    OUTER_EYE_RIGHT,
    UPPER_INNER,
    UPPER_LIP,
)

STILL_STEPS: Final = 10
GAIN: Final = 0.6
"""share of what is missing that a step corrects"""
REMOVAL: Final = 1.4
"""how much further a shape is taken away than asked: near zero the network no longer tells"""
LEAK: Final = 0.04
"""share of the correction that a step forgets; keeps shapes that can't be had from running off"""
SLACK: Final = (1.3, 0.15)
"""bound of the correction where a shape is taken away: share of the change, and a constant"""
SLACK_ADDED: Final = (2.2, 0.15)
"""the same where a shape is added: the network is slow to see a frown or a pressed lip"""
MAX_DISPLACEMENT: Final = 0.17
"""about how far a landmark may move, in eye distances"""
MAX_LID_DISPLACEMENT: Final = 0.07
"""how far lids may move, in eye distances"""
LID_ROOM: Final = (0.65, 0.014)
"""the same as a share of the eye's own opening, and a constant: a shut eye has nothing to show"""
STILL_LID: Final = 0.002
"""what is left to the lids of an eye that is shut, in eye distances"""
BLINK: Final = (0.2, 0.45)
"""between these an eye that blinks, or looks down, is left more and more to itself"""
SMILE_SHUT: Final = 0.95
"""share of the mouth's opening that goes with a smile that is taken away: it bared the teeth"""
FULL_SMILE: Final = 0.3
SPEAKING_JAW: Final = (0.1, 0.3)
"""from where to where a jaw opens that speaks rather than laughs: then the lips open to speak"""
LIPS_RISE: Final = 0.0015
"""who speaks shuts the lips now and then, so what a smile bares is their least opening of late,
which is forgotten by that each picture, in eye distances"""
JAW_RISE: Final = 0.004
"""the same of the jaw"""

_BLINKS: Final = sides("eyeBlink")[::-1]  # the right one first
_SMILE, _UPPER_UP = sides("mouthSmile"), sides("mouthUpperUp")


class Retargeting:
    """The rig under control. Keeps its correction from frame to frame until ``reset``."""

    def __init__(self, rig: Rig, blendshapes: Callable[[F32], F32]) -> None:
        self._rig = rig
        self._blendshapes = blendshapes
        self._steered: NDArray[np.bool_] = FEELING & rig.observable
        self._guard_lips = _LipGuard(rig)
        self._lids = [_lid_weights(rig, lids) for lids in LID_MIDDLES]
        self.reset()

    def reset(self) -> None:
        """Forget the correction: the next face is another picture."""
        self._correction = np.zeros(len(FEELING), np.float32)
        self._fresh = True
        self._guard_lips.reset()

    def displacements(
        self,
        landmarks: F32,
        source: F32,
        target: F32,
        placement: Placement,
        strength: float = 1.0,
        opens: bool = False,
    ) -> F32:
        """Displacements [478, 2] px that turn the shapes ``source`` [52] into ``target`` [52].

        ``opens``: a jaw that is to drop parts the lips; else it stays, since a warp has nothing to
        show between them.
        """
        steps = STILL_STEPS if self._fresh else 1
        self._fresh = False
        change = (target - source) * np.float32(strength)
        if not opens:
            change[JAW] = min(change[JAW], 0)
        asked = np.where(change < 0, REMOVAL * change, change).astype(np.float32)
        share, constant = np.where(change[:, None] > 0, SLACK_ADDED, SLACK).T
        bound = share * np.abs(change) + constant * (change != 0)
        size = _eye_distance(landmarks)
        limits = self._limits(landmarks, size, source)
        up = _face_up(placement)
        self._guard_lips.begin(landmarks, up, size, source, target)
        if change[JAW] > 0:
            jaw = np.zeros_like(change)
            jaw[JAW] = change[JAW] + self._guard_lips.shut * source[JAW]
            dropped = self._rig.displace(jaw, placement)
            self._guard_lips.part(dropped, up)
            limits = limits + np.linalg.norm(dropped, axis=1, keepdims=True)
        displacements = self._realize(asked, placement, limits)
        for _ in range(steps):
            seen = landmarks.copy()
            seen[:, :2] += displacements * self._rig.response[:, None]
            missing = np.where(self._steered, target - self._blendshapes(seen), 0)
            correction = (1 - LEAK) * self._correction + GAIN * strength * missing
            self._correction = np.clip(correction, -bound, bound).astype(np.float32)
            displacements = self._realize(asked, placement, limits)
        return displacements

    def _realize(self, asked: F32, placement: Placement, limits: F32) -> F32:
        displacements = self._rig.displace(asked + self._correction, placement)
        self._guard_lips(displacements, _face_up(placement))
        length = np.linalg.norm(displacements, axis=1, keepdims=True) / limits
        limited: F32 = (displacements / (1 + length**4) ** 0.25).astype(np.float32)
        return limited

    def _limits(self, landmarks: F32, size: float, source: F32) -> F32:
        """How far each landmark may move [478, 1] px: lids less than the rest.

        Lids that move far stretch the eye or the skin above it, which a warp can't paint anew; of
        an eye that shuts they'd stretch lashes to a dark hollow.
        """
        limits = np.full((len(landmarks), 1), MAX_DISPLACEMENT, np.float32)
        blinks = source[_BLINKS]
        for (upper, lower), weights, blink in zip(LID_MIDDLES, self._lids, blinks, strict=True):
            aperture = float(np.linalg.norm(landmarks[upper, :2] - landmarks[lower, :2])) / size
            awake = 1 - ramp(*BLINK, blink)
            room = min(
                MAX_LID_DISPLACEMENT, awake * (LID_ROOM[0] * aperture + LID_ROOM[1]) + STILL_LID
            )
            limits = np.minimum(limits, MAX_DISPLACEMENT + (room - MAX_DISPLACEMENT) * weights)
        return (limits * size).astype(np.float32)


def _eye_distance(landmarks: F32) -> float:
    span = landmarks[OUTER_EYE_RIGHT] - landmarks[OUTER_EYE_LEFT]
    return max(float(np.linalg.norm(span)), 1.0)


def _lid_weights(rig: Rig, lids: tuple[int, int]) -> F32:
    """How much each landmark belongs to the lids of an eye [478, 1], 0..1; lashes lie on the skin
    below a shut one, the skin above it folds evenly up to the brow."""
    flat = rig.mean[:, :2]
    below = 1 - np.clip((_apart(flat, flat[list(lids)]) - 1.1) / 0.8, 0, 1)
    to_eye = _apart(flat, flat[np.concatenate(EYE_CONTOURS)])
    to_brow = _apart(flat, flat[np.concatenate(BROWS)])
    above = np.minimum(below, to_brow / (to_eye + to_brow))
    over = flat[:, 1:] > flat[lids[0], 1]
    weights: F32 = np.where(over, above, below).astype(np.float32)
    return weights


def _apart(points: F32, others: F32) -> F32:
    """How far each point [N, 2] is from the nearest of others [K, 2]: [N, 1]."""
    apart = np.linalg.norm(points[:, None] - others, axis=2).min(axis=1, keepdims=True)
    return np.asarray(apart, np.float32)


def _smile_gone(source: F32, target: F32, jaw: float) -> float:
    """How much of a smile goes, 0..1, that neither speaks nor makes way for bared teeth."""
    gone = ramp(0, FULL_SMILE, np.mean((source - target)[_SMILE]))
    silent = 1 - ramp(*SPEAKING_JAW, jaw)
    bared = float(np.mean(target[_UPPER_UP]))
    return gone * silent * (1 - bared)


class _LipGuard:
    """Keeps every pair of inner lip points as far apart along the face as it was, but for what a
    smile parted them."""

    def __init__(self, rig: Rig) -> None:
        across = rig.mean[:, 0]
        order = np.argsort(across[list(UPPER_INNER)])
        self._upper = np.array(UPPER_INNER)[order]
        self._lower = np.array(LOWER_INNER)[order]
        self._lips = [
            (
                np.array(points),
                shut,
                part,
                _interpolation(across[list(points)], across[self._upper]),
            )
            for points, shut, part in ((UPPER_LIP, -0.2, -0.5), (LOWER_LIP, 0.8, 0.5))
        ]
        self._rise = np.append(np.full(len(order), LIPS_RISE), JAW_RISE).astype(np.float32)
        self.reset()

    def reset(self) -> None:
        """Another person, or another picture."""
        self._least: F32 | None = None
        self.shut = 0.0
        """share of what a smile parted that goes"""

    def begin(self, landmarks: F32, up: F32, size: float, source: F32, target: F32) -> None:
        """The next picture, with these landmarks; ``size`` is the eyes' distance, px."""
        apart = (landmarks[self._upper, :2] - landmarks[self._lower, :2]) @ up / size
        now = np.append(np.maximum(apart, 0), source[JAW]).astype(np.float32)
        self._least = now if self._least is None else np.minimum(now, self._least + self._rise)
        self.shut = SMILE_SHUT * _smile_gone(source, target, float(self._least[-1]))
        self._closing = self.shut * size * self._least[:-1]

    def part(self, displacements: F32, up: F32) -> None:
        """The lips may part as a jaw that drops moves them, ``displacements`` [478, 2]."""
        self._closing = self._closing - np.maximum(
            (displacements[self._upper] - displacements[self._lower]) @ up, 0
        )

    def __call__(self, displacements: F32, up: F32) -> None:
        """Change ``displacements`` [478, 2] in place: what parts a pair is taken back.

        The lower lip follows a raised upper one, as the chin does in disgust; lips that would run
        into each other both give way.
        """
        parting = (displacements[self._upper] - displacements[self._lower]) @ up + self._closing
        for points, shut, part, weights in self._lips:
            taken = np.where(parting > 0, shut * parting, part * parting)
            displacements[points] += (weights @ taken)[:, None] * up


def _interpolation(at: F32, known: F32) -> F32:
    """Weights [N, K] that interpolate from sorted places ``known`` [K] to places ``at`` [N]."""
    weights = [np.interp(at, known, row) for row in np.eye(len(known))]
    return np.stack(weights, axis=1).astype(np.float32)


def _face_up(placement: Placement) -> F32:
    """The unit vector in the picture that points up the face."""
    up = placement.turn[:2, 1] * np.array([1, -1], np.float32)
    upward: F32 = up / max(float(np.linalg.norm(up)), 1e-6)
    return upward
