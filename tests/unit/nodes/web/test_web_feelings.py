"""A moment of feelings for the page: told apart by source, whole or not at all."""

from __future__ import annotations

from itertools import permutations

import numpy as np

from face.affect.answers import Source
from face.types import Affect
from nodes.web.feelings import Moments

SAD = 6


def affect(source: Source, stamp_ms: int, known: bool = True) -> Affect:
    return Affect(
        capture_ns=stamp_ms * 1_000_000,
        source=source,
        known=known,
        probabilities=np.eye(8, dtype=np.float32)[SAD],
        intensity={"face": 0.25, "voice": 0.5, "both": 0.75}[source],
    )


def test_the_order_in_which_sources_come_says_nothing() -> None:
    sources: tuple[Source, ...] = ("face", "voice", "both")
    for order in permutations(sources):
        moments = Moments()
        first, second, moment = (moments.add(affect(source, 40)) for source in order)
        assert first is second is None and moment is not None
        assert moment["time_ms"] == 40
        assert [moment[source]["intensity"] for source in sources] == [0.25, 0.5, 0.75]
        assert moment["both"]["emotion"] == "sad"


def test_a_moment_that_lost_a_message_gives_way() -> None:
    moments = Moments()
    assert [moments.add(affect(source, 40)) for source in ("face", "both")] == [None, None]
    assert [moments.add(affect(source, 80)) for source in ("voice", "both")] == [None, None]
    moment = moments.add(affect("face", 80, known=False))
    assert moment is not None and moment["face"] is None and moment["time_ms"] == 80
