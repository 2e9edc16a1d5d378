"""Train the emotion space: voices and faces of one feeling lie together, levels of it apart."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from engine.errors import MienError
from face.types import EMOTIONS
from training.loop import Batch, Parts, Trainer
from training.losses import emotion_space as losses
from training.models.emotion_space import EmotionSpace, hearing_of
from training.recipe import Recipe
from training.trainers.samples import Array
from training.trainers.talks import Row, cut
from training.trainers.voice_rig import TalkPlan, talks_for


@dataclass(frozen=True, kw_only=True)
class EmotionSpacePlan(TalkPlan):
    """How emotional talk is drawn."""

    temperature: float
    """of the contrastive loss (tau of eq. 4)"""
    margin: float
    """by which levels are to lie apart (alpha of eq. 7), as a squared distance"""


@dataclass(frozen=True, kw_only=True)
class EmotionSpaceLosses:
    """Weights of the losses."""

    contrastive: float
    """emotions lie apart (eq. 4)"""
    audio_visual: float
    """a voice and its face lie together (eq. 5)"""
    triplet: float
    """levels of an emotion lie apart (eq. 7)"""


class EmotionSpaceTrainer(Trainer):
    averaged: ClassVar[tuple[str, ...]] = ("emotion_space",)

    def __init__(self, recipe: Recipe, data: Path) -> None:
        super().__init__(recipe)
        self.plan: EmotionSpacePlan = recipe.plan
        space = EmotionSpace(recipe.size)
        self.clips, talks = talks_for(hearing_of(recipe.size), self.plan, data)
        self.rows: dict[str, list[Row]] = defaultdict(list)
        for row in talks.all_rows():
            if row.talk.info.emotion:
                self.rows[row.talk.info.emotion].append(row)
        if len(self.rows) < 2:
            raise MienError(f"{data} has no talk in two emotions; prepare clips with labels")
        self.emotions = sorted(self.rows)
        heard = np.concatenate([row.heard[::5] for rows in self.rows.values() for row in rows])
        space.voice.scale.fit(torch.from_numpy(heard.astype(np.float32)))
        self.modules = {"emotion_space": space}

    def draw(self, rng: np.random.Generator, step: int) -> Mapping[str, Array]:
        batch = self.recipe.schedule.batch
        rows = [self._row(rng) for _ in range(batch)]
        return {name: np.stack([row[name] for row in rows]) for name in rows[0]}

    def _row(self, rng: np.random.Generator) -> dict[str, Array]:
        own = self.rows[self.emotions[rng.integers(len(self.emotions))]]
        row = own[rng.integers(len(own))]
        piece = cut(row, int(rng.integers(max(1, len(row.rig) - self.plan.piece))), self.plan.piece)
        info = row.talk.info
        return piece | {
            "emotion": np.array(EMOTIONS.index(info.emotion), np.int64),
            "level": np.array(0 if info.emotion == "neutral" else info.level, np.int64),
        }

    def losses(self, batch: Batch, step: int) -> Iterator[tuple[str, Parts, Mapping[str, float]]]:
        space = self.modules["emotion_space"]
        assert isinstance(space, EmotionSpace)
        heard = batch["heard"]
        heard = heard + self.plan.noise * space.voice.scale.std * torch.randn_like(heard)
        voice, face = space.voice(heard), space.face(batch["rig"] + batch["felt"])
        label, level = batch["emotion"], batch["level"]
        means = [z[:, z.shape[1] // 2 :].mean(dim=1) for z in (voice, face)]
        space.remember(torch.cat(means), torch.cat([label, label]))
        tau, margin = self.plan.temperature, self.plan.margin
        parts = {
            "contrastive": sum(
                (losses.contrastive(z, label, tau) for z in means), voice.new_zeros(())
            ),
            "audio_visual": losses.audio_visual(voice, face, voice.new_ones(len(label))),
            "triplet": sum(
                (losses.triplet(z, label, level, margin) for z in means), voice.new_zeros(())
            ),
        }
        yield "emotion_space", parts, self.weights

    def pictures(self, batch: Batch, averaged: Mapping[str, nn.Module]) -> Mapping[str, Tensor]:
        """Where the emotions lie: a row each."""
        space = averaged["emotion_space"]
        assert isinstance(space, EmotionSpace)
        return {"places": (0.5 + space.places / 2)[None].expand(3, -1, -1)}
