"""Parameters that several nodes share: a network's threads and files, strength of an expression."""

from __future__ import annotations

from typing import Any

from engine.parameters import parameter


def threads(count: int) -> Any:
    return parameter(count, "compute threads of the network", low=1, high=16, live=False)


def weights() -> Any:
    return parameter(
        "", "a set or a folder of weights; empty: $MIEN_WEIGHTS, else the default", live=False
    )


def landmarker() -> Any:
    return parameter("", "path of face_landmarker.task; empty: the cache, fetched once", live=False)


def intensity() -> Any:
    return parameter(0.7, "strength of the expression", low=0.0, high=1.0)


def voice_gain(usual: float = 1.0) -> Any:
    return parameter(usual, "strength of the voice's emotion", low=0.0, high=2.0)


def reference_gain() -> Any:
    return parameter(1.0, "strength of the reference's expression", low=0.0, high=1.5)
