"""Train the emotion space: voices and faces of one feeling lie together, levels of it apart.

Talk of a known emotion is heard and has its rig. Crops are of everybody who is seen, talking or on
a photograph: eq. 5 ties them to their rig, as the tracker sees it, and to their voice, if any.
"""

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
from face.emotions import MIRROR
from face.types import BLENDSHAPES, EMOTIONS
from training.data.talk import speaker_of
from training.loop import Batch, Parts, Trainer
from training.losses import emotion_space as losses
from training.models.emotion_space import STEPS_A_PICTURE, EmotionSpace, hearing_of
from training.recipe import Recipe
from training.trainers.face_features import Plan, face_features
from training.trainers.samples import Array, Clips, NoClipsError
from training.trainers.talks import Row, Talks, cut, seen
from training.trainers.voice_rig import TalkPlan, talks_for


@dataclass(frozen=True, kw_only=True)
class EmotionSpacePlan(TalkPlan):
    """How emotional talk is drawn."""

    temperature: float
    """of the contrastive loss (tau of eq. 4)"""
    margin: float
    """by which levels are to lie apart (alpha of eq. 7), as a squared distance"""
    views: Plan
    """crops that are looked at in advance; those of a run are a sample"""


@dataclass(frozen=True, kw_only=True)
class EmotionSpaceLosses:
    """Weights of the losses."""

    contrastive: float
    """emotions lie apart (eq. 4)"""
    audio_visual: float
    """a voice and its face, a crop and its rig and voice lie together (eq. 5)"""
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
        self._hears = hearing_of(recipe.size).features
        heard = np.concatenate([row.heard[::5] for rows in self.rows.values() for row in rows])
        space.voice.scale.fit(torch.from_numpy(heard.astype(np.float32)))
        self.modules = {"emotion_space": space}
        if recipe.size.parts:
            self._look(space, talks, data)

    def _look(self, space: EmotionSpace, talks: Talks, data: Path) -> None:
        """At everybody's crops, in advance; who of them is heard is known."""
        self.clips = Clips(data, "train")  # stills are learned from, too
        out = set(self.plan.left_out)
        try:
            self.seen = Clips(
                data, "train", lambda i, frames: frames > 0 and not {i.key, speaker_of(i)} & out
            )
        except NoClipsError:
            raise MienError(
                f"{data} has no pictures; prepare clips with faces, or give --size.parts 0 for a "
                "space of rigs and voices alone"
            ) from None
        if self.plan.pretrained:
            space.backbone.load_learned()
        self.features = face_features(
            space.backbone, self.seen, self.plan.views, keep=self.plan.pretrained
        )
        space.crop.scale.fit(torch.from_numpy(self.features.backbone))
        self.heard: dict[str, list[Row]] = defaultdict(list)
        for row in talks.all_rows():
            self.heard[row.talk.info.key].append(row)

    def draw(self, rng: np.random.Generator, step: int) -> Mapping[str, Array]:
        batch = self.recipe.schedule.batch
        rows = [self._row(rng) for _ in range(batch)]
        drawn = {name: np.stack([row[name] for row in rows]) for name in rows[0]}
        if self.recipe.size.parts:
            drawn |= self.seen.gather(batch, lambda: self._crops(rng), "shows a face")
        return drawn

    def _row(self, rng: np.random.Generator) -> dict[str, Array]:
        own = self.rows[self.emotions[rng.integers(len(self.emotions))]]
        row = own[rng.integers(len(own))]
        piece = cut(row, int(rng.integers(max(1, len(row.rig) - self.plan.piece))), self.plan.piece)
        info = row.talk.info
        return piece | {
            "emotion": np.array(EMOTIONS.index(info.emotion), np.int64),
            "level": np.array(0 if info.emotion == "neutral" else info.level, np.int64),
        }

    def _crops(self, rng: np.random.Generator) -> dict[str, Array] | None:
        """``seen`` [P, S] of a run of crops, its rig above the person's own rest ``shown`` [T, 52],
        what is ``said`` [T, F] and whether anything is."""
        index = self.seen.draw_tempered(rng)
        at = self.features.draw(index, self.plan.views.frames, rng)
        if at is None:
            return None
        info, steps = self.seen.infos[index], STEPS_A_PICTURE * len(at)
        own = self.seen.neutral_of(info.subject)
        rest = np.zeros(len(BLENDSHAPES)) if own is None else (own + own[MIRROR]) / 2
        shown = np.clip(self.features.rig[at] - rest, 0, 1).repeat(STEPS_A_PICTURE, axis=0)
        said, known = np.zeros((steps, self._hears), np.float32), info.key in self.heard
        if known:
            row = self.heard[info.key][rng.integers(len(self.heard[info.key]))]
            slower = len(row.rig) / len(row.talk)
            first = round(STEPS_A_PICTURE * int(self.features.frame[at[0], 0]) * slower)
            said = seen(row.heard, min(first, len(row.rig) - 1), steps, 0)
        return {
            "seen": self.features.backbone[at],
            "shown": shown.astype(np.float32),
            "said": said,
            "speaks": np.array(known, np.float32),
            "seen_emotion": np.array(EMOTIONS.index(info.emotion) if info.emotion else -1),
            "seen_level": np.array(0 if info.emotion == "neutral" else info.level),
        }

    def losses(self, batch: Batch, step: int) -> Iterator[tuple[str, Parts, Mapping[str, float]]]:
        space = self.modules["emotion_space"]
        assert isinstance(space, EmotionSpace)
        voice = space.voice(self._noisy(space, batch["heard"]))
        face = space.face(batch["rig"] + batch["felt"])
        tied = [losses.audio_visual(voice, face, voice.new_ones(len(voice)))]
        sides = [(_late(z), batch["emotion"], batch["level"]) for z in (voice, face)]
        if "seen" in batch:
            crop, rig = space.crop(batch["seen"]), space.face(batch["shown"])
            said = space.voice(self._noisy(space, batch["said"]))
            tied.append(losses.audio_visual(crop, rig, crop.new_ones(len(crop))))
            tied.append(losses.audio_visual(said, crop, batch["speaks"]))
            known = batch["seen_emotion"] >= 0
            label, level = batch["seen_emotion"][known], batch["seen_level"][known]
            sides += [(z.mean(dim=1)[known], label, level) for z in (crop, rig)]
        every, labels = (torch.cat([side[i] for side in sides]) for i in range(2))
        space.remember(every, labels)
        tau, margin = self.plan.temperature, self.plan.margin
        parts = {
            "contrastive": sum(
                (losses.contrastive(z, label, tau) for z, label, _ in sides), voice.new_zeros(())
            ),
            "audio_visual": sum(tied, voice.new_zeros(())),
            "triplet": sum(
                (losses.triplet(z, label, level, margin) for z, label, level in sides),
                voice.new_zeros(()),
            ),
        }
        yield "emotion_space", parts, self.weights

    def _noisy(self, space: EmotionSpace, heard_BTF: Tensor) -> Tensor:
        return heard_BTF + self.plan.noise * space.voice.scale.std * torch.randn_like(heard_BTF)

    def pictures(self, batch: Batch, averaged: Mapping[str, nn.Module]) -> Mapping[str, Tensor]:
        """Where the emotions lie: a row each."""
        space = averaged["emotion_space"]
        assert isinstance(space, EmotionSpace)
        return {"places": (0.5 + space.places / 2)[None].expand(3, -1, -1)}


def _late(z_BTD: Tensor) -> Tensor:
    """The mean of the second half: until then too little is heard."""
    return z_BTD[:, z_BTD.shape[1] // 2 :].mean(dim=1)
