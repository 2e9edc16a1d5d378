"""How strongly something is felt, of face and voice together."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar, Final, Self

import numpy as np

from training.examples import Example, Examples, faces, of_clips
from training.models.intensity import READING, IntensityFusion, IntensitySize
from training.recipe import Ports, Recipe, Schedule, spec
from training.recipes._affect import STATE, affect_outputs
from training.trainers.intensity import IntensityLosses, IntensityPlan, IntensityTrainer
from training.trainers.samples import Clips

FRAMES_IN_A_ROW: Final = 8


@dataclass(frozen=True, kw_only=True)
class Intensity(Recipe):
    name = "intensity"
    task = "emotion, valence-arousal and intensity of a frame from face and voice together"
    state: ClassVar[Mapping[str, str]] = STATE
    leans_on = ("visual", "speech")

    size: IntensitySize
    schedule: Schedule
    plan: IntensityPlan
    losses: IntensityLosses

    @classmethod
    def full(cls) -> Self:
        return cls(
            size=IntensitySize(features=32),
            schedule=Schedule(
                steps=1_500,
                batch=32,
                lr=2e-3,
                weight_decay=0.01,
                warmup_steps=50,
                ema_decay=0.995,
                save_every=500,
                log_every=100,
                workers=1,
            ),
            plan=IntensityPlan(frames=32, hidden=0.2, noise=0.03, synthetic=0.75),
            losses=IntensityLosses(classification=0.3, affect=2.0, intensity=2.0, concordance=0.3),
        )

    @classmethod
    def debug(cls) -> Self:
        full = cls.full()
        return replace(
            full,
            schedule=Schedule.debug(batch=2, lr=1e-3),
            plan=replace(full.plan, frames=3),
        )

    def build(self) -> IntensityFusion:
        return IntensityFusion(self.size.features)

    def trainer(self, data: Path, runs: Mapping[str, Path]) -> IntensityTrainer:
        return IntensityTrainer(self, data, runs["visual"], runs["speech"])

    def ports(self, module: IntensityFusion) -> Ports:
        said = "emotion probabilities 8, valence, arousal, intensity"
        inputs = (
            spec("face", (1, READING), -1, 1, f"what the face says: {said}"),
            spec("voice", (1, READING), -1, 1, f"what the voice says: {said}"),
            spec("present", (1, 2), 0, 1, "1 where there is a face, a voice"),
            spec("state", (1, module.features), -1, 1, "zeros at first"),
        )
        return inputs, affect_outputs(module.features)

    def examples(self, data: Path) -> tuple[Examples, Examples]:
        return of_clips(data, lambda info, frames: frames > 0, _drawn)


def _drawn(clips: Clips, rng: np.random.Generator) -> Iterator[Example]:
    """Readings around the clips' own labels; the encoders needn't be at hand."""
    for sample in faces(clips, rng):
        labels = sample.labels
        for t in np.flatnonzero(sample.clip.found)[:FRAMES_IN_A_ROW]:
            affect = np.array([labels.valence[t], labels.arousal[t], labels.intensity[t]])
            readings = []
            for _ in range(2):
                share = rng.dirichlet(np.full(8, 0.3))
                readings.append(np.concatenate([share, affect * rng.uniform(0.7, 1, 3)]))
            face, voice = (reading[None].astype(np.float32) for reading in readings)
            present = np.array([[1, rng.random() < 0.7]], np.float32)
            yield Example({"face": face, "voice": voice, "present": present})
