"""Whether a mouth goes with what is heard (EcoFace's sync expert)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

import numpy as np
import torch

from training.data.talk import STEP_SAMPLES
from training.examples import Example, Examples, of_clips, voices
from training.models.audio_backbone import BACKBONE_WIDTH, pretrained_backbone
from training.models.lip_sync import STEPS, LipSync, LipSyncSize
from training.models.voice_rig import LEVELS
from training.recipe import ANY, Ports, Recipe, Schedule, spec
from training.trainers.lip_sync import LipSyncLosses, LipSyncPlan, LipSyncTrainer, hearing_of
from training.trainers.samples import Clips
from training.trainers.talks import Shares


@dataclass(frozen=True, kw_only=True)
class LipSyncRecipe(Recipe):
    name = "lip_sync"
    task = "whether a mouth goes with what is heard: places of both, alike where it does"

    size: LipSyncSize
    schedule: Schedule
    plan: LipSyncPlan
    losses: LipSyncLosses

    @classmethod
    def full(cls) -> Self:
        return cls(
            size=LipSyncSize(features=BACKBONE_WIDTH + LEVELS, channels=96, space=64),
            schedule=Schedule(
                steps=2_000, batch=128, lr=1e-3, weight_decay=0.05, warmup_steps=50,
                ema_decay=0.99, save_every=500, log_every=200, workers=1,
            ),
            plan=LipSyncPlan(
                pretrained=True, takes=3, piece=STEPS, noise=0.7, stills=2,
                shares=Shares(rigged=0.4, tracked=0.4, by_phones=0.2, made=0.1, still=0.1),
                width=BACKBONE_WIDTH, heads=8, layers=1, past=100,
            ),
            losses=LipSyncLosses(sync=1.0),
        )  # fmt: skip

    @classmethod
    def debug(cls) -> Self:
        full = cls.full()
        return replace(
            full,
            size=LipSyncSize(features=16 + LEVELS, channels=8, space=4),
            schedule=Schedule.debug(batch=4, lr=1e-3),
            plan=replace(
                full.plan, pretrained=False, takes=1, stills=1, width=16, heads=2, layers=1, past=8
            ),
        )

    def build(self) -> LipSync:
        return LipSync(self.size)

    def trainer(self, data: Path, runs: Mapping[str, Path]) -> LipSyncTrainer:
        return LipSyncTrainer(self, data)

    def ports(self, module: LipSync) -> Ports:
        features, space = module.size.features, module.size.space
        inputs = (
            spec(
                "heard",
                (1, STEPS, features),
                -ANY,
                ANY,
                "audio features of 0.2 s",
            ),
            spec("rig", (1, STEPS, 52), 0, 1, "blendshapes of that time"),
        )
        outputs = (
            spec("heard_place", (1, space), -1, 1, "of unit length"),
            spec("rig_place", (1, space), -1, 1, "of unit length"),
        )
        return inputs, outputs

    def examples(self, data: Path) -> tuple[Examples, Examples]:
        return of_clips(data, lambda info, frames: True, self._drawn)

    def _drawn(self, clips: Clips, rng: np.random.Generator) -> Iterator[Example]:
        plan, hearing = self.plan, hearing_of(self.plan)
        if (
            hearing.features != self.size.features
        ):  # a run of another size, which has no backbone here
            plan = type(self).debug().plan
            hearing = hearing_of(plan)
        elif plan.pretrained:
            hearing.backbone = pretrained_backbone(plan.layers, plan.past, STEP_SAMPLES)
        for sound in voices(clips, rng, STEPS * STEP_SAMPLES):
            with torch.no_grad():
                part = torch.from_numpy(sound[: STEPS * STEP_SAMPLES])[None]
                heard, _ = hearing(part, hearing.backbone.begin(1))
            mouth = rng.uniform(0, 0.5, (1, STEPS, 52)).astype(np.float32)
            yield Example({"heard": heard.numpy(), "rig": mouth})
