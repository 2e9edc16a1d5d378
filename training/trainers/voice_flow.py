"""Train the motion generator: a VAE's bound, a sync expert and an emotion space to please (eq. 11).

The likelihood is that of shapes, of their motion and of the lips, as the regression weighs them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Final

import numpy as np
import torch
from torch import Tensor, nn

from engine.errors import UsageError
from engine.types import F32
from training.data.talk import SPOKEN
from training.loop import Batch, Parts, Trainer
from training.losses import emotion_space, sync
from training.losses.voice import gaussian_kl
from training.models.emotion_space import EmotionSpace
from training.models.lip_sync import LipSync, windows
from training.models.voice_flow import STRIDE, VoiceFlow
from training.models.voice_rig import principal
from training.recipe import Recipe
from training.restore import restore
from training.trainers.samples import Array
from training.trainers.voice_rig import VoiceRigPlan, shape_weights, spoken, talks_for

LABELLED: Final = 0.5
"""how often an emotion is given by its label, as in live use, rather than by the voice"""
LEVELS: Final = (0.0, 0.4, 0.7, 1.0)
"""intensity of a level; of 0, unknown, see STRONG"""
STRONG: Final = 0.7


@dataclass(frozen=True, kw_only=True)
class VoiceFlowPlan(VoiceRigPlan):
    """How talk is drawn and what is taken away, to see what it is good for."""

    flow: bool = True
    """the prior is a flow with content and emotion as its condition; else plain noise"""
    style: bool = True
    """the decoder is given a style"""


@dataclass(frozen=True, kw_only=True)
class VoiceFlowLosses:
    """Weights of the losses."""

    shapes: float
    """squared difference of shapes"""
    motion: float
    """of what changes from step to step"""
    lips: float
    """of how far lips are apart"""
    kl: float
    """what latents tell beyond the prior"""
    sync: float
    """-log of what the sync expert believes"""
    emotion: float
    """how far a face's emotion is from the truth's"""


class VoiceFlowTrainer(Trainer):
    averaged: ClassVar[tuple[str, ...]] = ("voice_flow",)

    def __init__(self, recipe: Recipe, data: Path, runs: Mapping[str, Path]) -> None:
        super().__init__(recipe)
        self.plan: VoiceFlowPlan = recipe.plan
        self.leans_on = dict(runs)
        self.space = restore(runs["emotion_space"], "emotion_space", EmotionSpace)
        self.expert = restore(runs["lip_sync"], "lip_sync", LipSync)
        net = VoiceFlow(recipe.size)
        if net.hearing.features != self.expert.size.features or (
            recipe.size.space != self.space.size.space
        ):
            raise UsageError(
                "emotion_space and lip_sync were trained for another size of voice_flow"
            )
        self.clips, self.talks = talks_for(net.hearing, self.plan, data)
        self.counts = torch.from_numpy(shape_weights(self.talks.usual, self.plan))
        rows = list(self.talks.all_rows())
        rigs = [row.rig + row.felt for row in rows]
        settle(net, [row.heard for row in rows], rigs, self.counts.numpy())
        self.modules = {"voice_flow": net}

    def draw(self, rng: np.random.Generator, step: int) -> Mapping[str, Array]:
        net = self.modules["voice_flow"]
        assert isinstance(net, VoiceFlow)
        size, past = self.recipe.schedule.batch, net.content.past
        rows = [self.talks.draw(self.plan.piece, past, rng) for _ in range(size)]
        batch = {name: np.stack([row[name] for row in rows]) for name in rows[0]}
        batch["labelled"] = (rng.random(size) < LABELLED).astype(np.float32)
        return batch

    def losses(self, batch: Batch, step: int) -> Iterator[tuple[str, Parts, Mapping[str, float]]]:
        net = self.modules["voice_flow"]
        assert isinstance(net, VoiceFlow)
        heard, steps = batch["heard"], batch["rig"].shape[1]
        emotion = self._emotion(batch)
        noisy = heard + self.plan.noise * net.content.scale.std * torch.randn_like(heard)
        condition = net.condition(noisy, emotion)
        truth = (batch["rig"] + batch["felt"]).clamp(0, 1)
        felt = batch["felt"].abs().amax(dim=(1, 2), keepdim=True) > 0
        everywhere = torch.from_numpy(SPOKEN).to(truth) * felt
        weight = torch.maximum(batch["weight"], everywhere) * self.counts.to(truth)
        mean, log_deviation = net.posterior(truth, condition)
        z = mean + log_deviation.exp() * torch.randn_like(mean)
        noise = net.prior.to_noise(z, condition[:, :, ::STRIDE]) if self.plan.flow else z
        rig = net.shapes(z, condition, self._style(net, batch["speaker"]))
        face, was = self.space.face(rig), self.space.face(truth)
        moved, there = windows(rig), windows(heard[:, -steps:])
        parts = spoken(rig, truth, weight) | {
            "kl": gaussian_kl(z, mean, log_deviation, noise),
            "sync": sync.convinced(*self.expert(there, moved)),
            "emotion": emotion_space.emotion(face, was),
        }
        yield "voice_flow", parts, self.weights

    def _style(self, net: VoiceFlow, speaker_B: Tensor) -> Tensor:
        style = net.styles(speaker_B.clamp(min=0)) * (speaker_B >= 0)[:, None]
        return style if self.plan.style else torch.zeros_like(style)

    def _emotion(self, batch: Batch) -> Tensor:
        """Where the emotion lies at each step [B, T, E]: by the voice, or by its label."""
        steps = batch["rig"].shape[1]
        with torch.no_grad():
            voice = self.space.voice(batch["heard"])[:, -steps:].float()
        label, level = batch["emotion"], batch["level"]
        strength = torch.tensor(LEVELS).to(batch["heard"])[level]
        strength = torch.where((level == 0) & (label >= 0), STRONG, strength)
        one_hot = nn.functional.one_hot(label.clamp(min=0), len(self.space.places)).float()
        place = self.space.place(one_hot, strength * (label >= 0))[:, None]
        labelled = batch["labelled"][:, None, None]
        return torch.lerp(voice, place.expand_as(voice), labelled)

    def pictures(self, batch: Batch, averaged: Mapping[str, nn.Module]) -> Mapping[str, Tensor]:
        """Shapes over time: the truth above, what is generated below."""
        net = averaged["voice_flow"]
        assert isinstance(net, VoiceFlow)
        steps = batch["rig"].shape[1]
        style = self._style(net, batch["speaker"])[:1]
        rig = net.generate(batch["heard"][:1, -steps:], self._emotion(batch)[:1], style)
        both = torch.cat([(batch["rig"] + batch["felt"])[0].T, rig[0].T])
        return {"shapes": both[None].expand(3, -1, -1)}


def settle(net: VoiceFlow, heard: list[Array], rigs: list[F32], weights: F32) -> None:
    """Bring a network to the scale of what is heard and seen, before it is trained."""
    every = np.concatenate([one[::5] for one in heard]).astype(np.float32)
    net.content.scale.fit(torch.from_numpy(every))
    middle, components = principal(
        torch.from_numpy(np.concatenate([one[::5] for one in rigs])),
        torch.from_numpy(np.sqrt(weights)), net.size.components,
    )  # fmt: skip
    net.middle.copy_(middle)
    net.components.copy_(components)


def style_from(
    net: VoiceFlow, heard_BTF: Tensor, emotion_BTE: Tensor, rig_BTK: Tensor, weight_BTK: Tensor,
    steps: int = 60,
) -> Tensor:  # fmt: skip
    """The style [1, S] of a new speaker, of some seconds of their talk: the one whose faces come
    nearest to theirs."""
    style = net.styles.weight.detach().mean(dim=0, keepdim=True).clone().requires_grad_(True)
    optimizer = torch.optim.Adam([style], lr=0.05)
    for _ in range(steps):
        rig = net.generate(heard_BTF, emotion_BTE, style.expand(len(heard_BTF), -1))
        off = ((rig - rig_BTK).square() * weight_BTK).sum() / weight_BTK.sum().clamp(min=1)
        optimizer.zero_grad()
        (off + 1e-5 * style.square().sum()).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    return style.detach()
