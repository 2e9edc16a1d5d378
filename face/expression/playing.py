"""A reference as it is worn: a picture stands, a clip goes round in its own time."""

from __future__ import annotations

from typing import Final

import numpy as np

from engine.types import F32
from face.types import BLENDSHAPES, EMOTIONS, ReferenceTrack

NOTHING: Final = np.zeros(len(EMOTIONS), np.float32)
"""an expression of nothing"""
NONE_BEYOND: Final = np.zeros(len(BLENDSHAPES), np.float32)
"""no shape other than the expression has it"""


class Playing:
    """Of one face. What comes anew is worn from its beginning on."""

    def __init__(self) -> None:
        self._track: ReferenceTrack | None = None
        self._since_ns: int | None = None

    def take(self, track: ReferenceTrack) -> None:
        """Wear this one; the same once more (of the same ``capture_ns``) goes on."""
        if self._track is None or track.capture_ns != self._track.capture_ns:
            self._since_ns = None
        self._track = track

    def at(self, now_ns: int) -> tuple[F32, F32, float] | None:
        """How much of each emotion [8] it shows at a moment, by how much its shapes [52] are other
        than with that, and what share of the expression's opening its mouth has; None without a
        reference."""
        track = self._track
        if track is None or not len(track.shapes):
            return None
        if self._since_ns is None:
            self._since_ns = now_ns
        place = max(now_ns - self._since_ns, 0) / track.step_ns
        step, part = int(place), np.float32(place % 1)
        here, then = step % len(track.shapes), (step + 1) % len(track.shapes)
        expression, beyond, parts = (
            rows[here] + part * (rows[then] - rows[here])
            for rows in (track.expression, track.beyond, track.parts)
        )
        return expression, beyond, float(parts)
