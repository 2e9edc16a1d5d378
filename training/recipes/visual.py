"""What a face feels, frame by frame."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar, Final, Self

import numpy as np

from training.examples import Drawn, Example, Examples, faces, of_clips
from training.models.trunk import PARTS, SIDE_PX, TRUNK_ORIGIN
from training.models.visual import VisualEncoder, VisualSize
from training.models.xception import XCEPTION_ORIGIN
from training.recipe import Ports, Recipe, Schedule, spec
from training.recipes._affect import STATE, affect_outputs, embedding
from training.trainers.face_features import Plan
from training.trainers.samples import Augmentation, Clips
from training.trainers.visual import VisualLosses, VisualPlan, VisualTrainer

FRAMES_IN_A_ROW: Final = 8


@dataclass(frozen=True, kw_only=True)
class Visual(Recipe):
    name = "visual"
    task = "what a face feels, frame by frame, never looking ahead"
    state: ClassVar[Mapping[str, str]] = STATE
    halved = True
    precision = "bf16"
    # Not quantized: in int8 it names one face in eight differently, however few of its layers are
    # left to it, and is no quicker than in bf16.

    size: VisualSize
    schedule: Schedule
    plan: VisualPlan
    losses: VisualLosses

    @classmethod
    def full(cls) -> Self:
        return cls(
            size=VisualSize(parts=PARTS, features=128, crop_px=SIDE_PX),
            schedule=Schedule(
                steps=400,
                batch=128,
                lr=1e-3,
                weight_decay=0.1,
                warmup_steps=10,
                ema_decay=0.99,
                max_grad_norm=2.0,
                save_every=200,
                log_every=50,
                images_every=400,
                workers=1,
            ),
            plan=VisualPlan(
                views=Plan(stills=4, runs=2, frames=4),
                pretrained=True,
                moving_every=6,
                temper=0.5,
                repeats=3,
                rig_shown=0.85,
                label_smoothing=0.05,
                mixup=0.5,
                untrusted=0.1,
                untrusted_from=0.4,
            ),
            losses=VisualLosses(classification=1.0, affect=1.0, intensity=1.0),
        )

    @classmethod
    def debug(cls) -> Self:
        full, views = cls.full(), Plan(stills=2, runs=1, frames=2)
        return replace(
            full,
            size=VisualSize(parts=3, features=32, crop_px=128),
            schedule=Schedule.debug(batch=4, lr=2e-2),
            plan=replace(full.plan, views=views, pretrained=False, moving_every=2),
        )

    def build(self) -> VisualEncoder:
        return VisualEncoder(self.size)

    def trainer(self, data: Path, runs: Mapping[str, Path]) -> VisualTrainer:
        return VisualTrainer(self, data)

    def ports(self, module: VisualEncoder) -> Ports:
        side, features = self.size.crop_px, self.size.features
        inputs = (
            spec("crop", (1, 3, side, side), 0, 1, "aligned face, RGB / 255"),
            spec("rig", (1, 52), 0, 1, "blendshapes; zeros where unknown"),
            spec("state", (1, features), -1, 1, "zeros at first"),
        )
        return inputs, (embedding(features), *affect_outputs(features))

    def origins(self) -> tuple[str, ...]:
        # Those of smaller sizes are made up.
        return (TRUNK_ORIGIN, XCEPTION_ORIGIN) if self.size.parts == PARTS else ()

    def examples(self, data: Path) -> tuple[Examples, Examples]:
        return of_clips(data, lambda info, frames: frames > 0, _drawn(self.size.crop_px))


def _drawn(side: int) -> Drawn:
    augmentation = Augmentation.plain(side)

    def drawn(clips: Clips, rng: np.random.Generator) -> Iterator[Example]:
        for sample in faces(clips, rng):
            clip = sample.clip
            found = np.flatnonzero(clip.found)
            start = int(rng.integers(len(found)))
            for position, t in enumerate(found[start : start + FRAMES_IN_A_ROW]):
                call = {
                    "crop": augmentation.picture(clip.frame(int(t)), side)[None],
                    "rig": clip.blendshapes[t][None].astype(np.float32),
                }
                yield Example(call, begins=not position)

    return drawn
