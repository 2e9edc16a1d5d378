"""What is the mouth's and the eyes' own: speech keeps its opening, blinks keep their lids.

An emotion moves corners, cheeks and lips; how far the lips are apart belongs to who speaks. Only of
who keeps the lips still, or of a smile that bared the teeth, does it belong to the emotion.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np

from engine.types import F32
from face.emotions import sides
from face.ramps import ramp
from face.render.repertoire import mouth_aperture
from face.smoothing import MAX_STEP_S
from face.topology import (
    CHIN_REGION,
    EYE_REGIONS,
    LIP_MIDDLES,
    LOWER_INNER,
    LOWER_LIP,
    MOUTH_CORNERS,
    UPPER_INNER,
    UPPER_LIP,
)

_OUTSIDE: Final = [point for point in LOWER_LIP if point not in LOWER_INNER]
FOLLOWS: Final = ((LOWER_INNER[1:-1], 1.0), (_OUTSIDE, 0.9), (CHIN_REGION, 0.8))
"""how far each follows a lower lip that opens"""
RAISED: Final = (tuple(point for point in UPPER_LIP if point not in LOWER_INNER), 1.0)
CORNER_FOLLOWS: Final = 0.2
"""the same of the mouth's corners"""
CORNER_CM: Final = 1.0
"""how far skin goes with them"""
UPPER_MIDDLE: Final = LIP_MIDDLES[0]

JAW: Final = sides("jawOpen")[0]
SMILES: Final = sides("mouthSmile")
SMILE: Final = (0.15, 0.5)
"""from where to where a smile bares the teeth"""
SPEAKING_JAW: Final = (0.08, 0.25)
"""from where to where a jaw opens that speaks rather than smiles"""
JAW_FORGETS: Final = 0.15
"""how quickly the least opening of a jaw of late is forgotten, per second"""

SEALED_CM: Final = (0.04, 0.14)
"""below which opening lips that are shut meet along their whole length"""
LEFT_CM: Final = (0.16, 0.26)
"""up to which opening an estimate of a mouth at rest may be a closed one: of 72 neutral photographs
nine in ten are below 0.07, of the estimates 0.16"""

LIPS_FORGET_CM: Final = 0.15
"""the same of the lips: who speaks shuts them now and then, so what a smile bares is their least
opening of late"""

BLINKS: Final = (sides("eyeBlink")[1], sides("eyeBlink")[0])
"""right, left"""
BLINK: Final = (0.12, 0.35)
"""from where to where lids close beyond what they were of late"""
SHUT: Final = (0.45, 0.65)
"""from where to where an eye is shut, whatever it was before: there is no eye to be opened"""
LID_FORGETS: Final = 0.2
"""how quickly that is forgotten, per second"""


