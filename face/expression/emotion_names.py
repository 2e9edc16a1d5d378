"""Names of emotions in data sets and file names: which of the eight each means."""

from __future__ import annotations

import re
from typing import Final

WORDS: Final = {
    "anger": "angry", "angry": "angry", "furious": "angry", "fury": "angry", "rage": "angry",
    "contempt": "contempt", "contemptuous": "contempt",
    "disgust": "disgusted", "disgusted": "disgusted",
    "fear": "fear", "fearful": "fear", "afraid": "fear", "scared": "fear",
    "happy": "happy", "happiness": "happy", "joy": "happy", "joyful": "happy", "smile": "happy",
    "neutral": "neutral", "calm": "neutral",
    "sad": "sad", "sadness": "sad", "crying": "sad",
    "surprise": "surprised", "surprised": "surprised",
}  # fmt: skip


def emotion_in(text: str) -> str:
    """The one emotion that words name; "" where they name none, or two that differ."""
    named = {WORDS[word] for word in re.findall(r"[a-z]+", text.lower()) if word in WORDS}
    return named.pop() if len(named) == 1 else ""


def emotion_first(text: str) -> str:
    """The emotion that a name begins with; "" where it begins with something else."""
    first = re.match(r"[a-z]+", text.lower())
    return WORDS.get(first[0], "") if first else ""
