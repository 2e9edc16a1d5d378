"""How a face moves to a voice, every 20 ms, by a VAE whose prior is a flow (EcoFace)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar, Self

import numpy as np

from training.data.talk import STEP_SAMPLES
from training.examples import Call, Example, Examples, of_clips, voices
from training.models.audio_backbone import BACKBONE_ORIGIN, BACKBONE_WIDTH
from training.models.voice_flow import VoiceFlow, VoiceFlowSize
from training.models.voice_rig import LOOK_AHEAD_MS
from training.recipe import ANY, Ports, Recipe, Schedule, spec
from training.trainers.samples import Clips
from training.trainers.talks import Shares
from training.trainers.voice_flow import VoiceFlowLosses, VoiceFlowPlan, VoiceFlowTrainer


@dataclass(frozen=True, kw_only=True)
class VoiceFlowRecipe(Recipe):
    name = "voice_flow"
    task = (
        "how a face moves to a voice and a feeling, every 20 ms; the answer belongs to the moment "
        f"{LOOK_AHEAD_MS} ms before the step's end"
    )
    leans_on = ("emotion_space", "lip_sync")
    state: ClassVar[Mapping[str, str]] = {"state": "state_next"}

    size: VoiceFlowSize
    schedule: Schedule
    plan: VoiceFlowPlan
    losses: VoiceFlowLosses

    @classmethod
    def full(cls) -> Self:
        return cls(
            size=VoiceFlowSize(
                width=BACKBONE_WIDTH, heads=8, layers=1, past=100, hidden=96, prior=64, blocks=4,
                latent=16, space=32, styles=16, speakers=256, components=24,
            ),
            schedule=Schedule(
                steps=2_000, batch=16, lr=1e-3, weight_decay=0.02, warmup_steps=50,
                ema_decay=0.995, save_every=500, log_every=100, workers=1,
            ),
            plan=VoiceFlowPlan(
                pretrained=True, takes=2, piece=80, noise=0.7, stills=8, jaw=3.0, above=0.3,
                shares=Shares(rigged=0.25, tracked=0.25, by_phones=0.3, made=0.1, still=0.1),
            ),
            losses=VoiceFlowLosses(
                shapes=100.0, motion=1000.0, lips=400.0, kl=0.05, sync=0.05, emotion=0.1
            ),
        )  # fmt: skip

    @classmethod
    def debug(cls) -> Self:
        full = cls.full()
        return replace(
            full,
            size=VoiceFlowSize(
                width=16, heads=2, layers=1, past=8, hidden=8, prior=8, blocks=2,
                latent=4, space=4, styles=4, speakers=8, components=4,
            ),
            schedule=Schedule.debug(batch=2, lr=1e-3),
            plan=replace(full.plan, pretrained=False, takes=1, piece=12, stills=1),
        )  # fmt: skip

    def build(self) -> VoiceFlow:
        return VoiceFlow(self.size)

    def trainer(self, data: Path, runs: Mapping[str, Path]) -> VoiceFlowTrainer:
        return VoiceFlowTrainer(self, data, runs)

    def ports(self, module: VoiceFlow) -> Ports:
        state, size = module.begin(1).shape[1], module.size
        inputs = (
            spec("sound", (1, STEP_SAMPLES), -1, 1, "20 ms at 16 kHz"),
            spec("emotion", (1, size.space), -1, 1, "a place of the emotion space"),
            spec("style", (1, size.styles), -ANY, ANY, "a speaker's; zeros: nobody's"),
            spec("state", (1, state), -ANY, ANY, "zeros at first"),
        )
        outputs = (
            spec("rig", (1, 52), 0, 1, "blendshapes above rest, articulated as widely as usual"),
            spec("state_next", (1, state), -ANY, ANY, "the state of the next step"),
        )
        return inputs, outputs

    def origins(self) -> tuple[str, ...]:
        # A backbone of another width is made up.
        return (BACKBONE_ORIGIN,) if self.size.width == BACKBONE_WIDTH else ()

    def examples(self, data: Path) -> tuple[Examples, Examples]:
        return of_clips(data, lambda info, frames: True, self._drawn)

    def _drawn(self, clips: Clips, rng: np.random.Generator) -> Iterator[Example]:
        for sound in voices(clips, rng, STEP_SAMPLES):
            emotion = rng.normal(0, 1, (1, self.size.space))
            place = np.asarray(emotion / np.linalg.norm(emotion), np.float32)
            style = rng.normal(0, 0.3, (1, self.size.styles)).astype(np.float32)
            for start in range(0, len(sound) - STEP_SAMPLES + 1, STEP_SAMPLES):
                part = sound[None, start : start + STEP_SAMPLES]
                call: Call = {"sound": part, "emotion": place, "style": style}
                yield Example(call, begins=not start)
