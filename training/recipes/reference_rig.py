"""The rig that a face wears to feel as a reference does, by CDRL's regularization (eq. 4-6)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

import numpy as np

from face.types import BLENDSHAPES
from training.examples import Example, Examples, faces, of_clips
from training.models.audio_backbone import BACKBONE_WIDTH
from training.models.reference_rig import REFERENCE, ReferenceRig, ReferenceRigSize
from training.recipe import Ports, Recipe, Schedule, spec
from training.trainers.face_features import Plan
from training.trainers.reference_rig import (
    ReferenceRigLosses,
    ReferenceRigPlan,
    ReferenceRigTrainer,
)
from training.trainers.samples import Clips


@dataclass(frozen=True, kw_only=True)
class ReferenceRigRecipe(Recipe):
    name = "reference_rig"
    task = "the shapes of a face that feels as a reference does and says what it says"
    leans_on = ("emotion_priors", "rig_content")

    size: ReferenceRigSize
    schedule: Schedule
    plan: ReferenceRigPlan
    losses: ReferenceRigLosses

    @classmethod
    def full(cls) -> Self:
        return cls(
            size=ReferenceRigSize(features=128),
            schedule=Schedule(
                steps=2_000, batch=32, lr=5e-4, weight_decay=0.01, warmup_steps=50,
                ema_decay=0.99, save_every=500, log_every=200, workers=1,
            ),
            plan=ReferenceRigPlan(
                pretrained=True, views=Plan(stills=2, runs=2, frames=4),
                width=BACKBONE_WIDTH, heads=8, layers=1, past=100,
            ),
            losses=ReferenceRigLosses(
                adversarial=0.1, cycle=2.0, same=2.0, content=1.0, emotion=1.0
            ),
        )  # fmt: skip

    @classmethod
    def debug(cls) -> Self:
        full = cls.full()
        views = Plan(stills=2, runs=1, frames=2)
        plan = replace(full.plan, pretrained=False, views=views, width=16, heads=2, past=8)
        return replace(
            full,
            size=ReferenceRigSize(features=8),
            schedule=Schedule.debug(batch=4, lr=1e-3),
            plan=plan,
        )

    def build(self) -> ReferenceRig:
        return ReferenceRig(self.size)

    def trainer(self, data: Path, runs: Mapping[str, Path]) -> ReferenceRigTrainer:
        return ReferenceRigTrainer(self, data, runs)

    def ports(self, module: ReferenceRig) -> Ports:
        shapes = len(BLENDSHAPES)
        inputs = (
            spec("shapes", (1, shapes), 0, 1, "blendshapes of the source"),
            spec(
                "reference",
                (1, REFERENCE),
                -1,
                1,
                "blendshapes; probabilities of emotions; valence, arousal; intensity",
            ),
        )
        return inputs, (spec("rig", (1, shapes), 0, 1, "blendshapes to draw"),)

    def examples(self, data: Path) -> tuple[Examples, Examples]:
        return of_clips(data, lambda info, frames: frames > 0, self._drawn)

    def _drawn(self, clips: Clips, rng: np.random.Generator) -> Iterator[Example]:
        shapes = len(BLENDSHAPES)
        for sample in faces(clips, rng):
            t, other = rng.choice(np.flatnonzero(sample.clip.found), 2)
            felt = rng.uniform(0, 1, REFERENCE - shapes).astype(np.float32)
            reference = np.concatenate([sample.clip.blendshapes[other], felt])[None]
            yield Example({"shapes": sample.clip.blendshapes[t][None], "reference": reference})
