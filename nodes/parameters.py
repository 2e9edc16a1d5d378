"""Parameters that several nodes have: threads of a network, where its files lie, what is worn."""

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
    return parameter(0.7, "how strongly it is worn", low=0.0, high=1.0)


def voice_gain(usual: float = 1.0) -> Any:
    return parameter(usual, "how strongly the voice's feeling is worn", low=0.0, high=2.0)


def reference_gain() -> Any:
    return parameter(1.0, "how strongly a reference is worn", low=0.0, high=1.5)
