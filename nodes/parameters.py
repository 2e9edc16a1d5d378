"""Parameters that many nodes have: threads of a network, and where its files lie."""

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
