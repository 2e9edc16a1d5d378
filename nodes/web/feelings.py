"""What is measured of face and voice, moment by moment, as the page draws it."""

from __future__ import annotations

from typing import Any, Final, get_args

from face.affect.answers import Source, chief
from face.types import EMOTIONS, Affect

SOURCES: Final = frozenset(get_args(Source))


class Moments:
    """Puts together what face, voice and both feel at one moment, in whichever order they come."""

    def __init__(self) -> None:
        self._capture_ns: int | None = None
        self._felt: dict[str, dict[str, Any] | None] = {}

    def add(self, affect: Affect) -> dict[str, Any] | None:
        """The moment that this completes, by source; one that lacks a source gives way."""
        if affect.capture_ns != self._capture_ns:
            self._capture_ns, self._felt = affect.capture_ns, {}
        self._felt[affect.source] = plain(affect)
        if self._felt.keys() != SOURCES:
            return None
        return {"time_ms": affect.capture_ns // 1_000_000, **self._felt}


def plain(affect: Affect) -> dict[str, Any] | None:
    """What the page needs of a feeling; None where nothing is known."""
    if not affect.known:
        return None
    shown = [round(float(value), 3) for value in affect.probabilities]
    return {
        "emotion": chief(affect),
        "probabilities": dict(zip(EMOTIONS, shown, strict=True)),
        "valence": round(affect.valence, 3),
        "arousal": round(affect.arousal, 3),
        "intensity": round(affect.intensity, 3),
    }
