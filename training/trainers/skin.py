"""Train the skin network on photographs of people whose own neutral is known: both ways, from an
expression to the own neutral and from neutral to it, and from neutral to neutral."""

from __future__ import annotations

import copy
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path
from typing import Any, ClassVar, Final

import numpy as np
import torch
from torch import Tensor, nn

from engine.errors import MienError
from engine.types import F32
from face.emotions import MIRROR
from face.render.detail import detail, skin_mask
from face.render.skin import INPUTS, displacement_map, places
from face.render.surface import load_surface
from face.rig import load_rig
from face.types import EMOTIONS
from training.data.own import Portrait, Source, folder_hash, in_fold, pairs, portraits, source_of
from training.examples import Example, Examples
from training.loop import Batch, Parts, Trainer
from training.recipe import Recipe

FLIP: Final = np.array([-1, 1, 1], np.float32)


@dataclass(frozen=True, kw_only=True)
class SkinPlan:
    """How photographs are changed, and whose."""

    strengths: tuple[float, float]
    """by how much detail is made weaker or stronger, as light and cameras do"""
    noise: float
    """of detail, at most"""
    shift: int
    """by how many cells a face lies beside its place, as landmarks err"""
    without_fold: str = ""
    """K/N: every Nth person is left out, from the Kth on"""


@dataclass(frozen=True, kw_only=True)
class SkinLosses:
    """Weights of what is wrong in a change."""

    light: float
    """itself"""
    folds: float
    """its edges"""


class Changes:
    """What photographs of one person teach: an expression that goes, or comes."""

    def __init__(self, found: Sequence[Portrait], plan: SkinPlan) -> None:
        """Raises MienError where nobody is seen both neutral and in an emotion."""
        self._plan = plan
        self.pairs = pairs(found)
        """(emotional, neutral)"""
        if not self.pairs:
            raise MienError("nobody is seen both neutral and in an emotion, in one session")
        surface = load_surface()
        self._details = {
            id(one): detail(*surface.unwrap(one.pixels, one.landmarks)) for one in found
        }
        self._mirror = load_rig().mirror

    def draw(self, rng: np.random.Generator) -> dict[str, F32]:
        """As training wants it: as often away as on, and now and then nothing at all."""
        felt, calm = self.pairs[int(rng.integers(len(self.pairs)))]
        which = rng.random()
        if which < 0.48:
            return self.row(felt, calm, rng)
        return self.row(calm, felt if which < 0.96 else calm, rng)

    def row(self, start: Portrait, target: Portrait, rng: np.random.Generator) -> dict[str, F32]:
        """The network's inputs, without a batch, but the places, and ``change`` [1, ROWS, COLUMNS],
        from one photograph to another; mirrored, lit and placed at random."""
        seen, other = self._details[id(start)], self._details[id(target)]
        moved, rig = target.shape - start.shape, start.rig
        if rng.random() < 0.5:
            seen, other = seen[:, ::-1], other[:, ::-1]
            moved, rig = moved[self._mirror] * FLIP, rig[MIRROR]
        strength = rng.uniform(*self._plan.strengths)
        noise = rng.normal(0, rng.uniform(0, self._plan.noise / 4), seen.shape)
        shift = self._plan.shift
        aside = tuple(rng.integers(-shift, shift + 1, 2))
        given = np.roll(seen * strength + noise, aside, (0, 1))
        change = np.roll((other - seen) * strength, aside, (0, 1))
        displacement = np.roll(displacement_map(moved), aside, (1, 2))
        one = np.zeros(len(EMOTIONS), np.float32)
        one[EMOTIONS.index(target.emotion)] = 1
        arrays: dict[str, Any] = {
            "detail": given[None],
            "displacement": displacement,
            "rig": rig,
            "emotion": one,
            "change": change[None],
        }
        return {name: array.astype(np.float32) for name, array in arrays.items()}


