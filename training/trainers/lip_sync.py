"""Train the sync expert: mouths that go with what is heard, and mouths of another moment."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Final

import numpy as np
import torch
from torch import Tensor, nn

from engine.errors import UsageError
from training.loop import Batch, Parts, Trainer
from training.losses.sync import sync
from training.models.lip_sync import STEPS, LipSync
from training.models.voice_rig import Hearing, VoiceRigSize
from training.recipe import Recipe
from training.trainers.samples import Array
from training.trainers.talks import cut
from training.trainers.voice_rig import TalkPlan, talks_for

APART: Final = (6, 50)
"""steps that a mouth of another moment is away: a sixth of a second to one"""


@dataclass(frozen=True, kw_only=True)
class AudioBackbonePlan:
    """The audio backbone that talk is heard with, as VoiceRigSize has it."""

    width: int
    heads: int
    layers: int
    past: int


@dataclass(frozen=True, kw_only=True)
class LipSyncPlan(AudioBackbonePlan, TalkPlan):
    """How talk is drawn, and heard."""


@dataclass(frozen=True, kw_only=True)
class LipSyncLosses:
    """Weights of the losses."""

    sync: float
    """whether a mouth goes with what is heard (eq. 12)"""


class LipSyncTrainer(Trainer):
    averaged: ClassVar[tuple[str, ...]] = ("lip_sync",)

    def __init__(self, recipe: Recipe, data: Path) -> None:
        super().__init__(recipe)
        self.plan: LipSyncPlan = recipe.plan
        hearing = hearing_of(self.plan)
        if hearing.features != recipe.size.features:
            raise UsageError(
                f"this audio backbone has {hearing.features} features; say so: --size.features"
            )
        self.clips, self.talks = talks_for(hearing, self.plan, data)
        rows = list(self.talks.all_rows())
        expert = LipSync(recipe.size)
        expert.settle(
            torch.from_numpy(np.concatenate([r.heard[::5] for r in rows]).astype(np.float32)),
            torch.from_numpy(np.concatenate([r.rig[::5] for r in rows])),
        )
        self.modules = {"lip_sync": expert}

    def draw(self, rng: np.random.Generator, step: int) -> Mapping[str, Array]:
        batch = self.recipe.schedule.batch
        rows = [self._row(rng) for _ in range(batch)]
        return {name: np.stack([row[name] for row in rows]) for name in rows[0]}

    def _row(self, rng: np.random.Generator) -> dict[str, Array]:
        """A window, and whether its mouth is of the same moment; one that says nothing of it, as
        in a pause, isn't drawn often."""
        row = self.talks.choose(rng, still=False)
        last = max(len(row.rig) - STEPS, 1)
        start = int(rng.integers(last))
        right = rng.random() < 0.5
        away = int(rng.integers(*APART)) * (1 if rng.random() < 0.5 else -1)
        other = start if right else (start + away) % last
        mouth = cut(row, other, STEPS)
        return {
            "heard": cut(row, start, STEPS)["heard"],
            "rig": mouth["rig"],
            "together": np.array(right, np.float32),
        }

    def losses(self, batch: Batch, step: int) -> Iterator[tuple[str, Parts, Mapping[str, float]]]:
        expert = self.modules["lip_sync"]
        assert isinstance(expert, LipSync)
        heard = batch["heard"]
        heard = heard + self.plan.noise * expert.scale_heard.std * torch.randn_like(heard)
        sounds, mouths = expert(heard, batch["rig"])
        yield "lip_sync", {"sync": sync(sounds, mouths, batch["together"])}, self.weights

    def pictures(self, batch: Batch, averaged: Mapping[str, nn.Module]) -> Mapping[str, Tensor]:
        """How alike each sound is to each mouth."""
        expert = averaged["lip_sync"]
        heard, seen = expert(batch["heard"], batch["rig"])
        return {"alike": ((1 + heard @ seen.T) / 2)[None].expand(3, -1, -1)}


def hearing_of(plan: AudioBackbonePlan) -> Hearing:
    """The audio front end that an expert is trained with."""
    return Hearing(
        VoiceRigSize(
            width=plan.width, heads=plan.heads, layers=plan.layers, past=plan.past,
            heard=1, channels=1, dilations=(1,), components=1,
        )
    )  # fmt: skip
