"""Fill a repertoire while a person is seen: which faces are calm, which wear an emotion, which are
sharp enough to be kept."""

from __future__ import annotations

from collections import deque
from typing import Final

import numpy as np

from engine.types import F32, U8
from face.emotions import FEELING
from face.expression.people import People
from face.expression.speech import head_angles
from face.render.repertoire import NEUTRAL, Face, Repertoire
from face.render.surface import Surface
from face.rig import Placement, Rig
from face.types import EMOTIONS

EVERY_S: Final = 0.12
"""faces are looked at for keeping this often"""
MIN_FACE_PX: Final = 70.0
CALM: Final = (0.55, 1.1)
"""up to which sum of feeling shapes beyond the own rest a face is calm: at least, and of somebody
who never keeps still at most"""
CALMEST: Final = 0.2
"""share of the looks so far that counts as calm between these"""
LOOKS: Final = 300
"""that are remembered for it"""
LEARNS_S: Final = 4.0
"""in which time somebody's own rest counts for more by one deviation among people"""
FELT: Final = 0.55
"""from which share of an emotion's usual strength a face wears it"""
ALIKE: Final = 0.7
"""from which cosine it is that emotion"""
PLAIN: Final = 0.7
"""from which share of an emotion's usual strength among people a face isn't at rest, whatever this
person does most of the time"""
RESTS: Final = ("angry", "contempt", "sad")
"""what a face at rest may look like"""
REST_FORGETS: Final = 0.004
"""how quickly the least of each shape of late is forgotten, per second"""
BLINKING: Final = 0.4
MAX_TURN_DEG: Final = 45.0
EVEN_TURN_DEG: Final = 32.0
"""up to which turn the two sides of a face are compared"""
EVEN_FORGETS: Final = 0.002
"""by how much the least unevenness of late is forgotten at each look"""
UNEVEN: Final = (1.5, 0.12)
"""by which factor, and how much more, a covered face is less even than it was"""
UNNAMED: Final = ""
"""what a face in no particular emotion expresses"""

_BLINKS: Final = [9, 10]


