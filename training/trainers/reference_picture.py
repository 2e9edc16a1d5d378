"""Train the one-stage generator, with CDRL's regularization (eq. 4-6) or without.

It draws a person's other picture from a first one (ICface's way: the reference stands for the truth
that there isn't, so its mouth comes along). CDRL holds it, for references of others, to what the
source says and to what the reference feels.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Final

import numpy as np
import torch
from torch import Tensor, nn

from engine.errors import MienError, UsageError
from engine.types import F32
from face.expression.speech import head_angles
from training.data.talk import STEP_SAMPLES
from training.loop import Batch, Parts, Trainer
from training.losses import decoupled
from training.losses.reference import perceptual
from training.models.audio_backbone import pretrained_backbone
from training.models.content import Content
from training.models.emotion_priors import PRIORS, EmotionPriors
from training.models.reference_picture import ReferencePicture
from training.recipe import Recipe
from training.restore import restore
from training.trainers.cache import cached, each, key_of
from training.trainers.emotion_priors import shows
from training.trainers.lip_sync import AudioBackbonePlan, hearing_of
from training.trainers.moments import Moments, moments_of
from training.trainers.samples import Array, Augmentation, Clips

NEAR_DEG: Final = 6.0
"""heads that are turned alike: what a reference feels doesn't turn a head"""


@dataclass(frozen=True, kw_only=True)
class ReferencePicturePlan(AudioBackbonePlan):
    """How sources are heard and seen, and references chosen."""

    pretrained: bool
    """hear and see through what others trained, and keep what was heard and seen"""
    references: int
    """pictures of each emotion"""


@dataclass(frozen=True, kw_only=True)
class ReferencePictureLosses:
    """Weights of the losses."""

    pixels: float
    """absolute difference from the person's other picture"""
    perception: float
    """the same of what the trunk sees"""
    content: float
    """the content is kept (CDRL, eq. 4); 0: w/o CCRL"""
    emotion: float
    """the reference's emotion is taken (eq. 5); 0: w/o CERL"""


