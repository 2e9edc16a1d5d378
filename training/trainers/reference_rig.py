"""Train the first of two stages without pairs, with CDRL's regularization (eq. 4-6) or without.

What comes out is to be a rig as people have it in the reference's emotion, and to lead back to the
source's (NED, after StarGAN v2). CDRL adds what it says and what it feels, each a representation
that was learned before.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from engine.errors import MienError, UsageError
from engine.types import F32
from face.types import EMOTIONS
from training.data.talk import STEP_SAMPLES
from training.loop import Batch, Parts, Trainer
from training.losses import decoupled
from training.losses.reference import taken_for_real, told_apart
from training.models.audio_backbone import pretrained_backbone
from training.models.content import Content
from training.models.emotion_priors import EmotionPriors
from training.models.intensity import reading
from training.models.reference_rig import ReferenceRig, RigCritic
from training.recipe import Recipe
from training.restore import restore
from training.trainers.emotion_priors import shows
from training.trainers.face_features import FaceFeatures, Plan, face_features
from training.trainers.lip_sync import AudioBackbonePlan, hearing_of
from training.trainers.moments import moments_of
from training.trainers.samples import Array, Clips


@dataclass(frozen=True, kw_only=True)
class ReferenceRigPlan(AudioBackbonePlan):
    """How sources are heard and references looked at."""

    pretrained: bool
    """hear through what others trained, and keep what was heard and seen"""
    views: Plan
    """of references, what is looked at in advance"""


@dataclass(frozen=True, kw_only=True)
class ReferenceRigLosses:
    """Weights of the losses."""

    adversarial: float
    """rigs are as people have them in the reference's emotion"""
    cycle: float
    """asked to feel as before, a rig is again what it was"""
    same: float
    """asked for what it feels already, a rig stays"""
    content: float
    """the content is kept (CDRL, eq. 4); 0: w/o CCRL"""
    emotion: float
    """the reference's emotion is taken (eq. 5); 0: w/o CERL"""


class ReferenceRigTrainer(Trainer):
    averaged: ClassVar[tuple[str, ...]] = ("reference_rig",)

    def __init__(self, recipe: Recipe, data: Path, runs: Mapping[str, Path]) -> None:
        super().__init__(recipe)
        self.plan: ReferenceRigPlan = recipe.plan
        self.leans_on = dict(runs)
        self.content = restore(runs["rig_content"], "rig_content", Content)
        self.priors = restore(runs["emotion_priors"], "emotion_priors", EmotionPriors)
        hearing = hearing_of(self.plan)
        if hearing.features != self.content.size.features:
            raise UsageError(
                "rig_content was trained with another audio backbone than --plan.* says"
            )
        if self.plan.pretrained:
            hearing.backbone = pretrained_backbone(self.plan.layers, self.plan.past, STEP_SAMPLES)
        keep = self.plan.pretrained
        spoken = Clips(data, "train", lambda info, frames: frames > 1)
        self.talk = moments_of(self.content, hearing, spoken, 1, keep)
        self.clips = Clips(data, "train", shows)
        self.features = face_features(self.priors.visual, self.clips, self.plan.views, keep)
        self.reference, self.targets = read(self.priors, self.features)
        self.label = np.full(len(self.reference), -1)
        for index in self.clips.chosen:
            emotion = EMOTIONS.index(self.clips.infos[index].emotion)
            self.label[self.features.of([index])] = emotion
        self.emotions = [np.flatnonzero(self.label == e) for e in range(len(EMOTIONS))]
        self.emotions = [own for own in self.emotions if len(own)]
        if len(self.emotions) < 2:
            raise MienError(f"{data} has no references in two emotions; prepare clips with labels")
        net = ReferenceRig(recipe.size)
        rigs = np.concatenate([one.seen[0, one.found] for one in self.talk]).astype(np.float32)
        net.settle(torch.from_numpy(rigs), torch.from_numpy(self.reference))
        self.modules = {"reference_rig": net, "critic": RigCritic(recipe.size.features)}

    def draw(self, rng: np.random.Generator, step: int) -> Mapping[str, Array]:
        size = self.recipe.schedule.batch
        return self.clips.gather(size, lambda: self._row(rng), "is heard")

    def _row(self, rng: np.random.Generator) -> dict[str, Array]:
        """A source, ``own`` what its clip is read as elsewhere where that is ``known``, a reference
        and a real rig of the reference's emotion."""
        one = self.talk[rng.integers(len(self.talk))]
        t = int(rng.choice(np.flatnonzero(one.found)))
        kind = self.emotions[rng.integers(len(self.emotions))]
        asked, real = rng.choice(kind, 2)
        own = self.features.draw(one.index, 1, rng)
        elsewhere = asked if own is None else own[0]
        return {
            "rig": one.seen[0, t].astype(np.float32),
            "heard": one.sound(t),
            "own": self.reference[elsewhere],
            "known": np.array(own is not None, np.float32),
            "reference": self.reference[asked],
            "target": self.targets[asked],
            "emotion": np.array(self.label[asked], np.int64),
            "real": self.features.rig[real],
        }

    def losses(self, batch: Batch, step: int) -> Iterator[tuple[str, Parts, Mapping[str, float]]]:
        net, critic = self.modules["reference_rig"], self.modules["critic"]
        rig, emotion, known = batch["rig"], batch["emotion"], batch["known"]
        made = net(rig, batch["reference"])
        apart = told_apart(critic(batch["real"], emotion), critic(made.detach(), emotion))
        yield "critic", {"discriminator": apart}, {"discriminator": 1.0}
        parts = {
            "adversarial": taken_for_real(critic(made, emotion)),
            "cycle": _off(net(made, batch["own"]), rig, known),
            "same": _off(net(rig, batch["own"]), rig, known),
        }
        # What isn't asked for is neither computed nor reported.
        if self.weights["content"]:
            query = self.content.ask(batch["heard"])
            contents = (self.content.answer(one, query) for one in (rig, made))
            parts["content"] = decoupled.alike(*contents)
        if self.weights["emotion"]:
            parts["emotion"] = decoupled.alike(batch["target"], self.priors.of_rig(made))
        yield "reference_rig", parts, self.weights

    def pictures(self, batch: Batch, averaged: Mapping[str, nn.Module]) -> Mapping[str, Tensor]:
        """Sources, references and what is made of both: a row of shapes each."""
        made = averaged["reference_rig"](batch["rig"][:8], batch["reference"][:8])
        asked = batch["reference"][:8, : made.shape[1]]
        rows = torch.stack([batch["rig"][:8], asked, made], dim=1).flatten(0, 1)
        return {"shapes": rows[None].expand(3, -1, -1)}


def _off(made_BK: Tensor, target_BK: Tensor, known_B: Tensor) -> Tensor:
    """Mean absolute difference, where the target is known."""
    off = (made_BK - target_BK).abs().mean(dim=1) * known_B
    return off.sum() / known_B.sum().clamp(min=1)


def read(priors: EmotionPriors, features: FaceFeatures) -> tuple[F32, F32]:
    """What is read of each view [N, 63], and its emotion representation [N, 7]."""
    backbone, rig = (torch.from_numpy(a) for a in (features.backbone, features.rig))
    with torch.no_grad():
        frame = priors.visual.understand(backbone, rig)
        seen = priors.visual.judge(frame, priors.visual.begin(len(frame)))
        readings = reading(seen.emotion, seen.valence_arousal, seen.intensity)
        targets = priors.of_backbone(backbone)
    return torch.cat([rig, readings], dim=1).numpy(), targets.numpy()