class Watch:
    """Watches one person."""

    def __init__(self, rig: Rig, surface: Surface, people: People) -> None:
        self._rig = rig
        self._surface = surface
        self._people = people
        self._upper = FEELING & (people.rigs_std > 0.02)
        self.reset()

    def reset(self) -> None:
        """Another person."""
        self._rest: F32 | None = None
        self._even: float | None = None
        self._looks: deque[float] = deque(maxlen=LOOKS)
        self._since_s = EVERY_S
        self._watched_s = 0.0

    def __call__(
        self,
        repertoire: Repertoire,
        picture: U8,
        landmarks: F32,
        placement: Placement,
        rig: F32,
        step_s: float,
    ) -> Face | None:
        """This face, if it is worth keeping in a repertoire; now and then."""
        forgotten = np.float32(REST_FORGETS * step_s)
        self._rest = rig if self._rest is None else np.minimum(rig, self._rest + forgotten)
        self._watched_s += step_s
        turn = head_angles(placement.turn)
        if not self._usable(picture, landmarks, turn, rig, step_s) or abs(turn[0]) > MAX_TURN_DEG:
            return None
        self._looks.append(self._above(rig))
        emotion, purity = self.expressed(rig)
        if emotion is None:
            return None
        return self._worth_keeping(repertoire, picture, landmarks, placement, rig, emotion, purity)

    def labelled(
        self,
        repertoire: Repertoire,
        picture: U8,
        landmarks: F32,
        placement: Placement,
        rig: F32,
        emotion: str,
        step_s: float,
    ) -> Face | None:
        """This face, which is said to express an emotion; now and then, without blinks."""
        if not self._usable(picture, landmarks, head_angles(placement.turn), rig, step_s):
            return None
        return self._worth_keeping(repertoire, picture, landmarks, placement, rig, emotion)

    def _usable(self, picture: U8, landmarks: F32, turn: F32, rig: F32, step_s: float) -> bool:
        """Whether it is time to look, at a face that is large, free and not blinking."""
        self._since_s += step_s
        if self._since_s < EVERY_S or float(np.ptp(landmarks[:, 0])) < MIN_FACE_PX:
            return False
        self._since_s = 0.0
        return not self._covered(picture, landmarks, turn) and rig[_BLINKS].max() <= BLINKING

    def _worth_keeping(
        self,
        repertoire: Repertoire,
        picture: U8,
        landmarks: F32,
        placement: Placement,
        rig: F32,
        emotion: str,
        purity: float = 1.0,
    ) -> Face | None:
        """The face, if a repertoire would keep it."""
        shape, turn = self._rig.face(landmarks, placement), head_angles(placement.turn)
        quality = purity * sharpness(picture, landmarks)
        if not repertoire.wants(emotion, shape, turn, quality):
            return None
        return self.face(picture, landmarks, placement, rig, emotion, quality)

    def face(
        self,
        picture: U8,
        landmarks: F32,
        placement: Placement,
        rig: F32,
        emotion: str = "",
        quality: float = 1.0,
    ) -> Face:
        """A picture's face as it is remembered; without ``emotion`` its expression is read."""
        return Face(
            emotion=emotion or self.expressed(rig)[0] or UNNAMED,
            texture=(seen := self._surface.unwrap(picture, landmarks))[0],
            seen=seen[1],
            shape=self._rig.face(landmarks, placement),
            shapes=rig,
            turn=head_angles(placement.turn),
            quality=quality,
        )

    def _covered(self, picture: U8, landmarks: F32, turn: F32) -> bool:
        """Whether a hand, or a microphone, hides a part of the face: one side is then much more
        unlike the other than it was before."""
        if abs(turn[0]) > EVEN_TURN_DEG:
            return False
        uneven = unevenness(*self._surface.light(picture, landmarks))
        self._even = uneven if self._even is None else min(uneven, self._even + EVEN_FORGETS)
        return uneven > UNEVEN[0] * self._even + UNEVEN[1]

    def expressed(self, rig: F32) -> tuple[str | None, float]:
        """Which emotion a face's shapes [52] show, None where it is none in particular, and how
        clearly, 0..1."""
        above = self._above(rig)
        if above < self._calm() and self._emotion(self._unusual(rig), PLAIN)[0] in (None, *RESTS):
            return NEUTRAL, float(np.exp(-2 * above))
        return self._emotion(self._excess(rig), FELT)

    def _emotion(self, excess: F32, share: float) -> tuple[str | None, float]:
        """The emotion that shapes beyond a rest [52] show with a share of its usual strength."""
        best, clearest = None, 0.0
        for place, emotion in enumerate(EMOTIONS[1:], 1):
            usual = self._unusual(self._people.rigs[place])
            length = float(np.linalg.norm(usual))
            along = float(excess @ usual) / length
            cosine = along / max(float(np.linalg.norm(excess)), 1e-6)
            if cosine > ALIKE and along > share * length and cosine > clearest:
                best, clearest = emotion, cosine
        return best, clearest

    def _unusual(self, rig: F32) -> F32:
        """Feeling shapes beyond the rest of people [52]."""
        return np.where(self._upper, rig - self._people.rigs[0], 0).astype(np.float32)

    def _excess(self, rig: F32) -> F32:
        """Feeling shapes beyond the person's own rest, so far as it is known [52]."""
        deviations = np.float32(1 + self._watched_s / LEARNS_S)
        usual = self._people.rigs[0] + deviations * self._people.rigs_std
        rest = usual if self._rest is None else np.minimum(self._rest, usual)
        return np.where(self._upper, rig - rest, 0).astype(np.float32)

    def _above(self, rig: F32) -> float:
        return float(np.maximum(self._excess(rig), 0).sum())

    def _calm(self) -> float:
        """Below what a face is calm."""
        if not self._looks:
            return CALM[0]
        return float(np.clip(np.quantile(self._looks, CALMEST), *CALM))


def unevenness(colours: F32, seen: F32) -> float:
    """How unlike the two sides of a face are where they are least alike, light apart, from the
    coarse grid: 0.1 to 0.5 of free faces, 0.6 and more under a hand."""
    import cv2

    fine = np.log(colours + np.float32(12))
    around = cv2.GaussianBlur(fine * seen[..., None], (0, 0), 6)
    fine = fine - around / (cv2.GaussianBlur(seen, (0, 0), 6)[..., None] + np.float32(1e-3))
    apart = np.abs(fine - fine[:, ::-1]).mean(axis=2) * np.minimum(seen, seen[:, ::-1])
    return float(cv2.GaussianBlur(apart, (0, 0), 1.5).max())


def sharpness(picture: U8, landmarks: F32) -> float:
    """How much detail a picture's face shows, more is sharper."""
    import cv2

    low = np.maximum(landmarks[:, :2].min(axis=0), 0).astype(int)
    high = np.maximum(landmarks[:, :2].max(axis=0), low + 2).astype(int)
    part = picture[low[1] : high[1], low[0] : high[0]]
    if part.size == 0:
        return 0.0
    small = cv2.resize(part, (128, 128), interpolation=cv2.INTER_AREA)
    edges = cv2.Laplacian(cv2.cvtColor(small, cv2.COLOR_BGR2GRAY), cv2.CV_32F)
    return float(np.log1p(edges.std()))
