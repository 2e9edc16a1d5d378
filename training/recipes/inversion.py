"""The latent of a face's expression: SSERD's encoder E of its inversion (eq. 7-10)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

import numpy as np

from face.types import BLENDSHAPES
from training.examples import Example, Examples, faces, of_clips
from training.models.intensity import READING
from training.models.latent import TOKENS, WIDTH, LatentEncoder, LatentSize
from training.recipe import ANY, Ports, Recipe, Schedule, spec
from training.trainers.inversion import InversionLosses, InversionPlan, InversionTrainer
from training.trainers.samples import Clips


@dataclass(frozen=True, kw_only=True)
class Inversion(Recipe):
    name = "inversion"
    task = "the latent that draws a face's expression, of what is seen of it"
    leans_on = ("visual",)

    size: LatentSize
    schedule: Schedule
    plan: InversionPlan
    losses: InversionLosses

    @classmethod
    def full(cls) -> Self:
        return cls(
            size=LatentSize(features=96),
            schedule=Schedule(
                steps=250, batch=8, lr=2e-3, weight_decay=0.01, warmup_steps=20,
                ema_decay=0.98, group_lr={"critic": 2e-4}, save_every=250,
                validate_every=250, log_every=50, images_every=250, workers=1,
            ),
            plan=InversionPlan(
                every=6, people="clean", pretrained=True, side_px=64, channels=(24, 48, 96),
                temperature=0.1, contrasted=64, alpha=0.8,
            ),
            losses=InversionLosses(reconstruction=10.0, adversarial=0.1, contrastive=0.1),
        )  # fmt: skip

    @classmethod
    def debug(cls) -> Self:
        full = cls.full()
        small = replace(
            full.plan, every=2, pretrained=False, side_px=32, channels=(8,), contrasted=8
        )
        return replace(
            full,
            size=LatentSize(features=8),
            schedule=Schedule.debug(batch=2, lr=1e-3),
            plan=small,
        )

    def build(self) -> LatentEncoder:
        return LatentEncoder(self.size)

    def trainer(self, data: Path, runs: Mapping[str, Path]) -> InversionTrainer:
        return InversionTrainer(self, data, runs["visual"])

    def ports(self, module: LatentEncoder) -> Ports:
        inputs = (
            spec("shapes", (1, len(BLENDSHAPES)), 0, 1, "blendshapes as tracked"),
            spec("reading", (1, READING), -1, 1, READ),
        )
        return inputs, (spec("latent", (1, TOKENS, WIDTH), -ANY, ANY, "tokens of the latent w"),)

    def examples(self, data: Path) -> tuple[Examples, Examples]:
        return of_clips(data, lambda info, frames: frames > 0, _drawn)


READ = "emotion probabilities 8, valence, arousal, intensity"


def reading_like(rng: np.random.Generator) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    """A reading [1, 11] such as a visual encoder might give."""
    probabilities = rng.dirichlet(np.full(READING - 3, 0.3))
    felt = [*rng.uniform(-0.7, 0.7, 2), rng.uniform(0, 1)]
    return np.concatenate([probabilities, felt])[None].astype(np.float32)


def _drawn(clips: Clips, rng: np.random.Generator) -> Iterator[Example]:
    for sample in faces(clips, rng):
        t = int(rng.choice(np.flatnonzero(sample.clip.found)))
        yield Example({"shapes": sample.clip.blendshapes[t][None], "reading": reading_like(rng)})
