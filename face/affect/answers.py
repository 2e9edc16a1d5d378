"""What an encoder predicts for a moment as one row of numbers, and back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal

import numpy as np

from engine.types import F32
from face.types import EMOTIONS, Affect

READING: Final = len(EMOTIONS) + 3
"""emotion probabilities, valence, arousal, intensity"""
ANSWERS: Final = ("emotion", "valence_arousal", "intensity", "state_next")
"""the outputs that every network of feelings has"""

Source = Literal["face", "voice", "both"]


def unknown(source: Source, capture_ns: int) -> Affect:
    """There is nothing to read."""
    nothing = np.zeros(len(EMOTIONS), np.float32)
    return Affect(capture_ns=capture_ns, source=source, known=False, probabilities=nothing)


def from_network(answer: Mapping[str, F32], source: Source, capture_ns: int) -> Affect:
    """A network's answer: logits [1, 8], valence and arousal [1, 2], intensity [1, 1]."""
    logits = answer["emotion"][0]
    weights = np.exp(logits - logits.max())
    felt = [answer["valence_arousal"][0], answer["intensity"][0]]
    return from_reading(np.concatenate([weights / weights.sum(), *felt]), source, capture_ns)


def from_reading(row: F32, source: Source, capture_ns: int) -> Affect:
    """A row [11] as `reading` makes it."""
    weights = np.maximum(row[: len(EMOTIONS)], 0)
    valence, arousal, intensity = (float(value) for value in row[len(EMOTIONS) :])
    return Affect(
        capture_ns=capture_ns,
        source=source,
        known=True,
        probabilities=(weights / max(float(weights.sum()), 1e-6)).astype(np.float32),
        valence=min(max(valence, -1.0), 1.0),
        arousal=min(max(arousal, -1.0), 1.0),
        intensity=min(max(intensity, 0.0), 1.0),
    )


def reading(affect: Affect) -> F32:
    """A row [11]; zeros where nothing is known."""
    felt = [affect.valence, affect.arousal, affect.intensity]
    return np.concatenate([affect.probabilities, felt]).astype(np.float32)


def chief(affect: Affect) -> str:
    """What a feeling is called: its name, else the likeliest; "" where nothing is known."""
    return (affect.name or EMOTIONS[int(affect.probabilities.argmax())]) if affect.known else ""
