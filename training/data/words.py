"""Valence and arousal within notes."""

from __future__ import annotations

import re
from typing import Final

_NUMBER: Final = r"(-?\d+(?:\.\d+)?)"
_FELT: Final = re.compile(rf"valence {_NUMBER},? arousal {_NUMBER}")


def felt_in(text: str) -> tuple[float, float] | None:
    """Valence and arousal, as in "valence -0.7 arousal 0.7"; None where they aren't given."""
    match = _FELT.search(text)
    return (float(match[1]), float(match[2])) if match else None
