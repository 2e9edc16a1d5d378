"""What a face says, whatever it feels (CDRL's contrastive content representation, CCRL)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

import numpy as np

from face.types import BLENDSHAPES
from training.examples import Example, Examples, crops, of_clips
from training.models.audio_backbone import BACKBONE_WIDTH
from training.models.content import STEPS, Content, ContentSize
from training.models.trunk import TRUNK_ORIGIN
from training.models.voice_rig import LEVELS
from training.recipe import ANY, Ports, Recipe, Schedule, spec
from training.trainers.content import ContentLosses, ContentPlan, ContentTrainer
from training.trainers.samples import Clips


@dataclass(frozen=True, kw_only=True)
class ContentRecipe(Recipe):
    name = "content"
    task = "what a face says at a moment, whatever it feels: a representation"

    size: ContentSize
    schedule: Schedule
    plan: ContentPlan
    losses: ContentLosses

    @classmethod
    def full(cls) -> Self:
        return cls(
            size=ContentSize(
                parts=5, crop_px=256, features=BACKBONE_WIDTH + LEVELS, width=64, heads=4
            ),
            schedule=Schedule(
                steps=1_500, batch=48, lr=5e-4, weight_decay=0.05, warmup_steps=50,
                ema_decay=0.99, save_every=250, validate_every=250, log_every=50, workers=1,
            ),
            plan=ContentPlan(
                pretrained=True, views=2, strict=0.5, shared=0.5,
                width=BACKBONE_WIDTH, heads=8, layers=1, past=100,
            ),
            losses=ContentLosses(content=1.0),
        )  # fmt: skip

    @classmethod
    def debug(cls) -> Self:
        full = cls.full()
        plan = replace(full.plan, pretrained=False, views=1, width=16, heads=2, past=8)
        return replace(
            full,
            size=ContentSize(parts=3, crop_px=64, features=16 + LEVELS, width=8, heads=2),
            schedule=Schedule.debug(batch=4, lr=1e-3),
            plan=plan,
        )

    def build(self) -> Content:
        return Content(self.size)

    def trainer(self, data: Path, runs: Mapping[str, Path]) -> ContentTrainer:
        return ContentTrainer(self, data)

    def ports(self, module: Content) -> Ports:
        size = module.size
        inputs = (
            spec("rig", (1, len(BLENDSHAPES)), 0, 1, "blendshapes")
            if size.rigged
            else spec("crop", (1, 3, size.crop_px, size.crop_px), 0, 1, "aligned face, RGB / 255"),
            spec("heard", (1, STEPS, size.features), -ANY, ANY, "audio features, 0.2 s about it"),
        )
        return inputs, (spec("content", (1, size.width), -ANY, ANY, "told apart by cosines"),)

    def origins(self) -> tuple[str, ...]:
        # Those of smaller sizes are made up.
        own = self.size.rigged or self.size.parts != type(self).full().size.parts
        return () if own else (TRUNK_ORIGIN,)

    def examples(self, data: Path) -> tuple[Examples, Examples]:
        return of_clips(data, lambda info, frames: frames > 0, self._drawn)

    def _drawn(self, clips: Clips, rng: np.random.Generator) -> Iterator[Example]:
        for sample, t, crop in crops(clips, rng, self.size.crop_px):
            heard = rng.normal(0, 1, (1, STEPS, self.size.features)).astype(np.float32)
            rig = sample.clip.blendshapes[t][None]
            yield Example({"heard": heard} | ({"rig": rig} if self.size.rigged else {"crop": crop}))
