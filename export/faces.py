"""Calls of the skin network, by what a face becomes: from photographs of people whose own neutral
is known, EMOTION/PERSON_SESSION.jpg."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import cycle

import numpy as np

from export.networks import Call
from face.render.skin import INPUTS, places
from face.types import EMOTIONS
from training.data.own import Portrait, Source
from training.trainers.skin import Changes


@dataclass(frozen=True, eq=False)
class Asked:
    """An edit: the network's ``call``, what the face becomes, and whose it is."""

    call: Call
    kind: str
    subject: str


class Faces:
    """Photographs of some people."""

    def __init__(self, found: Sequence[Portrait], source: Source) -> None:
        """Raises MienError where nobody is seen both neutral and in an emotion."""
        self._changes = Changes(found)
        self.people = {felt.person for felt, _ in self._changes.pairs}
        self.nc, self.licences = source.nc, [source.licence]

    def edits(self, count: int, seed: int = 0) -> list[Asked]:
        """``count`` edits, made neutral and wearing each emotion in turn."""
        rng, ways = np.random.default_rng(seed), defaultdict(list)
        for felt, calm in self._changes.pairs:
            ways["neutral"].append((felt, calm))
            ways[felt.emotion].append((calm, felt))
        out: list[Asked] = []
        for kind in cycle(name for name in EMOTIONS if name in ways):
            if len(out) == count:
                break
            start, goal = ways[kind][int(rng.integers(len(ways[kind])))]
            row = self._changes.row(start, goal, rng)
            call = {name: places() if name == "places" else row[name] for name in INPUTS}
            out.append(Asked({n: v[None] for n, v in call.items()}, kind, start.person))
        return out
