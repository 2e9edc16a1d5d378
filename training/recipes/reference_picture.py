"""A face drawn at once as a reference feels, by CDRL's regularization (eq. 4-6)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

import numpy as np

from training.examples import Example, Examples, crops, of_clips
from training.models.audio_backbone import BACKBONE_WIDTH
from training.models.reference_picture import ReferencePicture, ReferencePictureSize
from training.models.trunk import TRUNK_ORIGIN
from training.recipe import Ports, Recipe, Schedule, spec
from training.trainers.reference_picture import (
    ReferencePictureLosses,
    ReferencePicturePlan,
    ReferencePictureTrainer,
)
from training.trainers.samples import Clips


@dataclass(frozen=True, kw_only=True)
class ReferencePictureRecipe(Recipe):
    name = "reference_picture"
    task = "the picture of a face that feels as a reference does and says what it says"
    leans_on = ("content", "emotion_priors")

    size: ReferencePictureSize
    schedule: Schedule
    plan: ReferencePicturePlan
    losses: ReferencePictureLosses

    @classmethod
    def full(cls) -> Self:
        return cls(
            size=ReferencePictureSize(
                parts=5, crop_px=256, channels=(24, 48, 96), features=128
            ),
            schedule=Schedule(
                steps=1_000, batch=4, lr=1e-3, weight_decay=0.01, warmup_steps=20,
                ema_decay=0.98, save_every=50, log_every=20, workers=1,
            ),
            plan=ReferencePicturePlan(
                pretrained=True, references=40, width=BACKBONE_WIDTH, heads=8, layers=1, past=100
            ),
            losses=ReferencePictureLosses(pixels=5.0, perception=1.0, content=1.0, emotion=1.0),
        )  # fmt: skip

    @classmethod
    def debug(cls) -> Self:
        full = cls.full()
        plan = replace(full.plan, pretrained=False, references=2, width=16, heads=2, past=8)
        return replace(
            full,
            size=ReferencePictureSize(parts=3, crop_px=64, channels=(4, 4, 4), features=8),
            schedule=Schedule.debug(batch=2, lr=1e-3),
            plan=plan,
        )

    def build(self) -> ReferencePicture:
        return ReferencePicture(self.size)

    def trainer(self, data: Path, runs: Mapping[str, Path]) -> ReferencePictureTrainer:
        return ReferencePictureTrainer(self, data, runs)

    def ports(self, module: ReferencePicture) -> Ports:
        shape = (1, 3, self.size.crop_px, self.size.crop_px)
        inputs = (
            spec("crop", shape, 0, 1, "aligned face, RGB / 255"),
            spec("reference", shape, 0, 1, "another face, the same way"),
        )
        return inputs, (spec("picture", shape, 0, 1, "the crop as it feels like the reference"),)

    def origins(self) -> tuple[str, ...]:
        # Those of smaller sizes are made up.
        return (TRUNK_ORIGIN,) if self.size.parts == type(self).full().size.parts else ()

    def examples(self, data: Path) -> tuple[Examples, Examples]:
        return of_clips(data, lambda info, frames: frames > 0, self._drawn)

    def _drawn(self, clips: Clips, rng: np.random.Generator) -> Iterator[Example]:
        every = crops(clips, rng, self.size.crop_px)
        for (_, _, crop), (_, _, reference) in zip(every, every, strict=False):
            yield Example({"crop": crop, "reference": reference})