class Speech:
    """Follows one face's lips and lids from picture to picture."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Another face, or another picture."""
        self._jaw: float | None = None
        self._lids: F32 | None = None
        self._lips_cm = 0.0
        self.closing = 0.0
        """how much of the lips' opening a smile bared, 0..1"""
        self.blinks = np.zeros(2, np.float32)
        """how far each eye, right and left, is in a blink, 0..1"""

    def follow(self, rig: F32, shape: F32, step_s: float) -> None:
        """The next picture: shapes [52], face [478, 3] cm, ``step_s`` seconds after the last."""
        apart_cm = max(mouth_aperture(shape), 0.0)
        lids = rig[list(BLINKS)]
        if self._jaw is None or self._lids is None or not 0 <= step_s <= MAX_STEP_S:
            self._jaw, self._lids, self._lips_cm = float(rig[JAW]), lids, apart_cm
        self._jaw = min(float(rig[JAW]), self._jaw + JAW_FORGETS * step_s)
        self._lips_cm = min(apart_cm, self._lips_cm + LIPS_FORGET_CM * step_s)
        self._lids = np.minimum(lids, self._lids + np.float32(LID_FORGETS * step_s))
        smile = ramp(*SMILE, float(rig[SMILES].mean()))
        self.closing = smile * (1 - ramp(*SPEAKING_JAW, self._jaw))
        shut = [
            max(ramp(*BLINK, more), ramp(*SHUT, lid))
            for more, lid in zip(lids - self._lids, lids, strict=True)
        ]
        self.blinks = np.array(shut, np.float32)

    def keep(
        self,
        shape: F32,
        camera: F32,
        free: float,
        smile_goes: float,
        still: bool = False,
        guessed: float = 0.0,
    ) -> F32:
        """The shape [478, 3] cm with the opening and the lids that the ``camera``'s [478, 3] has.

        ``free``: how much the mouth is the emotion's, 0..1; ``smile_goes``: how much of a smile is
        taken away. Of who isn't ``still`` a mouth may fall open, but isn't shut. ``guessed``: how
        much the shape is a mouth at rest that was estimated, 0..1.
        """
        made = shape.copy()
        asked, seen = mouth_aperture(shape), max(mouth_aperture(camera), 0.0)
        due = max(asked, 0.0) * (1 - guessed * (1 - ramp(*LEFT_CM, asked)))
        wider = due - seen if still else max(due - seen, 0.0)
        kept = seen + free * wider
        bared = min(self._lips_cm, max(kept - due, 0.0))
        target = kept - self.closing * min(smile_goes, 1.0) * bared
        for group, share in FOLLOWS:
            made[list(group), 1] -= share * (target - asked)
        sealed = 1 - ramp(*SEALED_CM, target)
        if sealed > 0 and target < seen:
            upper, lower = list(UPPER_INNER), list(LOWER_INNER)
            middle = (made[upper] + made[lower]) / 2
            made[upper] += sealed * (middle - made[upper])
            made[lower] += sealed * (middle - made[lower])
        for lids, blink in zip(EYE_REGIONS, self.blinks, strict=True):
            if blink > 0:
                made[list(lids)] += blink * (camera[list(lids)] - made[list(lids)])
        return made


def shut(shape: F32, rest: F32 | None = None) -> F32:
    """The shape [478, 3] cm with lips that meet; the chin follows. What went from where it was at
    ``rest`` [478, 3] goes back with them: an upper lip that rose with the corners, since lips that
    meet as high as their corners show no smile, and corners that fell with the jaw."""
    made = shape.copy()
    if rest is not None:
        corners = shape[list(MOUTH_CORNERS)]
        rose = (shape - rest)[[*MOUTH_CORNERS, UPPER_MIDDLE], 1]
        raised = max(min(float(rose[:2].mean()), float(rose[2])), 0.0)
        across = 2 * shape[:, 0] / max(float(np.ptp(corners[:, 0])), 1e-6)
        lower = raised * np.maximum(1 - across**2, 0)
        for group, share in (*FOLLOWS, RAISED):
            made[list(group), 1] -= share * lower[list(group)]
        fell = min(max(-float(rose[:2].mean()), 0.0), CORNER_FOLLOWS * mouth_aperture(shape))
        near = np.linalg.norm(shape[:, None, :2] - corners[None, :, :2], axis=2).min(axis=1)
        made[:, 1] += fell * np.exp(-np.square(near / CORNER_CM))
    for group, share in FOLLOWS:
        made[list(group), 1] += share * mouth_aperture(shape)
    upper, lower = list(UPPER_INNER), list(LOWER_INNER)
    made[upper] = made[lower] = (made[upper] + made[lower]) / 2
    return made


def head_angles(turn: F32) -> F32:
    """Yaw and pitch [2] of a head's rotation [3, 3], degrees."""
    yaw = math.degrees(math.atan2(float(turn[0, 2]), float(turn[2, 2])))
    pitch = math.degrees(math.asin(float(np.clip(-turn[1, 2], -1, 1))))
    return np.array([yaw, pitch], np.float32)
