"""Ask the skin network: light and shade that an edit brings where no face of the person's own has
them."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING, Final

import numpy as np

from engine.node import Context
from engine.types import F32
from face.render.detail import COLUMNS, ROWS, detail, skin_mask
from face.render.request import Request
from face.render.surface import Texels, load_surface, texels, vertices
from face.smoothing import OneEuro
from face.types import EMOTIONS
from inference.weights import open_model

if TYPE_CHECKING:
    from inference.model import Backend

INPUTS: Final = ("detail", "displacement", "places", "rig", "emotion")
DEPTH: Final = {"happy": 0.6, "surprised": 0.5, "disgusted": 0.8, "angry": 1.3}
"""how deep an emotion's light and shade are laid; the others whole: where a mouth and cheeks say it
already, less of other people's skin is more of one's own; of anger, which furrows each brow in its
own way, the network says less than there is"""
STEADY: Final = (0.7, 2.0)
"""One-Euro filter of what it says: Hz at rest, and Hz more per unit a second"""


class Skin:
    """The network and what it said last. Raises MienError without its weight."""

    def __init__(
        self,
        weights: str,
        context: Context,
        backend: Backend = "auto",
        threads: int = 2,
        beside: bool = False,
    ) -> None:
        """``beside``: it answers while pictures go on; only the first of a face waits."""
        self._model = open_model(
            "skin", weights, context, backend=backend, threads=threads,
            inputs=INPUTS, outputs=("change",),
        )  # fmt: skip
        self._beside = ThreadPoolExecutor(1, "skin") if beside else None
        self._asked: Future[F32] | None = None
        self._steady = OneEuro(*STEADY)
        self.reset()

    def reset(self) -> None:
        """Another picture, or another face."""
        self._forget()
        self._steady.reset()
        self._next_in = 0
        self._answered = False

    def close(self) -> None:
        """Free the network."""
        self._forget()
        if self._beside is not None:
            self._beside.shutdown()
        self._model.close()

    def __call__(self, request: Request, displacement: F32) -> F32:
        """Change of the logarithm of brightness [ROWS, COLUMNS] of a face whose landmarks move by
        ``displacement`` [478, 3] cm."""
        self._next_in -= 1
        if not self._answered:
            self._next_in, self._answered = request.every, True
            return self._steady(self._ask(request, displacement), request.step_s)
        answer = None
        if self._asked is not None and self._asked.done():
            answer, self._asked = self._asked.result(), None
        if self._next_in <= 0 and self._asked is None:
            self._next_in = request.every
            if self._beside is None:
                answer = self._ask(request, displacement)
            else:
                own = replace(request, picture=request.picture.copy())
                self._asked = self._beside.submit(self._ask, own, displacement)
        if answer is None:
            return self._steady.hold(request.step_s)
        return self._steady(answer, request.step_s)

    def _ask(self, request: Request, displacement: F32) -> F32:
        fine = detail(*load_surface().unwrap(request.picture, request.landmarks))
        over_skin, rig, removed = displacement_map(displacement), request.rig, request.removed
        total = float(request.expression.sum())
        change = np.zeros((ROWS, COLUMNS), np.float32)
        if removed and total < 1:
            towards = over_skin if removed > 0 else -over_skin
            change += np.float32(removed * (1 - total)) * self._run(fine, towards, rig, 0)
        for place, amount in enumerate(request.expression):
            if place and amount > 0.02:
                depth = np.float32(amount * DEPTH.get(EMOTIONS[place], 1.0))
                change += depth * self._run(fine, over_skin, rig, place)
        return change

    def _run(self, fine: F32, displacement: F32, rig: F32, emotion: int) -> F32:
        one = np.zeros((1, len(EMOTIONS)), np.float32)
        one[0, emotion] = 1
        prediction = self._model(
            detail=fine[None, None],
            displacement=displacement[None],
            places=places()[None],
            rig=rig[None].astype(np.float32),
            emotion=one,
        )
        change: F32 = prediction["change"][0, 0]
        return change

    def _forget(self) -> None:
        """Let a question be answered, and forget the answer."""
        if self._asked is not None:
            wait([self._asked])
            self._asked = None


def displacement_map(displacement: F32) -> F32:
    """Displacements [478, 3] cm over the skin [3, ROWS, COLUMNS]."""
    return _half().interpolate(vertices(displacement.astype(np.float32)))


@lru_cache(maxsize=1)
def places() -> F32:
    """Where each cell is [3, ROWS, COLUMNS]: x and y in -1..1, and whether there is skin."""
    y, x = np.mgrid[:ROWS, :COLUMNS]
    return np.stack([x / COLUMNS * 2 - 1, y / ROWS * 2 - 1, skin_mask()]).astype(np.float32)


@lru_cache(maxsize=1)
def _half() -> Texels:
    surface = load_surface()
    cells = ((surface.uv + 0.5) / 2 - 0.5).astype(np.float32)
    return texels(cells, surface.triangles, (ROWS, COLUMNS))
