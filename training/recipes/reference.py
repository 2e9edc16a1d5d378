"""What a face is to express after a reference: SSERD's CELCL, with its encoder."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

import numpy as np

from face.types import BLENDSHAPES, EMOTIONS
from training.examples import Example, Examples, faces, of_clips
from training.models.celcl import CelclSize, Reference
from training.models.intensity import READING
from training.recipe import Ports, Recipe, Schedule, spec
from training.recipes.inversion import READ, reading_like
from training.trainers.reference import ReferenceLosses, ReferencePlan, ReferenceTrainer
from training.trainers.samples import Clips


@dataclass(frozen=True, kw_only=True)
class ReferenceRecipe(Recipe):
    name = "reference"
    task = "what a face is to express, after what is seen of it and of a reference"
    leans_on = ("visual", "inversion")

    size: CelclSize
    schedule: Schedule
    plan: ReferencePlan
    losses: ReferenceLosses

    @classmethod
    def full(cls) -> Self:
        return cls(
            size=CelclSize(features=64, heads=4, hidden=128, layers=2, latent=96),
            schedule=Schedule(
                steps=500, batch=4, lr=2e-3, weight_decay=0.01, warmup_steps=20,
                ema_decay=0.98, group_lr={"critic": 2e-4}, save_every=100,
                log_every=50, images_every=200, workers=1,
            ),
            plan=ReferencePlan(
                every=6, people="clean", pretrained=True, side_px=64, channels=(24, 48, 96),
                temperature=0.1, synthetic=0.5, unread=0.3, alpha=0.8, codes_first=440, codes=64,
                along=True,
            ),
            losses=ReferenceLosses(supervised=50.0, latent=100.0, adversarial=0.1, contrastive=0.1),
        )  # fmt: skip

    @classmethod
    def debug(cls) -> Self:
        full = cls.full()
        small = replace(
            full.plan, every=2, pretrained=False, side_px=32, channels=(8,), codes_first=1, codes=8
        )
        return replace(
            full,
            size=CelclSize(features=8, heads=2, hidden=8, layers=1, latent=8),
            schedule=Schedule.debug(batch=4, lr=1e-3),
            plan=small,
        )

    def build(self) -> Reference:
        return Reference(self.size)

    def trainer(self, data: Path, runs: Mapping[str, Path]) -> ReferenceTrainer:
        return ReferenceTrainer(self, data, runs)

    def ports(self, module: Reference) -> Ports:
        shapes = (1, len(BLENDSHAPES))
        inputs = (
            spec("source", shapes, 0, 1, "blendshapes of the face, as tracked"),
            spec("source_reading", (1, READING), -1, 1, f"of the face: {READ}; calm if unknown"),
            spec("reference", shapes, 0, 1, "blendshapes of the reference, as tracked"),
            spec("reference_reading", (1, READING), -1, 1, f"of the reference: {READ}"),
        )
        outputs = (
            spec("expression", (1, len(EMOTIONS)), 0, 1.5, "how much of each emotion comes"),
            spec("shapes", shapes, 0, 1, "blendshapes to ask for"),
        )
        return inputs, outputs

    def examples(self, data: Path) -> tuple[Examples, Examples]:
        return of_clips(data, lambda info, frames: frames > 0, _drawn)


def _drawn(clips: Clips, rng: np.random.Generator) -> Iterator[Example]:
    seen = faces(clips, rng)
    for source, reference in zip(seen, seen, strict=False):
        rigs = [
            one.clip.blendshapes[int(rng.choice(np.flatnonzero(one.clip.found)))][None]
            for one in (source, reference)
        ]
        yield Example(
            {
                "source": rigs[0],
                "source_reading": reading_like(rng),
                "reference": rigs[1],
                "reference_reading": reading_like(rng),
            }
        )
