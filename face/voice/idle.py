"""What a face does beside speaking: blinks, glances, a head that moves with the voice, breath.

Everything comes from a seeded generator in continuous time, so nothing repeats visibly, and the
same voice with the same seed gives the same face. Figures are those of people in conversation:
a blink each 3 to 4 s, rather where speech pauses (Bentivoglio et al. 1997; Nakano & Kitazawa 2010),
glances of some degrees each second or two, nods on what is stressed (Hadar et al. 1983), twelve to
eighteen breaths a minute.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np

from engine.types import F32
from face.emotions import sides
from face.rotations import from_angles
from face.types import BLENDSHAPES

BLINK_EVERY_S: Final = 3.6
BLINK_LEAST_S: Final = 0.9
PAUSES: Final = 4.0
"""how much likelier a blink is just after speech has paused"""
TWICE: Final = 0.12
"""share of blinks that another follows at once"""
CLOSES_S, SHUT_S, OPENS_S = 0.08, 0.04, 0.16
GLANCE_EVERY_S: Final = 1.5
GLANCE: Final = (0.22, 0.12)
"""deviation of where eyes go, sideways and up, in shapes"""
BACK: Final = 0.55
"""share of glances that go back to who is spoken to"""
GLANCE_S: Final = 0.035
"""time constant of an eye's leap"""
WANDER_DEG: Final = (2.6, 1.5, 1.3)
"""deviation of yaw, pitch and roll"""
WANDER_S: Final = (1.6, 1.2, 1.8)
"""how long each holds"""
SILENT: Final = 0.45
"""how much of that is left of who is silent"""
NOD_DEG: Final = 2.2
"""of a full stress"""
SPRING_HZ: Final = 2.2
"""how quickly a head follows"""
BREATH_S: Final = 4.2
BREATH_DEG: Final = 0.35
RAISED: Final = 0.22
"""how far brows rise with a stress"""
LOUD: Final = 0.09
"""root mean square of a voice that is loud"""
QUIET: Final = 0.004
_STEP_S: Final = 0.02
"""springs are solved in steps no longer than that"""

_BLINKS, _RAISE = sides("eyeBlink"), sides("browInnerUp") + sides("browOuterUp")
_LEFT_OUT, _RIGHT_OUT = sides("eyeLookOut")
_LEFT_IN, _RIGHT_IN = sides("eyeLookIn")


@dataclass(frozen=True, eq=False)
class Moment:
    """``shapes`` [52] of lids, eyes and brows; ``turn`` [3, 3] of the head."""

    shapes: F32
    turn: F32


