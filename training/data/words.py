"""Labels in words: emotions under their many names, valence and arousal within notes."""

from __future__ import annotations

import re
from typing import Final

WORDS: Final = {
    "anger": "angry", "angry": "angry", "furious": "angry", "fury": "angry", "rage": "angry",
    "contempt": "contempt", "contemptuous": "contempt",
    "disgust": "disgusted", "disgusted": "disgusted",
    "fear": "fear", "fearful": "fear", "afraid": "fear", "scared": "fear",
    "happy": "happy", "happiness": "happy", "joy": "happy", "joyful": "happy",
    "neutral": "neutral", "calm": "neutral",
    "sad": "sad", "sadness": "sad", "crying": "sad",
    "surprise": "surprised", "surprised": "surprised",
}  # fmt: skip
_NUMBER: Final = r"(-?\d+(?:\.\d+)?)"
_FELT: Final = re.compile(rf"valence {_NUMBER},? arousal {_NUMBER}")


def emotion_in(text: str) -> str:
    """The one emotion that words name; "" where they name none, or two that differ."""
    named = {WORDS[word] for word in re.findall(r"[a-z]+", text.lower()) if word in WORDS}
    return named.pop() if len(named) == 1 else ""


def felt_in(text: str) -> tuple[float, float] | None:
    """Valence and arousal, as in "valence -0.7 arousal 0.7"; None where they aren't given."""
    match = _FELT.search(text)
    return (float(match[1]), float(match[2])) if match else None
