"""Train the latent encoder E: what it says of a picture is to draw that picture (SSERD, eq. 7-10).

Drawn upon another picture of the same person in the same light, its head turned as there, so that
whatever the expression is has to come from the latent.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from engine.errors import MienError
from face.types import BLENDSHAPES
from training.loop import Batch, Parts, Trainer
from training.losses import reference as losses
from training.models.generator import Canvas
from training.models.latent import LatentEncoder
from training.models.visual import VisualEncoder
from training.recipe import Recipe
from training.restore import restore
from training.trainers.drawing import (
    Critic,
    Drawing,
    DrawingPlan,
    face_of,
    people_learned_from,
)
from training.trainers.looks import NEUTRAL, Looks, looks_of
from training.trainers.samples import Array, Clips

CANVAS = ("picture", "uv", "weight", "skin", "project")


@dataclass(frozen=True, kw_only=True)
class InversionPlan(DrawingPlan):
    """How pictures are drawn, and how many are told apart by their emotion."""

    contrasted: int
    """pictures a step whose latents the contrastive loss compares"""
    alpha: float
    """of perception beside pixels (eq. 8)"""


@dataclass(frozen=True, kw_only=True)
class InversionLosses:
    """Weights of the losses (eq. 10). Mean squares are small: beside them, lambda is a tenth."""

    reconstruction: float
    """L_rec (eq. 8)"""
    adversarial: float
    """L_adv (eq. 9), lambda 1"""
    contrastive: float
    """L_cl (eq. 6), lambda 2"""


class InversionTrainer(Trainer):
    averaged: ClassVar[tuple[str, ...]] = ("inversion",)

    def __init__(self, recipe: Recipe, data: Path, visual: Path) -> None:
        super().__init__(recipe)
        self.plan: InversionPlan = recipe.plan
        self.leans_on = {"visual": visual}
        self._data = data
        self._visual = restore(visual, "visual", VisualEncoder)
        self._take(Clips(data, "train", lambda info, frames: frames > 0))
        self.drawing = Drawing(self.looks, self.plan)
        self.modules = {
            "inversion": recipe.build(),
            "critic": Critic(self.plan.channels),
        }

    def _take(self, clips: Clips) -> None:
        self.clips, self.looks = clips, looks_of(clips, self._visual, self.plan.every)
        self.moments = [m for m in self.looks.moments if _varied(self.looks, m)]
        if not self.moments:
            raise MienError(f"{clips.data} shows nobody twice in one light; prepare clips")
        self.labelled = list(self.looks.by_emotion.values())

    def held_out(self) -> InversionTrainer | None:
        clips = Clips.held_out(self._data, lambda info, frames: frames > 0)
        if clips is None:
            return None
        other = copy.copy(self)
        other._take(clips)
        return other

    def learned_from(self) -> dict[str, Any]:
        return super().learned_from() | people_learned_from(self.plan.people)

    def draw(self, rng: np.random.Generator, step: int) -> Mapping[str, Array]:
        batch = self.clips.gather(
            self.recipe.schedule.batch, lambda: self._row(rng), "shows a face twice"
        )
        chosen = [
            rng.choice(self.labelled[rng.integers(len(self.labelled))])
            for _ in range(self.plan.contrasted if self.labelled else 0)
        ]
        places = np.array(chosen, np.int64)
        return batch | {"seen": self.looks.seen[places], "label": self.looks.label[places]}

    def _row(self, rng: np.random.Generator) -> dict[str, Array]:
        """A picture to be drawn upon another: as a rule the calmer one is the canvas."""
        moment = self.moments[rng.integers(len(self.moments))]
        canvas, target = (int(place) for place in rng.choice(moment, 2, replace=False))
        calm = self.looks.reading[:, NEUTRAL]
        if calm[canvas] < calm[target] and rng.random() < 0.5:
            canvas, target = target, canvas
        drawn, truth = self.looks.canvas_like(canvas, target, self.plan.side_px)
        seen = self.looks.seen
        return drawn | {"truth": truth, "of_canvas": seen[canvas], "of_truth": seen[target]}

    def losses(self, batch: Batch, step: int) -> Iterator[tuple[str, Parts, Mapping[str, float]]]:
        encoder, critic = self.modules["inversion"], self.modules["critic"]
        assert isinstance(critic, Critic)
        discriminator, remembered = critic.discriminator, critic.remembered
        canvas: Canvas = {name: batch[name] for name in CANVAS}
        w = encode(encoder, batch["of_truth"])
        picture = self.drawing.generator(w, encode(encoder, batch["of_canvas"]), canvas)
        made, truth = face_of(picture, canvas), face_of(batch["truth"], canvas)
        apart = losses.told_apart(discriminator(truth), discriminator(made.detach()))
        yield "critic", {"discriminator": apart}, {"discriminator": 1.0}
        codes = encode(encoder, batch["seen"]).flatten(1)
        cached = remembered.draw(len(codes))
        parts = {
            "reconstruction": self.drawing.likeness(made, truth, self.plan.alpha),
            "adversarial": losses.taken_for_real(discriminator(made)),
            "contrastive": losses.info_nce(codes, cached, batch["label"], self.plan.temperature),
        }
        remembered.add(codes, batch["label"])
        yield "inversion", parts, self.weights

    def pictures(self, batch: Batch, averaged: Mapping[str, nn.Module]) -> Mapping[str, Tensor]:
        """The canvas, what is to be drawn upon it, and what is."""
        encoder = averaged["inversion"]
        canvas: Canvas = {name: batch[name][:1] for name in CANVAS}
        both = [encode(encoder, batch[name][:1]) for name in ("of_truth", "of_canvas")]
        made = self.drawing.generator(both[0], both[1], canvas)
        return {"faces": torch.cat([batch["picture"][0], batch["truth"][0], made[0]], dim=2)}


def encode(encoder: nn.Module, seen_BD: Tensor) -> Tensor:
    """The latent of what was seen [B, 63]."""
    assert isinstance(encoder, LatentEncoder)
    w: Tensor = encoder(seen_BD[:, : len(BLENDSHAPES)], seen_BD[:, len(BLENDSHAPES) :])
    return w


def _varied(looks: Looks, moment: Array) -> bool:
    """Whether something changes: of a face that stays as it is there is nothing to learn."""
    return bool(np.ptp(looks.shapes[moment], axis=0).max() > 0.1)
