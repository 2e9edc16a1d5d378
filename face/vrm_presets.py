"""What a face shows in the words of VRM 0's presets: vowels, blinks, moods."""

from __future__ import annotations

import numpy as np

from engine.types import F32
from face.emotions import sides
from face.types import EMOTIONS


def presets(shapes: F32, expression: F32) -> dict[str, float]:
    """VRM 0's presets as far as shapes [52] and emotions [8] tell them."""

    def of(name: str) -> float:
        return float(np.mean(shapes[sides(name)]))

    def felt(name: str) -> float:
        return float(np.clip(expression[EMOTIONS.index(name)], 0, 1))

    opened = min(1.6 * of("jawOpen"), 1.0)
    pursed = min(of("mouthPucker") + of("mouthFunnel"), 1.0)
    wide = min(of("mouthStretch") + 0.6 * of("mouthSmile"), 1.0)
    left, right = (float(shapes[place]) for place in sides("eyeBlink"))
    return {
        "A": opened * (1 - pursed) * (1 - wide),
        "I": (1 - opened) * (1 - pursed) * wide * min(4 * opened, 1.0),
        "U": (1 - opened) * pursed,
        "E": opened * (1 - pursed) * wide,
        "O": opened * pursed,
        "Blink_L": left,
        "Blink_R": right,
        "Joy": felt("happy"),
        "Angry": max(felt("angry"), felt("disgusted")),
        "Sorrow": max(felt("sad"), felt("fear")),
        "Fun": max(of("mouthSmile") - felt("happy"), 0.0),
    }
