"""Train the visual emotion encoder: emotion, valence-arousal and intensity of faces in a row."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Set
from dataclasses import asdict
from pathlib import Path
from typing import ClassVar, Final

import numpy as np
import torch
from torch import Tensor, nn

from engine.errors import MienError
from face.types import EMOTIONS
from training.loop import Batch, Parts, Schedule, Trainer
from training.losses import faces, labels
from training.models.visual import VisualEncoder, VisualSize
from training.trainers.samples import Array, Clips
from training.trainers.views import Plan, views_of

SCHEDULES: Final = {
    "debug": Schedule(steps=3, batch=4, rate=2e-2, ema=0.9, save_every=2, log_every=1, loaders=1),
    "full": Schedule(
        steps=400, batch=128, rate=1e-3, warm_up=10, ema=0.99, clip=2.0, decay=0.1, loaders=1,
        save_every=200, log_every=50, pictures_every=400,
    ),
}  # fmt: skip
SIZES: Final = {
    "debug": VisualSize(parts=3, features=32, crop_px=128),
    "full": VisualSize(),
}
PLANS: Final = {
    "debug": Plan(stills=2, runs=1, frames=2),
    "full": Plan(stills=4, runs=2, frames=4),
}
MOVING_EVERY: Final = {"debug": 2, "full": 6}
"""every so many steps draw frames in a row; the others many single ones"""
EVENLY: Final = 0.5
"""1: sources and emotions are drawn as often as they have people; 0: all alike"""
REPEATS: Final = 3
"""how often a single frame is judged in a row: the state must hold still where nothing moves"""
WEIGHTS: Final = {"classification": 1.0, "affect": 1.0, "intensity": 1.0}
RIG_SHOWN: Final = 0.85
"""share of samples in which the rig may be seen; in the others the picture alone must do"""
SMOOTHING: Final = 0.05
BLENDED: Final = 0.5
"""share of steps in which what is seen is blended in pairs (mixup of hidden states, Verma et al.
2019, eq. 2)"""
UNTRUSTED, UNTRUSTED_FROM = 0.1, 0.4
"""share of a batch whose labels are doubted, from when on, as a share of all steps"""


class VisualTrainer(Trainer):
    name: ClassVar[str] = "visual"
    averaged: ClassVar[tuple[str, ...]] = ("visual",)

    def __init__(self, data: Path, config: str, left_out: Set[str] = frozenset()) -> None:
        """``left_out``: subjects that aren't learned from."""
        self.schedule, size = SCHEDULES[config], SIZES[config]
        self.plan, self.every = PLANS[config], MOVING_EVERY[config]
        self.size = asdict(size)
        every = Clips(data, "train", lambda i, n: n > 0)
        self.clips = Clips(data, "train", lambda i, n: n > 0 and i.subject not in left_out)
        try:
            self.moving: Clips | None = Clips(
                data, "train", lambda i, n: n > 1 and i.subject not in left_out
            )
        except MienError:
            self.moving = None
        encoder = VisualEncoder(size, pretrained=config == "full")
        self.views = views_of(encoder, every, self.plan, keep=config == "full")
        used = self.views.of(self.clips.chosen)
        encoder.settle(
            torch.from_numpy(self.views.glance[used]), torch.from_numpy(self.views.rig[used])
        )
        self.modules: dict[str, nn.Module] = {"visual": encoder}

    def draw(self, rng: np.random.Generator, step: int) -> Mapping[str, Array]:
        moving = self.moving is not None and step % self.every == self.every - 1
        clips = self.moving if moving and self.moving is not None else self.clips
        frames = self.plan.frames if moving else 1
        rows = max(1, self.schedule.batch // frames)
        return clips.gather(rows, lambda: self._row(clips, frames, rng), "shows a face")

    def _row(self, clips: Clips, length: int, rng: np.random.Generator) -> dict[str, Array] | None:
        """What is seen [T, F], the rig [T, 52], where it may be seen, and the labels."""
        index = clips.draw_tempered(rng, EVENLY)
        at = self.views.draw(index, length, rng)
        if at is None:
            return None
        emotion = clips.infos[index].emotion
        return {
            "glance": self.views.glance[at],
            "rig": self.views.rig[at] * np.float32(rng.random() < RIG_SHOWN),
            "emotion": np.array(EMOTIONS.index(emotion) if emotion else -1, np.int64),
            "affect": self.views.affect[at],
            "intensity": self.views.intensity[at],
            "known": self.views.known[at],
        }

    def losses(self, batch: Batch, step: int) -> Iterator[tuple[str, Parts, Mapping[str, float]]]:
        encoder = self.modules["visual"]
        assert isinstance(encoder, VisualEncoder)
        wanted = labels.one_hot(batch["emotion"], len(EMOTIONS), SMOOTHING)
        batch = dict(batch)
        single = batch["rig"].shape[1] == 1
        blended = single and float(torch.rand(())) < BLENDED
        if blended:
            wanted = _blend(batch, wanted)
        frames = encoder.understand(batch["glance"].flatten(0, 1), batch["rig"].flatten(0, 1))
        frames = frames.reshape(*batch["rig"].shape[:2], -1)
        seen = encoder.follow(frames.expand(-1, REPEATS, -1) if single else frames)
        shares = torch.log_softmax(seen.emotion.float(), dim=2)
        trust = torch.ones(len(wanted), device=wanted.device)
        if single and not blended and step >= UNTRUSTED_FROM * self.schedule.steps:
            trust = labels.trusted(shares, wanted, UNTRUSTED)
        weight = trust[:, None].expand(shares.shape[:2])
        known = batch["known"]
        parts = {
            "classification": labels.soft_classification(shares, wanted, weight),
            "affect": faces.intensity(seen.valence_arousal.float(), batch["affect"], known),
            "intensity": faces.intensity(seen.intensity.float(), batch["intensity"], known),
        }
        yield "visual", parts, WEIGHTS

    def pictures(self, batch: Batch, averaged: Mapping[str, nn.Module]) -> Mapping[str, Tensor]:
        """What is seen of a few faces: a row each."""
        seen = batch["glance"][:8, 0].abs()
        return {"glances": (seen / seen.amax())[None].expand(3, -1, -1)}


def _blend(batch: Batch, wanted: Tensor) -> Tensor:
    """Each row with another, by a random share; the wanted shares alike."""
    share = 0.5 + 0.5 * float(torch.rand(()))
    other = torch.randperm(len(wanted), device=wanted.device)
    labelled = wanted.sum(dim=1) > 0
    other = torch.where(labelled & labelled[other], other, torch.arange(len(wanted)).to(other))
    for name in ("glance", "rig", "affect", "intensity", "known"):
        batch[name] = share * batch[name] + (1 - share) * batch[name][other]
    return share * wanted + (1 - share) * wanted[other]
