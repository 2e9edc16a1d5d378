"""What a face feels, whatever it says (CDRL's contrastive emotion representation, CERL)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

import numpy as np

from training.examples import Example, Examples, crops, of_clips
from training.models.emotion_priors import PRIORS, EmotionPriors, EmotionPriorsSize
from training.models.trunk import PARTS, SIDE_PX, TRUNK_ORIGIN
from training.models.xception import XCEPTION_ORIGIN
from training.recipe import Ports, Recipe, Schedule, spec
from training.trainers.emotion_priors import (
    EmotionPriorsLosses,
    EmotionPriorsPlan,
    EmotionPriorsTrainer,
)
from training.trainers.face_features import Plan
from training.trainers.samples import Clips


@dataclass(frozen=True, kw_only=True)
class EmotionPriorsRecipe(Recipe):
    name = "emotion_priors"
    task = "how a face goes with what each emotion looks like: a representation"
    leans_on = ("visual",)

    size: EmotionPriorsSize
    schedule: Schedule
    plan: EmotionPriorsPlan
    losses: EmotionPriorsLosses

    @classmethod
    def full(cls) -> Self:
        return cls(
            size=EmotionPriorsSize(
                parts=PARTS, features=128, crop_px=SIDE_PX, tokens=8, width=32
            ),
            schedule=Schedule(
                steps=1_000, batch=32, lr=2e-3, weight_decay=0.01, warmup_steps=50,
                ema_decay=0.99, save_every=250, validate_every=250, log_every=100, workers=1,
            ),
            plan=EmotionPriorsPlan(
                views=Plan(stills=2, runs=2, frames=4), keep=True, clearest=0.5, temperature=0.1
            ),
            losses=EmotionPriorsLosses(priors=1.0, rigs=1.0),
        )  # fmt: skip

    @classmethod
    def debug(cls) -> Self:
        full, views = cls.full(), Plan(stills=2, runs=1, frames=2)
        return replace(
            full,
            size=EmotionPriorsSize(parts=3, features=32, crop_px=128, tokens=2, width=4),
            schedule=Schedule.debug(batch=4, lr=1e-2),
            plan=replace(full.plan, views=views, keep=False),
        )

    def build(self) -> EmotionPriors:
        return EmotionPriors(self.size)

    def trainer(self, data: Path, runs: Mapping[str, Path]) -> EmotionPriorsTrainer:
        return EmotionPriorsTrainer(self, data, runs)

    def ports(self, module: EmotionPriors) -> Ports:
        side = self.size.crop_px
        inputs = (spec("crop", (1, 3, side, side), 0, 1, "aligned face, RGB / 255"),)
        named = ", ".join(PRIORS)
        return inputs, (spec("emotion", (1, len(PRIORS)), -1, 1, f"with the prior of {named}"),)

    def origins(self) -> tuple[str, ...]:
        # Those of smaller sizes are made up.
        return (TRUNK_ORIGIN, XCEPTION_ORIGIN) if self.size.parts == PARTS else ()

    def examples(self, data: Path) -> tuple[Examples, Examples]:
        return of_clips(data, lambda info, frames: frames > 0, self._drawn)

    def _drawn(self, clips: Clips, rng: np.random.Generator) -> Iterator[Example]:
        for _, _, crop in crops(clips, rng, self.size.crop_px):
            yield Example({"crop": crop})
