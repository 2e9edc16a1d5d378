"""Train the fusion of face and voice to a frame's intensity, on top of two trained encoders.

Voices without a face are learned from, too, where it is known what they feel: those of synthetic
heads alone would teach that a voice says little.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from engine.types import F32
from face.types import EMOTIONS
from training.data.clip import ClipInfo
from training.loop import Batch, Parts, Trainer
from training.losses import faces
from training.models.intensity import Fused, IntensityFusion
from training.recipe import Recipe
from training.trainers.felt import felt
from training.trainers.readings import Reader
from training.trainers.samples import Array, Clips, run_of_frames


@dataclass(frozen=True, kw_only=True)
class IntensityPlan:
    """What is drawn."""

    frames: int
    """in a row"""
    hidden: float
    """how often the face, or the voice, is taken away from a sample"""
    noise: float
    """of readings, so that fusion doesn't learn clips by heart"""
    synthetic: float
    """share of clips whose truth is known, where there are both kinds"""


@dataclass(frozen=True, kw_only=True)
class IntensityLosses:
    """Weights of the losses."""

    classification: float
    """of the emotion"""
    affect: float
    """of valence and arousal"""
    intensity: float
    """of intensity"""
    concordance: float
    """of intensity over a batch"""


class IntensityTrainer(Trainer):
    averaged: ClassVar[tuple[str, ...]] = ("intensity",)

    def __init__(self, recipe: Recipe, data: Path, visual: Path, speech: Path) -> None:
        super().__init__(recipe)
        self.plan: IntensityPlan = recipe.plan
        self._data = data
        self._take(Clips(data, "train", _fits))
        self.leans_on = {"visual": visual, "speech": speech}
        self.modules = {"intensity": recipe.build()}
        self.reader = Reader(visual, speech)

    def _take(self, clips: Clips) -> None:
        self.clips = clips
        self.truths, self.others = (
            [i for i in clips.chosen if clips.infos[i].synthetic == synthetic]
            for synthetic in (True, False)
        )

    def held_out(self) -> IntensityTrainer | None:
        if (clips := Clips.held_out(self._data, _fits)) is None:
            return None
        other = copy.copy(self)
        other._take(clips)
        return other

    def draw(self, rng: np.random.Generator, step: int) -> Mapping[str, Array]:
        return self.clips.gather(self.recipe.schedule.batch, lambda: self._row(rng), "can be read")

    def _row(self, rng: np.random.Generator) -> dict[str, Array] | None:
        both = bool(self.truths and self.others)
        truth = rng.random() < self.plan.synthetic if both else bool(self.truths)
        sample = self.clips[int(rng.choice(self.truths if truth else self.others))]
        readings = self.reader.read(sample)
        faceless = not len(sample.clip)
        there = np.ones(len(readings.voice), np.bool_) if faceless else sample.clip.found
        frames = run_of_frames(there, self.plan.frames, rng)
        if frames is None:
            return None
        affect, intensity, known = felt(sample, len(there))
        present = readings.present[frames].copy()
        hidden = rng.random()
        if hidden < self.plan.hidden and present[:, 1].any():
            present[:, 0] = 0
        elif hidden > 1 - self.plan.hidden and not faceless:
            present[:, 1] = 0
        face, voice = (self._noisy(part[frames], rng) for part in (readings.face, readings.voice))
        return {
            "face": face,
            "voice": voice,
            "present": present,
            "emotion": np.array(sample.emotion, np.int64),
            "affect": affect[frames],
            "intensity": intensity[frames],
            "known": known[frames],
        }

    def _noisy(self, readings: F32, rng: np.random.Generator) -> F32:
        """Readings [T, 11] a little off; probabilities stay in their range, never below 0."""
        noise = rng.normal(0, self.plan.noise, readings.shape)
        noisy = readings + noise.astype(np.float32)
        noisy[:, : len(EMOTIONS)] = np.maximum(noisy[:, : len(EMOTIONS)], 0)
        return noisy

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
        yield "intensity", parts, self.weights

    def pictures(self, batch: Batch, averaged: Mapping[str, nn.Module]) -> Mapping[str, Tensor]:
        """The first sample's intensity over time: green the truth, red the prediction."""
        fusion = averaged["intensity"]
        assert isinstance(fusion, IntensityFusion)
        prediction = fuse(
            fusion, batch["face"][:1], batch["voice"][:1], batch["present"][:1]
        ).intensity
        plot = torch.zeros(3, 64, 4 * self.plan.frames)
        for channel, line in ((0, prediction[0, :, 0]), (1, batch["intensity"][0, :, 0])):
            for t, value in enumerate(line.clamp(0, 1).tolist()):
                plot[channel, 63 - round(63 * value), 4 * t : 4 * t + 4] = 1
        return {"intensity": plot}


def _fits(info: ClipInfo, frames: int) -> bool:
    return frames > 0 or bool(info.emotion or info.felt)


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
