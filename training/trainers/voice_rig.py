"""Train the regression from a voice to a face's shapes, the baseline of the generator.

Mean squared error of shapes, of their motion and of how far the lips are apart, by NVIDIA's example
(Audio2Face-3D, 2025), over silence and noise too; and whether jaw and lips open when they should.
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
from training.data.clip import ClipInfo
from training.data.talk import JAW, MOUTH, SPOKEN, STEP_SAMPLES
from training.loop import Batch, Parts, Trainer
from training.losses import voice
from training.models.audio_backbone import pretrained_backbone
from training.models.voice_rig import Hearing, VoiceRigNet
from training.recipe import Recipe
from training.trainers.samples import Array, Clips
from training.trainers.talks import NoTalkError, Shares, Talks


@dataclass(frozen=True, kw_only=True)
class TalkPlan:
    """How talk is drawn."""

    pretrained: bool
    """hear through what others trained, and keep what was heard"""
    takes: int
    """how often each recording is heard: as it is, and through other throats, rooms, microphones"""
    piece: int
    """steps of a sample"""
    noise: float
    """of what is heard, in its deviations: few voices are learned from"""
    stills: int
    """recordings of silence, noise and chords with a mouth that doesn't move"""
    shares: Shares
    """how often each kind of source is drawn, of those that are there"""
    left_out: tuple[str, ...] = ()
    """speakers and recordings that aren't learned from"""


@dataclass(frozen=True, kw_only=True)
class VoiceRigPlan(TalkPlan):
    """How talk is drawn, and what counts of it."""

    jaw: float
    """how much the jaw counts, where other shapes of the mouth count 1"""
    above: float
    """how much brows, cheeks and nose count"""


@dataclass(frozen=True, kw_only=True)
class VoiceRigLosses:
    """Weights of the losses."""

    shapes: float
    """squared difference of shapes"""
    motion: float
    """of what changes from step to step"""
    lips: float
    """of how far lips are apart"""
    step: float
    """1 less the correlation of how far jaw and lips open: when they do, however widely"""


class VoiceRigTrainer(Trainer):
    averaged: ClassVar[tuple[str, ...]] = ("voice_rig",)

    def __init__(self, recipe: Recipe, data: Path) -> None:
        super().__init__(recipe)
        self.plan: VoiceRigPlan = recipe.plan
        net = VoiceRigNet(recipe.size)
        self.clips, self.talks = talks_for(net.hearing, self.plan, data)
        self._data = data
        self.counts = torch.from_numpy(shape_weights(self.talks.usual, self.plan))
        settle(net, self.talks, self.counts.numpy())
        self.past = net.window.past
        self.modules = {"voice_rig": net}

    def held_out(self) -> VoiceRigTrainer | None:
        if (clips := Clips.held_out(self._data, tells)) is None:
            return None
        other, net = copy.copy(self), self.modules["voice_rig"]
        assert isinstance(net, VoiceRigNet)
        try:
            other.talks = talks_of_split(clips, net.hearing, self.plan, self.talks)
        except NoTalkError:
            return None
        return other

    def draw(self, rng: np.random.Generator, step: int) -> Mapping[str, Array]:
        batch = self.recipe.schedule.batch
        rows = [self.talks.draw(self.plan.piece, self.past, rng) for _ in range(batch)]
        return {name: np.stack([row[name] for row in rows]) for name in rows[0]}

    def losses(self, batch: Batch, step: int) -> Iterator[tuple[str, Parts, Mapping[str, float]]]:
        net = self.modules["voice_rig"]
        assert isinstance(net, VoiceRigNet)
        heard = net.heard(batch["heard"])
        heard = heard + self.plan.noise * torch.randn_like(heard)
        rig, truth = net.shapes(net.window(heard)), batch["rig"]
        weight = batch["weight"] * self.counts.to(truth)
        known = (batch["weight"][:, :, JAW] > 0).float()
        jaw = voice.out_of_step(rig[..., JAW], truth[..., JAW], known)
        lips = voice.out_of_step(voice.parted(rig), voice.parted(truth), known)
        yield "voice_rig", spoken(rig, truth, weight) | {"step": jaw + lips}, self.weights

    def pictures(self, batch: Batch, averaged: Mapping[str, nn.Module]) -> Mapping[str, Tensor]:
        """Shapes over time: the truth above, the prediction below."""
        net = averaged["voice_rig"]
        assert isinstance(net, VoiceRigNet)
        rig = net.shapes(net.window(net.heard(batch["heard"][:1])))
        both = torch.cat([batch["rig"][0].T, rig[0].T])
        return {"shapes": both[None].expand(3, -1, -1)}


def tells(info: ClipInfo, frames: int) -> bool:
    """Whether a clip may be talk: a still picture isn't."""
    return frames != 1


def talks_for(hearing: Hearing, plan: TalkPlan, data: Path) -> tuple[Clips, Talks]:
    """The train split's talk, and its clips; the hearing becomes the learned one where it is to be.
    Raises MienError."""
    clips = Clips(data, "train", tells)
    if plan.pretrained:
        old = hearing.backbone
        hearing.backbone = pretrained_backbone(old.layers, old.past, STEP_SAMPLES)
    return clips, talks_of_split(clips, hearing, plan)


def talks_of_split(
    clips: Clips, hearing: Hearing, plan: TalkPlan, like: Talks | None = None
) -> Talks:
    """A split's talk by a plan. Raises NoTalkError."""
    out, keep = set(plan.left_out), plan.pretrained
    return Talks(clips, hearing, plan.takes, plan.stills, keep, plan.shares, out, like)


def spoken(rig_BTK: Tensor, truth_BTK: Tensor, weight_BTK: Tensor) -> dict[str, Tensor]:
    """Those losses that every face of a voice has; lips count where the jaw is known."""
    return {
        "shapes": voice.shapes(rig_BTK, truth_BTK, weight_BTK),
        "motion": voice.motion(rig_BTK, truth_BTK, weight_BTK),
        "lips": voice.lips(rig_BTK, truth_BTK, (weight_BTK[:, :, JAW] > 0).float()),
    }


def shape_weights(usual: F32, plan: VoiceRigPlan) -> F32:
    """How much each shape counts [52]: small ones as much as large ones, lips first."""
    counts = np.where(MOUTH, 1.0, plan.above) * SPOKEN
    counts[JAW] = plan.jaw
    weights = counts / np.maximum(usual, 0.05)
    return np.asarray(weights / weights.max(), np.float32)


def settle(net: VoiceRigNet, talks: Talks, weights: F32) -> None:
    """Bring a network to the scale of what is heard and seen, before it is trained."""
    rows = list(talks.all_rows())
    heard = np.concatenate([row.heard[::5] for row in rows]).astype(np.float32)
    rig = np.concatenate([row.rig[::5] for row in rows])
    net.settle(*(torch.from_numpy(a) for a in (heard, rig, np.sqrt(weights), talks.usual)))
