"""How a face moves to a voice, every 20 ms, by regression."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar, Self

from training.data.talk import STEP_SAMPLES
from training.examples import Examples, in_steps, of_clips
from training.models.audio_backbone import BACKBONE_ORIGIN, BACKBONE_WIDTH
from training.models.voice_rig import LOOK_AHEAD_MS, VoiceRigNet, VoiceRigSize
from training.recipe import ANY, Ports, Recipe, Schedule, spec
from training.trainers.talks import Shares
from training.trainers.voice_rig import VoiceRigLosses, VoiceRigPlan, VoiceRigTrainer


@dataclass(frozen=True, kw_only=True)
class VoiceRig(Recipe):
    name = "voice_rig"
    task = (
        "how a face moves to a voice, every 20 ms; the answer belongs to the moment "
        f"{LOOK_AHEAD_MS} ms before the step's end"
    )
    state: ClassVar[Mapping[str, str]] = {"state": "state_next"}

    size: VoiceRigSize
    schedule: Schedule
    plan: VoiceRigPlan
    losses: VoiceRigLosses

    @classmethod
    def full(cls) -> Self:
        return cls(
            size=VoiceRigSize(
                width=BACKBONE_WIDTH,
                heads=8,
                layers=3,
                past=100,
                heard=64,
                channels=64,
                dilations=(1, 1, 2, 2),
                components=24,
            ),
            schedule=Schedule(
                steps=400,
                batch=32,
                lr=2e-3,
                weight_decay=0.02,
                warmup_steps=50,
                ema_decay=0.99,
                save_every=100,
                validate_every=100,
                validation_batches=16,
                log_every=100,
                workers=1,
            ),
            plan=VoiceRigPlan(
                pretrained=True,
                takes=3,
                piece=60,
                noise=1.0,
                jaw=3.0,
                above=0.3,
                stills=16,
                shares=Shares(rigged=0.35, tracked=0.3, by_phones=0.15, made=0.05, still=0.15),
            ),
            losses=VoiceRigLosses(shapes=1.0, motion=10.0, lips=4.0, step=0.1),
        )

    @classmethod
    def debug(cls) -> Self:
        full = cls.full()
        return replace(
            full,
            size=VoiceRigSize(
                width=16,
                heads=2,
                layers=2,
                past=8,
                heard=8,
                channels=8,
                dilations=(1, 2),
                components=4,
            ),
            schedule=Schedule.debug(batch=2, lr=1e-3),
            plan=replace(full.plan, pretrained=False, takes=2, piece=8, stills=1),
        )

    def build(self) -> VoiceRigNet:
        return VoiceRigNet(self.size)

    def trainer(self, data: Path, runs: Mapping[str, Path]) -> VoiceRigTrainer:
        return VoiceRigTrainer(self, data)

    def ports(self, module: VoiceRigNet) -> Ports:
        state = module.begin(1).shape[1]
        inputs = (
            spec("sound", (1, STEP_SAMPLES), -1, 1, "20 ms at 16 kHz"),
            spec("state", (1, state), -ANY, ANY, "zeros at first"),
        )
        outputs = (
            spec("rig", (1, 52), 0, 1, "blendshapes above rest, articulated as widely as usual"),
            spec("usual", (1, 52), 0, 1, "how far each shape goes usually; always the same"),
            spec("state_next", (1, state), -ANY, ANY, "the state of the next step"),
        )
        return inputs, outputs

    def origins(self) -> tuple[str, ...]:
        # A backbone of another width is made up.
        return (BACKBONE_ORIGIN,) if self.size.width == BACKBONE_WIDTH else ()

    def examples(self, data: Path) -> tuple[Examples, Examples]:
        return of_clips(data, lambda info, frames: True, in_steps(STEP_SAMPLES))
