"""What a voice feels, every 40 ms."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar, Self

from training.examples import Examples, in_steps, of_clips
from training.models.audio_backbone import BACKBONE_ORIGIN, BACKBONE_WIDTH, STEP_SAMPLES
from training.models.speech import LOOK_AHEAD_MS, OUTPUTS, SpeechEncoder, SpeechSize
from training.recipe import ANY, Ports, Recipe, Schedule, spec
from training.recipes._affect import STATE, affect_outputs, embedding
from training.trainers.speech import SpeechLosses, SpeechPlan, SpeechTrainer


@dataclass(frozen=True, kw_only=True)
class Speech(Recipe):
    name = "speech"
    task = (
        "what a voice feels, every 40 ms; the answer belongs to the step before "
        f"(look-ahead {LOOK_AHEAD_MS} ms)"
    )
    state: ClassVar[Mapping[str, str]] = STATE

    size: SpeechSize
    schedule: Schedule
    plan: SpeechPlan
    losses: SpeechLosses

    @classmethod
    def full(cls) -> Self:
        return cls(
            size=SpeechSize(width=BACKBONE_WIDTH, heads=8, layers=2, past=50),
            schedule=Schedule(
                steps=300,
                batch=256,
                lr=3e-3,
                weight_decay=0,
                warmup_steps=10,
                ema_decay=0.98,
                max_grad_norm=5.0,
                save_every=300,
                log_every=50,
                workers=1,
            ),
            plan=SpeechPlan(pretrained=True, takes=2, most_before=16),
            losses=SpeechLosses(classification=1.0, affect=0.5, intensity=0.5, weights=0.03),
        )

    @classmethod
    def debug(cls) -> Self:
        full = cls.full()
        return replace(
            full,
            size=SpeechSize(width=16, heads=2, layers=1, past=8),
            schedule=Schedule.debug(batch=4, lr=5e-3),
            plan=replace(full.plan, pretrained=False),
        )

    def build(self) -> SpeechEncoder:
        return SpeechEncoder(self.size)

    def trainer(self, data: Path, runs: Mapping[str, Path]) -> SpeechTrainer:
        return SpeechTrainer(self, data)

    def ports(self, module: SpeechEncoder) -> Ports:
        state = module.begin(1).shape[1]
        inputs = (
            spec("sound", (1, STEP_SAMPLES), -1, 1, "40 ms at 16 kHz"),
            spec("state", (1, state), -ANY, ANY, "zeros at first"),
        )
        outputs = (
            embedding(OUTPUTS),
            *affect_outputs(state),
            spec("boredom", (1, 1), -ANY, ANY, "logit: of the neutral voice, how sure it is bored"),
            spec("calm", (1, 1), -ANY, ANY, "logit: of the rest of it, how sure it is calm"),
        )
        return inputs, outputs

    def origins(self) -> tuple[str, ...]:
        # A backbone of another width is made up.
        return (BACKBONE_ORIGIN,) if self.size.width == BACKBONE_WIDTH else ()

    def examples(self, data: Path) -> tuple[Examples, Examples]:
        return of_clips(data, lambda info, frames: True, in_steps(STEP_SAMPLES))
