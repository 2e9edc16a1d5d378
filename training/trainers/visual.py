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
from engine.types import EMOTIONS, F32
from training.loop import Batch, Parts, Schedule, Trainer
from training.losses import faces, labels
from training.models.visual import Affect, VisualEncoder, VisualSize
from training.trainers.samples import Array, Clips, Look, Sample, run_of_frames
from training.trainers.wear import worn_picture

SCHEDULES: Final = {
    "debug": Schedule(steps=3, batch=4, rate=1e-3, ema=0.9, save_every=2, log_every=1, loaders=1),
    "full": Schedule(
        steps=300, batch=32, rate=8e-4, warm_up=30, ema=0.985, decay=0.02, loaders=1,
        save_every=50, log_every=10, pictures_every=300,
    ),
}  # fmt: skip
SIZES: Final = {"debug": VisualSize(blocks=3, features=32, crop_px=64), "full": VisualSize()}
FRAMES: Final = {"debug": 2, "full": 4}
MOVING_EVERY: Final = {"debug": 2, "full": 6}
"""every so many steps draw frames in a row; the others many single ones"""
FROZEN: Final = {"debug": 0, "full": 5}
"""blocks of the backbone that stay as ImageNet left them"""
REPEATS: Final = 3
"""how often a single frame is judged in a row: the state must hold still where nothing moves"""
WEIGHTS: Final = {"classification": 1.0, "affect": 1.0, "intensity": 1.0}
RIG_SHOWN: Final = 0.85
"""share of samples in which the rig may be seen; in the others the picture alone must do"""
SMOOTHING: Final = 0.1
BLENDED: Final = 0.4
"""share of steps in which pictures are blended in pairs (mixup, Zhang et al. 2018, eq. 1)"""
UNTRUSTED, UNTRUSTED_FROM = 0.1, 0.4
"""share of a batch whose labels are doubted, from when on, as a share of all steps"""


class VisualTrainer(Trainer):
    name: ClassVar[str] = "visual"
    averaged: ClassVar[tuple[str, ...]] = ("visual",)

    def __init__(self, data: Path, config: str, left_out: Set[str] = frozenset()) -> None:
        """``left_out``: subjects that aren't learned from."""
        self.schedule, size = SCHEDULES[config], SIZES[config]
        self.frames, self.every = FRAMES[config], MOVING_EVERY[config]
        self.size = asdict(size)
        self.clips = Clips(data, "train", lambda i, n: n > 0 and i.subject not in left_out)
        try:
            self.moving: Clips | None = Clips(
                data, "train", lambda i, n: n > 1 and i.subject not in left_out
            )
        except MienError:
            self.moving = None
        encoder = VisualEncoder(size, pretrained=config == "full").freeze(FROZEN[config])
        self.modules: dict[str, nn.Module] = {"visual": encoder}
        self.crop_px = size.crop_px

    def draw(self, rng: np.random.Generator, step: int) -> Mapping[str, Array]:
        moving = self.moving is not None and step % self.every == self.every - 1
        clips = self.moving if moving and self.moving is not None else self.clips
        frames = self.frames if moving else 1
        rows = max(1, self.schedule.batch // frames)
        return clips.gather(rows, lambda: self._row(clips, frames, rng), "shows a face")

    def _row(self, clips: Clips, length: int, rng: np.random.Generator) -> dict[str, Array] | None:
        sample = clips[clips.draw_tempered(rng)]
        frames = run_of_frames(sample.clip.found, length, rng)
        if frames is None:
            return None
        look = Look.draw(rng, self.crop_px)
        shown = np.float32(rng.random() < RIG_SHOWN)
        wear = np.random.default_rng(rng.integers(1 << 62))
        seed = wear.bit_generator.state
        crops = []
        for t in frames:
            wear.bit_generator.state = seed  # the same camera for all frames
            crops.append(look.picture(worn_picture(sample.clip.frame(int(t)), wear), self.crop_px))
        return face_row(sample, frames, look, crops, shown)

    def losses(self, batch: Batch, step: int) -> Iterator[tuple[str, Parts, Mapping[str, float]]]:
        encoder = self.modules["visual"]
        assert isinstance(encoder, VisualEncoder)
        wanted = labels.one_hot(batch["emotion"], len(EMOTIONS), SMOOTHING)
        batch = dict(batch)
        single = batch["rig"].shape[1] == 1
        blended = single and float(torch.rand(())) < BLENDED
        if blended:
            wanted = _blend(batch, wanted)
        seen = _repeated(encoder, batch) if single else encoder.watch(batch["crop"], batch["rig"])
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
        return {"crops": torch.cat(list(batch["crop"][:8, 0]), dim=2)}


def _repeated(encoder: VisualEncoder, batch: Batch) -> Affect:
    """Single frames, seen once and judged several times in a row [B, T, ...]."""
    frame = encoder.look(batch["crop"][:, 0], batch["rig"][:, 0])
    state, steps = encoder.begin(len(frame)), []
    for _ in range(REPEATS):
        steps.append(encoder.judge(frame, state))
        state = steps[-1].state
    stacked = [torch.stack([step[i] for step in steps], dim=1) for i in range(4)]
    return Affect(stacked[0], stacked[1], stacked[2], stacked[3], state)


def _blend(batch: Batch, wanted: Tensor) -> Tensor:
    """Each row with another, by a random share; the wanted shares alike."""
    share = 0.5 + 0.5 * float(torch.rand(()))
    other = torch.randperm(len(wanted), device=wanted.device)
    labelled = wanted.sum(dim=1) > 0
    other = torch.where(labelled & labelled[other], other, torch.arange(len(wanted)).to(other))
    for name in ("crop", "rig", "affect", "intensity", "known"):
        batch[name] = share * batch[name] + (1 - share) * batch[name][other]
    return share * wanted + (1 - share) * wanted[other]


def face_row(
    sample: Sample, frames: Array, look: Look, crops: list[F32], shown: np.float32
) -> dict[str, Array]:
    """Crops [T, 3, S, S], their rig (times ``shown``) and their labels."""
    said = sample.labels
    return {
        "crop": np.stack(crops),
        "rig": look.rig(sample.clip.blendshapes[frames]) * shown,
        "emotion": np.array(sample.emotion, np.int64),
        "affect": np.stack([said.valence[frames], said.arousal[frames]], axis=1),
        "intensity": said.intensity[frames, None],
        "known": said.known[frames, None],
    }