class ReferencePictureTrainer(Trainer):
    averaged: ClassVar[tuple[str, ...]] = ("reference_picture",)

    def __init__(self, recipe: Recipe, data: Path, runs: Mapping[str, Path]) -> None:
        super().__init__(recipe)
        self.plan: ReferencePicturePlan = recipe.plan
        self.leans_on = dict(runs)
        self.content = restore(runs["content"], "content", Content)
        self.priors = restore(runs["emotion_priors"], "emotion_priors", EmotionPriors)
        hearing, seen = hearing_of(self.plan), self.content.size
        if hearing.features != seen.features or (seen.parts, seen.crop_px) != (
            recipe.size.parts, recipe.size.crop_px,
        ):  # fmt: skip
            raise UsageError(
                "content has another audio backbone or trunk than --plan and --size say"
            )
        keep = self.plan.pretrained
        if keep:
            hearing.backbone = pretrained_backbone(self.plan.layers, self.plan.past, STEP_SAMPLES)
        net = ReferencePicture(recipe.size, pretrained=keep)
        self.modules = {"reference_picture": net}
        self.spoken = Clips(data, "train", lambda info, frames: frames > 1)
        self.talk = moments_of(self.content, hearing, self.spoken, 1, keep)
        self.people: dict[str, list[Moments]] = defaultdict(list)
        for one in self.talk:
            self.people[one.info.subject].append(one)
        self.clips = Clips(data, "train", shows)
        self.references, self.targets = self._looked(keep)

    def _looked(self, keep: bool) -> tuple[Array, F32]:
        """What the trunk sees of references [N, C, H, W] float16, and what they feel [N, 7]; as
        many of each emotion."""
        rng, chosen = np.random.default_rng(7), list[int]()
        for emotion in PRIORS:
            own = self.clips.by_emotion.get(emotion, [])
            chosen += rng.permutation(own)[: self.plan.references].tolist()
        side = self.content.size.crop_px
        wide = self.priors.size.crop_px

        def look(number: int, index: int) -> tuple[Array, Array] | None:
            clip = self.clips[index].clip
            if index not in chosen or not clip.found.any():
                return None
            found = np.flatnonzero(clip.found)
            picture = clip.frame(int(found[len(found) // 2]))
            crops = [torch.from_numpy(Augmentation.plain(px).picture(picture, px))[None]
                     for px in (side, wide)]  # fmt: skip
            with torch.no_grad():
                return self.content.see(crops[0])[0].half().numpy(), self.priors(crops[1])[
                    0
                ].numpy()

        def make() -> dict[str, Array]:
            made = [found for _, found in each(self.clips, look, "looking") if found is not None]
            if not made:
                raise MienError(f"{self.clips.data} has no reference; prepare clips with labels")
            return {name: np.stack([row[at] for row in made]) for at, name in enumerate(("a", "b"))}

        key = key_of(self.clips, self.priors, self.plan.references)
        made = cached("references", key, make) if keep else make()
        return made["a"], made["b"]

    def draw(self, rng: np.random.Generator, step: int) -> Mapping[str, Array]:
        size = self.recipe.schedule.batch
        return self.clips.gather(size, lambda: self._row(rng), "is seen twice, turned alike")

    def _row(self, rng: np.random.Generator) -> dict[str, Array] | None:
        """A source, another picture of the same person with the head turned alike, and what is
        seen and felt of somebody else's reference."""
        one = self.talk[rng.integers(len(self.talk))]
        own = self.people[one.info.subject]
        other = own[rng.integers(len(own))]
        t, there = (int(rng.choice(np.flatnonzero(clip.found))) for clip in (one, other))
        clips = [self.spoken[clip.index].clip for clip in (one, other)]
        turns = [
            head_angles(clip.pose[at, :3, :3]) for clip, at in zip(clips, (t, there), strict=True)
        ]
        if np.abs(turns[0] - turns[1]).max() > NEAR_DEG:
            return None
        side = self.content.size.crop_px
        augmentation, asked = Augmentation.plain(side), int(rng.integers(len(self.targets)))
        return {
            "picture": augmentation.picture(clips[0].frame(t), side),
            "seen": one.seen[0, t].astype(np.float32),
            "heard": one.sound(t),
            "truth": augmentation.picture(clips[1].frame(there), side),
            "truth_seen": other.seen[0, there].astype(np.float32),
            "reference": self.references[asked].astype(np.float32),
            "target": self.targets[asked],
        }

    def losses(self, batch: Batch, step: int) -> Iterator[tuple[str, Parts, Mapping[str, float]]]:
        net = self.modules["reference_picture"]
        assert isinstance(net, ReferencePicture)
        picture, seen = batch["picture"], batch["seen"]
        made = net.draw(picture, seen, batch["truth_seen"])
        parts = {
            "pixels": (made - batch["truth"]).abs().mean(),
            "perception": perceptual([net.see(made)], [batch["truth_seen"]]),
        }
        # What isn't asked for is neither computed nor reported.
        if self.weights["content"] or self.weights["emotion"]:
            made = net.draw(picture, seen, batch["reference"])
        if self.weights["content"]:
            query = self.content.ask(batch["heard"])
            contents = (self.content.answer(one, query) for one in (seen, self.content.see(made)))
            parts["content"] = decoupled.alike(*contents)
        if self.weights["emotion"]:
            wide = self.priors.size.crop_px
            shown = nn.functional.interpolate(made, (wide, wide), mode="bilinear")
            parts["emotion"] = decoupled.alike(batch["target"], self.priors(shown))
        yield "reference_picture", parts, self.weights

    def pictures(self, batch: Batch, averaged: Mapping[str, nn.Module]) -> Mapping[str, Tensor]:
        """Source, the same person's other picture, what is drawn for it, and for a reference."""
        net = averaged["reference_picture"]
        assert isinstance(net, ReferencePicture)
        picture, seen = batch["picture"][:1], batch["seen"][:1]
        made = [net.draw(picture, seen, batch[n][:1])[0] for n in ("truth_seen", "reference")]
        return {"faces": torch.cat([picture[0], batch["truth"][0], *made], dim=2)}
