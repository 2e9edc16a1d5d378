"""Train the visual emotion encoder: emotion, valence-arousal and intensity of faces in a row."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import ClassVar, Final

import numpy as np
import torch
from torch import Tensor, nn

from engine.types import F32
from training.data.clip import ClipInfo
from training.loop import Batch, Parts, Schedule, Trainer
from training.losses import faces
from training.models.visual import VisualEncoder, VisualSize
from training.trainers.samples import Array, Clips, Look, Sample, run_of_frames

SCHEDULES: Final = {
    "debug": Schedule(steps=3, batch=4, rate=1e-3, ema=0.9, save_every=2, log_every=1, loaders=1),
    "full": Schedule(steps=20_000, batch=24, rate=4e-4, warm_up=300, bf16=True),
}
SIZES: Final = {"debug": VisualSize(blocks=3, features=32, crop_px=64), "full": VisualSize()}
FRAMES: Final = {"debug": 2, "full": 4}
WEIGHTS: Final = {"classification": 1.0, "affect": 2.0, "intensity": 2.0}
RIG_SHOWN: Final = 0.7
"""share of samples in which the rig may be seen; in the others the picture alone must do"""


class VisualTrainer(Trainer):
    name: ClassVar[str] = "visual"
    averaged: ClassVar[tuple[str, ...]] = ("visual",)

    def __init__(self, data: Path, config: str) -> None:
        self.schedule, size = SCHEDULES[config], SIZES[config]
        self.frames = FRAMES[config]
        self.size = asdict(size)
        self.clips = Clips(data, "train", _has_face)
        self.modules: dict[str, nn.Module] = {
            "visual": VisualEncoder(size, pretrained=config == "full")
        }
        self.crop_px = size.crop_px

    def draw(self, rng: np.random.Generator, step: int) -> Mapping[str, Array]:
        return self.clips.gather(self.schedule.batch, lambda: self._row(rng), "shows a face")

    def _row(self, rng: np.random.Generator) -> dict[str, Array] | None:
        sample = self.clips[self.clips.draw(rng)]
        frames = run_of_frames(sample.clip.found, self.frames, rng)
        if frames is None:
            return None
        look = Look.draw(rng, self.crop_px)
        shown = np.float32(rng.random() < RIG_SHOWN)
        crops = [look.picture(sample.clip.frame(int(t)), self.crop_px) for t in frames]
        return face_row(sample, frames, look, crops, shown)

    def losses(self, batch: Batch, step: int) -> Iterator[tuple[str, Parts, Mapping[str, float]]]:
        encoder = self.modules["visual"]
        assert isinstance(encoder, VisualEncoder)
        seen = encoder.watch(batch["crop"], batch["rig"])
        yield "visual", affect_losses(seen, batch), WEIGHTS

    def pictures(self, batch: Batch, averaged: Mapping[str, nn.Module]) -> Mapping[str, Tensor]:
        return {"crops": torch.cat(list(batch["crop"][:8, 0]), dim=2)}


def face_row(
    sample: Sample, frames: Array, look: Look, crops: list[F32], shown: np.float32
) -> dict[str, Array]:
    """Crops [T, 3, S, S], their rig (times ``shown``) and their labels."""
    labels = sample.labels
    return {
        "crop": np.stack(crops),
        "rig": look.rig(sample.clip.blendshapes[frames]) * shown,
        "emotion": np.array(sample.emotion, np.int64),
        "affect": np.stack([labels.valence[frames], labels.arousal[frames]], axis=1),
        "intensity": labels.intensity[frames, None],
        "known": labels.known[frames, None],
    }


def affect_losses(said: tuple[Tensor, ...], batch: Batch) -> dict[str, Tensor]:
    """Eq. 5 and 7 of EAP for an encoder's answers [B, T, ...], in float32."""
    _, emotion, affect, intensity = (part.float() for part in said[:4])
    known = batch["known"]
    return {
        "classification": faces.classification(emotion, batch["emotion"]),
        "affect": faces.intensity(affect, batch["affect"], known),
        "intensity": faces.intensity(intensity, batch["intensity"], known),
    }


def _has_face(info: ClipInfo, frames: int) -> bool:
    return frames > 0
