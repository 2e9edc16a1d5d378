"""Train the content representation: the same words in other emotions are one (CDRL's CCRL)."""

from __future__ import annotations

import copy
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Final

import numpy as np
import torch
from torch import Tensor, nn

from engine.errors import MienError, UsageError
from training.data.clip import ClipInfo
from training.data.talk import STEP_SAMPLES
from training.loop import Batch, Parts, Trainer
from training.losses import decoupled
from training.models.audio_backbone import pretrained_backbone
from training.models.content import Content
from training.recipe import Recipe
from training.trainers.lip_sync import AudioBackbonePlan, hearing_of
from training.trainers.moments import Moments, in_step, moments_of
from training.trainers.samples import Array, Clips

APART: Final = 4
"""pictures of one recording that are so far apart show other words"""


@dataclass(frozen=True, kw_only=True)
class ContentPlan(AudioBackbonePlan):
    """How talk is watched, heard and put together."""

    pretrained: bool
    """see and hear through what others trained, and keep what was seen"""
    views: int
    """of each picture: as it is, and by other cameras"""
    strict: float
    """share of pairs of synthetic heads that are put in step as they were made; others are by what
    is heard"""
    shared: float
    """share of triplets in which all three are asked by one sound, as a generator's source and
    output are (eq. 4): else sounds could answer for pictures; 0 is the paper's"""
    emotion_aware: bool = True
    """other words are of the same emotion; else of any (CCRL w/o emotion)"""


@dataclass(frozen=True, kw_only=True)
class ContentLosses:
    """Weights of the losses."""

    content: float
    """same words together, others apart (eq. 2)"""


def talks(info: ClipInfo, frames: int) -> bool:
    """Whether a clip may be one of a pair."""
    return frames > 1 and bool(info.emotion and info.sentence)


class ContentTrainer(Trainer):
    averaged: ClassVar[tuple[str, ...]] = ("content",)

    def __init__(self, recipe: Recipe, data: Path) -> None:
        super().__init__(recipe)
        self.plan: ContentPlan = recipe.plan
        self.hearing = hearing_of(self.plan)
        if self.hearing.features != recipe.size.features:
            features = self.hearing.features
            raise UsageError(
                f"this audio backbone has {features} features; say so: --size.features"
            )
        if self.plan.pretrained:
            self.hearing.backbone = pretrained_backbone(
                self.plan.layers, self.plan.past, STEP_SAMPLES
            )
        net = Content(recipe.size, pretrained=self.plan.pretrained)
        self.modules = {recipe.name: net}
        self.clips = Clips(data, "train", talks)
        self._watch()
        seen = [np.moveaxis(one.seen[:, ::8], 2, -1) for one in self.talk]
        channels = np.concatenate([part.reshape(-1, part.shape[-1]) for part in seen])
        heard = np.concatenate([one.heard[::5] for one in self.talk])
        net.settle(*(torch.from_numpy(part.astype(np.float32)) for part in (channels, heard)))

    def _watch(self) -> None:
        net = self.modules[self.name]
        assert isinstance(net, Content)
        keep, views = self.plan.pretrained, self.plan.views
        self.talk = moments_of(net, self.hearing, self.clips, views, keep)
        self.pairs = in_step(self.talk)
        if not self.pairs:
            raise MienError(
                f"{self.clips.data} has nobody who says one sentence in two emotions; prepare such"
            )
        self.felt: dict[tuple[str, str], list[int]] = defaultdict(list)
        for place, one in enumerate(self.talk):
            for emotion in (one.info.emotion, ""):
                self.felt[one.info.subject, emotion].append(place)

    def held_out(self) -> ContentTrainer | None:
        clips = Clips.held_out(self.clips.data, talks)
        if clips is None:
            return None
        other = copy.copy(self)
        other.clips = clips
        try:
            other._watch()
        except MienError:
            return None
        return other

    def draw(self, rng: np.random.Generator, step: int) -> Mapping[str, Array]:
        batch = self.recipe.schedule.batch
        return self.clips.gather(batch, lambda: self._triplet(rng), "is said in two emotions")

    def _triplet(self, rng: np.random.Generator) -> dict[str, Array] | None:
        """The same words x, the anchor y, other words z: ``seen`` [3, C, H, W] or [3, 52],
        ``heard`` [3, STEPS, F]."""
        pair = self.pairs[rng.integers(len(self.pairs))]
        made = pair.made is not None and rng.random() < self.plan.strict
        steps = pair.made if made and pair.made is not None else pair.heard
        t = int(rng.integers(len(steps)))
        x, y = (self.talk[pair.first], t), (self.talk[pair.second], int(steps[t]))
        if rng.random() < 0.5:
            x, y = y, x
        z = self._other(*y, rng)
        if z is None or not all(one.found[at] for one, at in (x, y, z)):
            return None
        heard = [one.sound(at) for one, at in (x, y, z)]
        if rng.random() < self.plan.shared:
            heard = [heard[1]] * 3
        seen = [one.seen[rng.integers(len(one.seen)), at] for one, at in (x, y, z)]
        return {"seen": np.stack(seen).astype(np.float32), "heard": np.stack(heard)}

    def _other(
        self, anchor: Moments, t: int, rng: np.random.Generator
    ) -> tuple[Moments, int] | None:
        """Other words of the same person, and of the same emotion where that is asked for."""
        info = anchor.info
        own = self.felt[info.subject, info.emotion if self.plan.emotion_aware else ""]
        other = self.talk[own[rng.integers(len(own))]]
        places = np.arange(len(other))
        if other.info.sentence == info.sentence:
            places = places[np.abs(places - t) >= APART]
        return (other, int(rng.choice(places))) if len(places) else None

    def losses(self, batch: Batch, step: int) -> Iterator[tuple[str, Parts, Mapping[str, float]]]:
        net = self.modules[self.name]
        assert isinstance(net, Content)
        query = net.ask(batch["heard"].flatten(0, 1))
        answers = net.answer(batch["seen"].flatten(0, 1), query).reshape(len(batch["seen"]), 3, -1)
        yield self.name, {"content": decoupled.content(*answers.unbind(dim=1))}, self.weights

    def pictures(self, batch: Batch, averaged: Mapping[str, nn.Module]) -> Mapping[str, Tensor]:
        """Where it looks, for a few sounds: a map each."""
        net = averaged[self.name]
        assert isinstance(net, Content)
        look = net.attention(batch["seen"][:8, 1], net.ask(batch["heard"][:8, 1]))
        rows = look.reshape(-1, look.shape[-1])
        return {"look": (rows / rows.amax())[None].expand(3, -1, -1)}


class RigContentTrainer(ContentTrainer):
    """The same for rigs."""

    averaged: ClassVar[tuple[str, ...]] = ("rig_content",)
