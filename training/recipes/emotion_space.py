"""Where voices and faces of one feeling lie together (EcoFace's emotional disentanglement)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

import numpy as np

from training.examples import Example, Examples, faces, of_clips
from training.models.audio_backbone import BACKBONE_WIDTH
from training.models.emotion_space import EmotionSpace, EmotionSpaceSize
from training.models.trunk import PARTS, SIDE_PX
from training.recipe import Ports, Recipe, Schedule, spec
from training.trainers.emotion_space import (
    EmotionSpaceLosses,
    EmotionSpacePlan,
    EmotionSpaceTrainer,
)
from training.trainers.face_features import Plan
from training.trainers.samples import Clips
from training.trainers.talks import Shares


@dataclass(frozen=True, kw_only=True)
class EmotionSpaceRecipe(Recipe):
    name = "emotion_space"
    task = "where in the space of emotions a rig sequence lies"

    size: EmotionSpaceSize
    schedule: Schedule
    plan: EmotionSpacePlan
    losses: EmotionSpaceLosses

    @classmethod
    def full(cls) -> Self:
        return cls(
            size=EmotionSpaceSize(
                width=BACKBONE_WIDTH, heads=8, layers=1, past=100,
                channels=96, space=32, memory=100, piece=100, parts=PARTS, crop_px=SIDE_PX,
            ),
            schedule=Schedule(
                steps=1_000, batch=32, lr=1e-3, weight_decay=0.05, warmup_steps=50,
                ema_decay=0.99, save_every=500, log_every=100, workers=1,
            ),
            plan=EmotionSpacePlan(
                pretrained=True, takes=2, piece=100, noise=0.7, stills=2,
                shares=Shares(rigged=1, tracked=1, by_phones=1, made=1, still=1),
                temperature=0.2, margin=0.2, views=Plan(stills=3, runs=2, frames=25),
            ),
            losses=EmotionSpaceLosses(contrastive=1.0, audio_visual=1.0, triplet=1.0),
        )  # fmt: skip

    @classmethod
    def debug(cls) -> Self:
        full, views = cls.full(), Plan(stills=2, runs=1, frames=3)
        return replace(
            full,
            size=EmotionSpaceSize(
                width=16, heads=2, layers=1, past=8, channels=8, space=4, memory=8, piece=10,
                parts=3, crop_px=128,
            ),
            schedule=Schedule.debug(batch=4, lr=1e-3),
            plan=replace(full.plan, pretrained=False, takes=1, piece=8, stills=1, views=views),
        )  # fmt: skip

    def build(self) -> EmotionSpace:
        return EmotionSpace(self.size)

    def trainer(self, data: Path, runs: Mapping[str, Path]) -> EmotionSpaceTrainer:
        return EmotionSpaceTrainer(self, data)

    def ports(self, module: EmotionSpace) -> Ports:
        size = module.size
        inputs = (spec("rig", (1, size.piece, 52), 0, 1, "blendshapes above rest, 50 a second"),)
        return inputs, (spec("place", (1, size.space), -1, 1, "mean over time"),)

    def examples(self, data: Path) -> tuple[Examples, Examples]:
        return of_clips(data, lambda info, frames: frames > 1, self._drawn)

    def _drawn(self, clips: Clips, rng: np.random.Generator) -> Iterator[Example]:
        for sample in faces(clips, rng):
            at = np.arange(self.size.piece) // 2 % len(sample.clip)
            yield Example({"rig": sample.clip.blendshapes[at][None]})
