"""Train the fusion of face and voice to a frame's intensity, on top of two trained encoders.

Voices without a face are learned from, too, where it is known what they feel: those of synthetic
heads alone would teach that a voice says little.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import ClassVar, Final

import numpy as np
import torch
from torch import Tensor, nn

from engine.errors import UsageError
from engine.types import F32
from face.types import EMOTIONS
from training.loop import Batch, Parts, Schedule, Trainer
from training.losses import faces
from training.models.intensity import Fused, IntensityFusion
from training.trainers.felt import felt
from training.trainers.readings import Reader
from training.trainers.samples import Array, Clips, run_of_frames

SCHEDULES: Final = {
    "debug": Schedule(steps=3, batch=2, rate=1e-3, ema=0.9, save_every=2, log_every=1, loaders=1),
    "full": Schedule(
        steps=1_500, batch=32, rate=2e-3, warm_up=50, ema=0.995, loaders=1,
        save_every=500, log_every=100, decay=0.01,
    ),
}  # fmt: skip
FRAMES: Final = {"debug": 3, "full": 32}
WEIGHTS: Final = {"classification": 0.3, "affect": 2.0, "intensity": 2.0, "concordance": 0.3}
HIDDEN: Final = 0.2
"""how often the face, or the voice, is taken away from a sample"""
NOISE: Final = 0.03
"""of readings, so that fusion doesn't learn clips by heart"""
SYNTHETIC: Final = 0.75
"""share of clips whose truth is known, where there are both kinds"""


class IntensityTrainer(Trainer):
    name: ClassVar[str] = "intensity"
    averaged: ClassVar[tuple[str, ...]] = ("intensity",)

    def __init__(self, data: Path, config: str, visual: Path | None, speech: Path | None) -> None:
        if visual is None or speech is None:
            raise UsageError("intensity needs trained encoders: give --visual RUN and --speech RUN")
        self.schedule, self.frames = SCHEDULES[config], FRAMES[config]
        self.clips = Clips(data, "train", lambda info, n: n > 0 or bool(info.emotion or info.felt))
        self.truths, self.others = (
            [i for i in self.clips.chosen if self.clips.infos[i].synthetic == wanted]
            for wanted in (True, False)
        )
        self.size = {"features": 32}
        self.leans_on = {"visual": visual, "speech": speech}
        self.modules: dict[str, nn.Module] = {"intensity": IntensityFusion(32)}
        self.reader = Reader(visual, speech)

    def draw(self, rng: np.random.Generator, step: int) -> Mapping[str, Array]:
        return self.clips.gather(self.schedule.batch, lambda: self._row(rng), "can be read")

    def _row(self, rng: np.random.Generator) -> dict[str, Array] | None:
        both = bool(self.truths and self.others)
        truth = rng.random() < SYNTHETIC if both else bool(self.truths)
        sample = self.clips[int(rng.choice(self.truths if truth else self.others))]
        said = self.reader.read(sample)
        faceless = not len(sample.clip)
        there = np.ones(len(said.voice), np.bool_) if faceless else sample.clip.found
        frames = run_of_frames(there, self.frames, rng)
        if frames is None:
            return None
        affect, intensity, known = felt(sample, len(there))
        present = said.present[frames].copy()
        hidden = rng.random()
        if hidden < HIDDEN and present[:, 1].any():
            present[:, 0] = 0
        elif hidden > 1 - HIDDEN and not faceless:
            present[:, 1] = 0
        face, voice = (_noisy(part[frames], rng) for part in (said.face, said.voice))
        return {
            "face": face,
            "voice": voice,
            "present": present,
            "emotion": np.array(sample.emotion, np.int64),
            "affect": affect[frames],
            "intensity": intensity[frames],
            "known": known[frames],
        }

    def losses(self, batch: Batch, step: int) -> Iterator[tuple[str, Parts, Mapping[str, float]]]:
        fusion = self.modules["intensity"]
        assert isinstance(fusion, IntensityFusion)
        fused = fuse(fusion, batch["face"], batch["voice"], batch["present"])
        known = batch["known"]
        intensity = fused.intensity
        parts = {
            "classification": faces.classification(fused.emotion, batch["emotion"]),
            "affect": faces.intensity(fused.valence_arousal, batch["affect"], known),
            "intensity": faces.intensity(intensity, batch["intensity"], known),
            "concordance": faces.concordance(intensity * known, batch["intensity"] * known),
        }
        yield "intensity", parts, WEIGHTS

    def pictures(self, batch: Batch, averaged: Mapping[str, nn.Module]) -> Mapping[str, Tensor]:
        """The first sample's intensity over time: green the truth, red what is said."""
        fusion = averaged["intensity"]
        assert isinstance(fusion, IntensityFusion)
        said = fuse(fusion, batch["face"][:1], batch["voice"][:1], batch["present"][:1]).intensity
        plot = torch.zeros(3, 64, 4 * self.frames)
        for channel, line in ((0, said[0, :, 0]), (1, batch["intensity"][0, :, 0])):
            for t, value in enumerate(line.clamp(0, 1).tolist()):
                plot[channel, 63 - round(63 * value), 4 * t : 4 * t + 4] = 1
        return {"intensity": plot}


def fuse(
    fusion: IntensityFusion, face_BTD: Tensor, voice_BTD: Tensor, present_BT2: Tensor
) -> Fused:
    """A whole sequence; every field of the answer but ``state`` is stacked to [B, T, ...]."""
    state, steps = fusion.begin(len(face_BTD)), []
    for t in range(face_BTD.shape[1]):
        steps.append(fusion(face_BTD[:, t], voice_BTD[:, t], present_BT2[:, t], state))
        state = steps[-1].state
    emotion, affect, intensity = (torch.stack([step[i] for step in steps], 1) for i in range(3))
    return Fused(emotion, affect, intensity, state)


def _noisy(readings: F32, rng: np.random.Generator) -> F32:
    """Readings [T, 11] a little off; shares stay shares, which are never below 0."""
    noisy = readings + rng.normal(0, NOISE, readings.shape).astype(np.float32)
    noisy[:, : len(EMOTIONS)] = np.maximum(noisy[:, : len(EMOTIONS)], 0)
    return noisy
