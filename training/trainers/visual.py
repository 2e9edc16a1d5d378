"""Train the visual emotion encoder: emotion, valence-arousal and intensity of faces in a row."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Set
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from face.types import EMOTIONS
from training.data.clip import ClipInfo
from training.loop import Batch, Parts, Trainer
from training.losses import faces, labels
from training.models.visual import VisualEncoder
from training.recipe import Recipe
from training.trainers.face_features import Plan, face_features
from training.trainers.samples import Array, Clips, NoClipsError


@dataclass(frozen=True, kw_only=True)
class VisualPlan:
    """How faces are looked at, and drawn."""

    views: Plan
    """what is looked at in advance"""
    pretrained: bool
    """look through what others trained, and keep what was seen"""
    moving_every: int
    """every so many steps draw frames in a row; the others many single ones"""
    temper: float
    """1: sources and emotions are drawn as often as they have people; 0: all alike"""
    repeats: int
    """how often a single frame is judged in a row: the state must hold still where nothing moves"""
    rig_shown: float
    """share of samples in which the rig may be seen; in the others the picture alone must do"""
    label_smoothing: float
    """share of a label that goes to the other emotions"""
    mixup: float
    """share of steps in which what is seen is blended in pairs (of hidden states, Verma et al.
    2019, eq. 2)"""
    untrusted: float
    """share of a batch whose labels are doubted"""
    untrusted_from: float
    """from when on, as a share of all steps"""


@dataclass(frozen=True, kw_only=True)
class VisualLosses:
    """Weights of the losses."""

    classification: float
    """of the emotion"""
    affect: float
    """of valence and arousal"""
    intensity: float
    """of intensity"""


class VisualTrainer(Trainer):
    averaged: ClassVar[tuple[str, ...]] = ("visual",)

    def __init__(self, recipe: Recipe, data: Path, left_out: Set[str] = frozenset()) -> None:
        """``left_out``: subjects that aren't learned from."""
        super().__init__(recipe)
        self.plan: VisualPlan = recipe.plan
        self._data, self._left_out = data, left_out
        every = Clips(data, "train", lambda i, n: n > 0)
        self.clips = Clips(data, "train", lambda i, n: self._fits(i, n, 1))
        try:
            self.moving: Clips | None = Clips(data, "train", lambda i, n: self._fits(i, n, 2))
        except NoClipsError:
            self.moving = None
        encoder = VisualEncoder(recipe.size, pretrained=self.plan.pretrained)
        self.features = face_features(encoder, every, self.plan.views, keep=self.plan.pretrained)
        used = self.features.of(self.clips.chosen)
        encoder.settle(
            torch.from_numpy(self.features.backbone[used]),
            torch.from_numpy(self.features.rig[used]),
        )
        self.modules = {"visual": encoder}

    def _fits(self, info: ClipInfo, frames: int, least: int) -> bool:
        return frames >= least and info.subject not in self._left_out

    def held_out(self) -> VisualTrainer | None:
        clips = Clips.held_out(self._data, lambda i, n: self._fits(i, n, 1))
        if clips is None:
            return None
        other, encoder = copy.copy(self), self.modules["visual"]
        assert isinstance(encoder, VisualEncoder)
        other.clips = clips
        other.moving = Clips.held_out(self._data, lambda i, n: self._fits(i, n, 2))
        other.features = face_features(encoder, clips, self.plan.views, keep=self.plan.pretrained)
        other.plan = replace(self.plan, rig_shown=1, mixup=0, untrusted=0)
        return other

    def draw(self, rng: np.random.Generator, step: int) -> Mapping[str, Array]:
        every = self.plan.moving_every
        moving = self.moving is not None and step % every == every - 1
        clips = self.moving if moving and self.moving is not None else self.clips
        frames = self.plan.views.frames if moving else 1
        rows = max(1, self.recipe.schedule.batch // frames)
        return clips.gather(rows, lambda: self._row(clips, frames, rng), "shows a face")

    def _row(self, clips: Clips, length: int, rng: np.random.Generator) -> dict[str, Array] | None:
        """What is seen [T, F], the rig [T, 52], where it may be seen, and the labels."""
        index = clips.draw_tempered(rng, self.plan.temper)
        at = self.features.draw(index, length, rng)
        if at is None:
            return None
        emotion = clips.infos[index].emotion
        return {
            "backbone": self.features.backbone[at],
            "rig": self.features.rig[at] * np.float32(rng.random() < self.plan.rig_shown),
            "emotion": np.array(EMOTIONS.index(emotion) if emotion else -1, np.int64),
            "affect": self.features.affect[at],
            "intensity": self.features.intensity[at],
            "known": self.features.known[at],
        }

    def losses(self, batch: Batch, step: int) -> Iterator[tuple[str, Parts, Mapping[str, float]]]:
        encoder = self.modules["visual"]
        assert isinstance(encoder, VisualEncoder)
        target = labels.one_hot(batch["emotion"], len(EMOTIONS), self.plan.label_smoothing)
        batch = dict(batch)
        single = batch["rig"].shape[1] == 1
        blended = single and float(torch.rand(())) < self.plan.mixup
        if blended:
            target = _blend(batch, target)
        frames = encoder.understand(batch["backbone"].flatten(0, 1), batch["rig"].flatten(0, 1))
        frames = frames.reshape(*batch["rig"].shape[:2], -1)
        seen = encoder.follow(frames.expand(-1, self.plan.repeats, -1) if single else frames)
        logs = torch.log_softmax(seen.emotion.float(), dim=2)
        trust = torch.ones(len(target), device=target.device)
        if single and not blended and step >= self.plan.untrusted_from * self.recipe.schedule.steps:
            trust = labels.trusted(logs, target, self.plan.untrusted)
        weight = trust[:, None].expand(logs.shape[:2])
        known = batch["known"]
        parts = {
            "classification": labels.soft_classification(logs, target, weight),
            "affect": faces.intensity(seen.valence_arousal.float(), batch["affect"], known),
            "intensity": faces.intensity(seen.intensity.float(), batch["intensity"], known),
        }
        yield "visual", parts, self.weights

    def pictures(self, batch: Batch, averaged: Mapping[str, nn.Module]) -> Mapping[str, Tensor]:
        """What is seen of a few faces: a row each."""
        seen = batch["backbone"][:8, 0].abs()
        return {"backbone": (seen / seen.amax())[None].expand(3, -1, -1)}


def _blend(batch: Batch, target: Tensor) -> Tensor:
    """Each row with another, by a random share; the targets alike."""
    share = 0.5 + 0.5 * float(torch.rand(()))
    other = torch.randperm(len(target), device=target.device)
    labelled = target.sum(dim=1) > 0
    other = torch.where(labelled & labelled[other], other, torch.arange(len(target)).to(other))
    for name in ("backbone", "rig", "affect", "intensity", "known"):
        batch[name] = share * batch[name] + (1 - share) * batch[name][other]
    return share * target + (1 - share) * target[other]
