"""Who somebody is, for the generator: asked once, of the calmest frame so far, seldom again."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

from engine.types import BLENDSHAPES, F32, U8
from nodes.conditions import feeling
from nodes.rig import Placement
from nodes.steady_crop import to_tensor

if TYPE_CHECKING:
    from nodes.model import Model

PAUSE_S: Final = 1.0
"""least time between two looks at the same person"""
CALMER: Final = 0.06
"""by how much a frame must be calmer than the one that was looked at, in full emotions"""
REFRESH_S: Final = 60.0
"""how long a look counts: then a frame that is hardly worse will do, since light changes"""
STALE: Final = 0.1
EASE_S: Final = 0.5

_BLINKS: Final = [BLENDSHAPES.index(f"eyeBlink{side}") for side in ("Left", "Right")]


def tension(shapes: F32, placement: Placement) -> float:
    """How unfit a frame is to tell who somebody is: feeling, shut eyes, a face turned away."""
    shut = max(0.0, float(shapes[_BLINKS].mean()) - 0.3)
    away = 1 - abs(float(placement.turn[2, 2]))
    return feeling(shapes)[1] + shut + away


class Person:
    """The identity of the face that is followed; changes of it ease in."""

    def __init__(self, network: Model) -> None:
        self._network = network
        self._side_px = network.card.inputs[0].shape[-1]
        self.reset()

    def reset(self) -> None:
        """Somebody else, or another picture."""
        self._known: dict[str, F32] = {}
        self._goal: dict[str, F32] = {}
        self._best = math.inf
        self._since_s = 0.0

    def __call__(self, patch: U8, unfit: float, step_s: float) -> dict[str, F32]:
        """``identity`` and ``identity_map``, from a crop [256, 256, 3] and its `tension`."""
        self._since_s += max(step_s, 0.0)
        if self._due(unfit):
            self._goal = self._network(reference=to_tensor(patch, self._side_px))
            self._best, self._since_s = unfit, 0.0
        keep = math.exp(-3 * max(step_s, 0.0) / EASE_S) if self._known else 0.0
        for name, goal in self._goal.items():
            before = self._known.get(name, goal)
            self._known[name] = goal + (before - goal) * goal.dtype.type(keep)
        return self._known

    def _due(self, unfit: float) -> bool:
        if not self._known:
            return True
        if self._since_s > REFRESH_S:
            return unfit < self._best + STALE
        return self._since_s > PAUSE_S and unfit < self._best - CALMER