class Edits(Examples):
    """Edits of some people's photographs: made neutral, and wearing each emotion, in turn."""

    def __init__(self, found: Sequence[Portrait], source: Source, plan: SkinPlan) -> None:
        """Raises MienError where nobody is seen both neutral and in an emotion."""
        self._changes = Changes(found, plan)
        self.people = {felt.person for felt, _ in self._changes.pairs}
        self.nc, self.licences = source.nc, [source.licence]

    def draw(self, rng: np.random.Generator) -> Iterator[Example]:
        ways = defaultdict(list)
        for felt, calm in self._changes.pairs:
            ways["neutral"].append((felt, calm))
            ways[felt.emotion].append((calm, felt))
        for kind in cycle(name for name in EMOTIONS if name in ways):
            start, target = ways[kind][int(rng.integers(len(ways[kind])))]
            row = self._changes.row(start, target, rng)
            call = {name: places() if name == "places" else row[name] for name in INPUTS}
            yield Example({n: v[None] for n, v in call.items()}, True, kind, start.person)


class SkinTrainer(Trainer):
    averaged: ClassVar[tuple[str, ...]] = ("skin",)

    def __init__(self, recipe: Recipe, data: Path) -> None:
        """``data`` holds EMOTION/PERSON_SESSION.jpg."""
        super().__init__(recipe)
        plan: SkinPlan = recipe.plan
        found, self._data = portraits(data), data
        every = sorted({one.person for one in found})
        out = in_fold(every, plan.without_fold) if plan.without_fold else []
        self._left_out = [one for one in found if one.person in out]
        found = [one for one in found if one.person not in out]
        self._changes = Changes(found, plan)
        self._people = sorted({one.person for one in found})
        self._mask = torch.from_numpy(skin_mask())
        self._places = torch.from_numpy(places())
        self.modules = {"skin": recipe.build()}

    def held_out(self) -> SkinTrainer | None:
        if not pairs(self._left_out):
            return None
        other = copy.copy(self)
        other._changes = Changes(self._left_out, self.recipe.plan)
        return other

    def learned_from(self) -> dict[str, Any]:
        files, source = sorted(self._data.glob("*/*")), source_of(self._data)
        return {
            folder_hash(self._data): {
                "name": self._data.name,
                "clips": len(files),
                "synthetic_clips": len(files) * source.synthetic,
                "people": self._people,
                "sources": ["photographs"],
                "licences": [source.licence],
                "nc": source.nc,
            }
        }

    def draw(self, rng: np.random.Generator, step: int) -> Mapping[str, Any]:
        rows = [self._changes.draw(rng) for _ in range(self.recipe.schedule.batch)]
        return {name: np.stack([row[name] for row in rows]) for name in rows[0]}

    def losses(self, batch: Batch, step: int) -> Iterator[tuple[str, Parts, Mapping[str, float]]]:
        prediction = self._predict(self.modules["skin"], batch)
        wrong = (prediction.float() - batch["change"]) * self._mask.to(prediction.device)
        across, down = wrong.diff(dim=3).abs().mean(), wrong.diff(dim=2).abs().mean()
        yield "skin", {"light": wrong.abs().mean(), "folds": across + down}, self.weights

    def pictures(self, batch: Batch, averaged: Mapping[str, nn.Module]) -> Mapping[str, Tensor]:
        """What is seen, what it should become, and what it becomes."""
        prediction = self._predict(averaged["skin"], batch)
        first = [batch["detail"][0], batch["detail"][0] + batch["change"][0]]
        row = torch.cat([*first, batch["detail"][0] + prediction[0].float()], dim=2)
        return {"skin": (row.repeat(3, 1, 1) + 0.5)}

    def _predict(self, module: nn.Module, batch: Batch) -> Tensor:
        where = self._places.to(batch["detail"].device)[None]
        prediction: Tensor = module(
            batch["detail"], batch["displacement"], where, batch["rig"], batch["emotion"]
        )
        return prediction
