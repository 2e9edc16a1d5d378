"""Train emotion priors on the clearest pictures of each emotion (CDRL's CERL)."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from engine.errors import MienError, UsageError
from face.types import EMOTIONS
from training.data.clip import ClipInfo
from training.loop import Batch, Parts, Trainer
from training.losses import decoupled
from training.models.emotion_priors import PRIORS, EmotionPriors
from training.models.visual import VisualEncoder
from training.recipe import Recipe
from training.restore import restore
from training.trainers.face_features import FaceFeatures, Plan, face_features
from training.trainers.samples import Array, Clips


@dataclass(frozen=True, kw_only=True)
class EmotionPriorsPlan:
    """How pictures are looked at and chosen."""

    views: Plan
    """what is looked at in advance"""
    keep: bool
    """what was seen, in the user's cache"""
    clearest: float
    """share of each emotion's pictures that is learned from, those that the visual encoder is
    surest about; 1: no filtering (CERL w/o AG)"""
    temperature: float
    """tau of eq. 3"""


@dataclass(frozen=True, kw_only=True)
class EmotionPriorsLosses:
    """Weights of the losses."""

    priors: float
    """a prior goes with its own emotion's pictures rather than with others (eq. 3)"""
    rigs: float
    """a rig says what its picture says"""


def shows(info: ClipInfo, frames: int) -> bool:
    return frames > 0 and info.emotion in PRIORS


class EmotionPriorsTrainer(Trainer):
    averaged: ClassVar[tuple[str, ...]] = ("emotion_priors",)

    def __init__(self, recipe: Recipe, data: Path, runs: Mapping[str, Path]) -> None:
        super().__init__(recipe)
        self.plan: EmotionPriorsPlan = recipe.plan
        self.leans_on = dict(runs)
        visual = restore(runs["visual"], "visual", VisualEncoder)
        net = EmotionPriors(recipe.size)
        if visual.size != net.visual.size:
            sizes = f"features {visual.size.features}, parts {visual.size.parts}"
            raise UsageError(f"that run of visual has {sizes}: give --size.* the same")
        net.visual.load_state_dict(visual.state_dict())
        self.modules = {"emotion_priors": net}
        self.clips = Clips(data, "train", shows)
        self._look()
        net.rig_scale.fit(torch.from_numpy(self.features.rig))

    def _look(self) -> None:
        net = self.modules["emotion_priors"]
        assert isinstance(net, EmotionPriors)
        net.eval()
        self.features = face_features(net.visual, self.clips, self.plan.views, self.plan.keep)
        self.clear = [
            clearest(net, self.features, self.clips, name, self.plan.clearest) for name in PRIORS
        ]
        net.train()
        if sum(len(own) > 0 for own in self.clear) < 2:
            raise MienError(f"{self.clips.data} has no pictures of two emotions; prepare such")

    def held_out(self) -> EmotionPriorsTrainer | None:
        clips = Clips.held_out(self.clips.data, shows)
        if clips is None:
            return None
        other = copy.copy(self)
        other.clips = clips
        try:
            other._look()
        except MienError:
            return None
        return other

    def draw(self, rng: np.random.Generator, step: int) -> Mapping[str, Array]:
        """Of each emotion that there is a clear picture: ``backbone`` [B, E, F], ``emotion``
        [B, E]; of any picture: ``seen`` [B, F], ``rig`` [B, 52]."""
        batch = self.recipe.schedule.batch
        there = [index for index, own in enumerate(self.clear) if len(own)]
        chosen = np.stack([rng.choice(self.clear[index], batch) for index in there], axis=1)
        anyone = rng.integers(len(self.features.rig), size=batch)
        return {
            "seen": self.features.backbone[anyone],
            "rig": self.features.rig[anyone],
            "backbone": self.features.backbone[chosen],
            "emotion": np.tile(np.array(there, np.int64), (batch, 1)),
        }

    def losses(self, batch: Batch, step: int) -> Iterator[tuple[str, Parts, Mapping[str, float]]]:
        net = self.modules["emotion_priors"]
        assert isinstance(net, EmotionPriors)
        rows, emotions = batch["emotion"].shape
        # What others trained answers as it is: without noise, without dropout.
        net.visual.eval()
        prediction = net.of_backbone(batch["backbone"].flatten(0, 1)).reshape(rows, emotions, -1)
        correlation = prediction[:, :, batch["emotion"][0]].transpose(1, 2)
        of_anyone = net.of_backbone(batch["seen"]).detach()
        parts = {
            "priors": decoupled.emotion_priors(correlation, self.plan.temperature),
            "rigs": decoupled.alike(net.of_rig(batch["rig"]), of_anyone),
        }
        yield "emotion_priors", parts, self.weights

    def pictures(self, batch: Batch, averaged: Mapping[str, nn.Module]) -> Mapping[str, Tensor]:
        """How alike the priors are."""
        net = averaged["emotion_priors"]
        assert isinstance(net, EmotionPriors)
        priors = net.priors()
        return {"alike": (0.5 + priors @ priors.T / 2)[None].expand(3, -1, -1)}


def clearest(
    net: EmotionPriors, features: FaceFeatures, clips: Clips, emotion: str, share: float
) -> Array:
    """Views of an emotion that the visual encoder is surest about: the ``share`` of them, as a
    threshold of its own for each emotion chooses them."""
    views = features.of([i for i in clips.chosen if clips.infos[i].emotion == emotion])
    if not len(views):
        return views
    backbone = torch.from_numpy(features.backbone[views])
    with torch.no_grad():
        unknown = torch.zeros(len(views), features.rig.shape[1])
        frame = net.visual.understand(backbone, unknown)
        probabilities = net.visual.judge(frame, net.visual.begin(len(views))).emotion.softmax(dim=1)
    sure = probabilities[:, EMOTIONS.index(emotion)].numpy()
    return np.asarray(views[sure >= np.quantile(sure, 1 - share)])