class Idle:
    """Of one face, until ``reset``."""

    def __init__(self, seed: int = 0) -> None:
        self._seed = seed
        self.reset()

    def reset(self) -> None:
        """Begin anew, as it began."""
        self._rng = np.random.default_rng(self._seed)
        self._blink_s = float(self._rng.uniform(1.0, BLINK_EVERY_S))
        self._blinking_s: float | None = None
        self._glance_s = 0.0
        self._looks_at = self._looks = np.zeros(2)
        self._aim = np.zeros(3)
        self._angles = np.zeros(3)
        self._speed = np.zeros(3)
        self._fast = self._slow = 0.0
        self._raised = 0.0
        self._breath = float(self._rng.uniform(0, 2 * math.pi))
        self._breath_s = BREATH_S
        self._spoke_s = math.inf

    def __call__(self, sound: F32, step_s: float) -> Moment:
        """The next moment, while ``sound`` [N] in -1..1 is heard for ``step_s`` seconds."""
        stress, speaks = self._hear(sound, step_s)
        shapes = np.zeros(len(BLENDSHAPES), np.float32)
        shapes[_BLINKS] = self._lids(step_s)
        self._look(shapes, step_s)
        keep = math.exp(-step_s / 0.15)
        self._raised = RAISED * stress * (1 - keep) + self._raised * keep
        shapes[_RAISE] = self._raised
        return Moment(shapes, self._head(stress, speaks, step_s))

    def _hear(self, sound: F32, step_s: float) -> tuple[float, float]:
        """How much louder the voice is than it was, and whether it speaks, 0..1 each."""
        level = float(np.sqrt(np.mean(np.square(sound)))) if len(sound) else 0.0
        fast, slow = (1 - math.exp(-step_s / within_s) for within_s in (0.06, 1.2))
        self._fast += fast * (level - self._fast)
        self._slow += slow * (level - self._slow)
        speaks = min(max((self._fast - QUIET) / QUIET, 0.0), 1.0)
        self._spoke_s = 0.0 if speaks > 0.5 else self._spoke_s + step_s
        stress = min(max((self._fast - 1.25 * self._slow) / LOUD, 0.0), 1.0)
        return stress, speaks

    def _lids(self, step_s: float) -> float:
        if self._blinking_s is None:
            paused = 0 < self._spoke_s < 0.6
            self._blink_s -= step_s * (PAUSES if paused else 1.0)
            if self._blink_s > 0:
                return 0.0
            self._blinking_s = 0.0
            again = self._rng.random() < TWICE
            wait_s = 0.15 if again else BLINK_LEAST_S + self._rng.exponential(
                BLINK_EVERY_S - BLINK_LEAST_S
            )  # fmt: skip
            self._blink_s = float(wait_s)
        else:
            self._blinking_s += step_s
        since = self._blinking_s
        if since < CLOSES_S:
            return math.sin(0.5 * math.pi * (since + step_s / 2) / (CLOSES_S + step_s / 2))
        if since < CLOSES_S + SHUT_S:
            return 1.0
        left = 1 - (since - CLOSES_S - SHUT_S) / OPENS_S
        if left <= 0:
            self._blinking_s = None
            return 0.0
        return left * left * (3 - 2 * left)

    def _look(self, shapes: F32, step_s: float) -> None:
        self._glance_s -= step_s
        if self._glance_s <= 0:
            self._glance_s = 0.3 + float(self._rng.exponential(GLANCE_EVERY_S - 0.3))
            back = self._rng.random() < BACK
            self._looks_at = np.zeros(2) if back else self._rng.normal(0, GLANCE)
        self._looks = self._looks_at + (self._looks - self._looks_at) * math.exp(-step_s / GLANCE_S)
        # A head that turns leaves the eyes with who is spoken to.
        side = float(self._looks[0] - self._angles[0] / 30)
        up = float(self._looks[1] + self._angles[1] / 25)
        right, left = max(side, 0.0), max(-side, 0.0)  # of the picture
        shapes[[_LEFT_OUT, _RIGHT_IN]] = min(right, 1.0)
        shapes[[_LEFT_IN, _RIGHT_OUT]] = min(left, 1.0)
        shapes[sides("eyeLookUp")] = min(max(up, 0.0), 1.0)
        shapes[sides("eyeLookDown")] = min(max(-up, 0.0), 1.0)

    def _head(self, stress: float, speaks: float, step_s: float) -> F32:
        lively = SILENT + (1 - SILENT) * speaks
        for axis, (deviation, holds_s) in enumerate(zip(WANDER_DEG, WANDER_S, strict=True)):
            keep = math.exp(-step_s / holds_s)
            fresh = self._rng.normal(0, deviation) * math.sqrt(1 - keep * keep)
            self._aim[axis] = keep * self._aim[axis] + fresh
        self._breath += 2 * math.pi * step_s / self._breath_s
        if self._breath > 2 * math.pi:
            self._breath -= 2 * math.pi
            self._breath_s = BREATH_S * float(self._rng.uniform(0.8, 1.25))
        aim = lively * self._aim
        aim[1] += NOD_DEG * stress - BREATH_DEG * math.sin(self._breath)
        aim[2] += 0.2 * self._angles[0]  # a head that turns also leans
        stiff = 2 * math.pi * SPRING_HZ
        for _ in range(count := max(1, math.ceil(step_s / _STEP_S))):
            pull = stiff * stiff * (aim - self._angles) - 2 * stiff * self._speed
            self._speed = self._speed + pull * step_s / count
            self._angles = self._angles + self._speed * step_s / count
        yaw, pitch, roll = (float(angle) for angle in self._angles)
        return from_angles(yaw, pitch, roll)
