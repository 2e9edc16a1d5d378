"""Train the speech emotion encoder: emotion of a voice, and the face's valence-arousal if seen."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import ClassVar, Final

import numpy as np
from torch import Tensor, nn

from engine.types import F32
from training.loop import Batch, Parts, Schedule, Trainer
from training.models.speech import MEL_BINS, STEP_MELS, SpeechEncoder, SpeechSize
from training.trainers.samples import Array, Clips
from training.trainers.visual import affect_losses

SCHEDULES: Final = {
    "debug": Schedule(steps=3, batch=4, rate=1e-3, ema=0.9, save_every=2, log_every=1, loaders=1),
    "full": Schedule(steps=15_000, batch=32, rate=6e-4, warm_up=300),
}
SIZES: Final = {
    "debug": SpeechSize(channels=16, dilations=(1, 2), features=32),
    "full": SpeechSize(),
}
STEPS: Final = {"debug": 10, "full": 75}
"""length of a sample in steps of 40 ms"""
WEIGHTS: Final = {"classification": 1.0, "affect": 1.0, "intensity": 1.0}


class SpeechTrainer(Trainer):
    name: ClassVar[str] = "speech"
    averaged: ClassVar[tuple[str, ...]] = ("speech",)

    def __init__(self, data: Path, config: str) -> None:
        self.schedule, size = SCHEDULES[config], SIZES[config]
        self.steps = STEPS[config]
        self.size = asdict(size) | {"dilations": list(size.dilations)}
        self.clips = Clips(data, "train")
        self.modules: dict[str, nn.Module] = {"speech": SpeechEncoder(size)}

    def draw(self, rng: np.random.Generator, step: int) -> Mapping[str, Array]:
        return self.clips.gather(self.schedule.batch, lambda: self._row(rng), "has sound")

    def losses(self, batch: Batch, step: int) -> Iterator[tuple[str, Parts, Mapping[str, float]]]:
        encoder = self.modules["speech"]
        assert isinstance(encoder, SpeechEncoder)
        yield "speech", affect_losses(encoder.listen(batch["mel"]), batch), WEIGHTS

    def pictures(self, batch: Batch, averaged: Mapping[str, nn.Module]) -> Mapping[str, Tensor]:
        mel = batch["mel"][0].T.flip(0)
        spread = (mel - mel.min()) / (mel.max() - mel.min()).clamp(min=1e-3)
        return {"mel": spread[None].expand(3, -1, -1).contiguous()}

    def _row(self, rng: np.random.Generator) -> dict[str, Array] | None:
        sample = self.clips[self.clips.draw(rng)]
        clip, labels = sample.clip, sample.labels
        if len(clip.mel) < STEP_MELS:
            return None
        heard = len(clip.mel) // STEP_MELS
        first = int(rng.integers(max(1, heard - self.steps + 1)))
        mel = clip.mel[first * STEP_MELS : (first + self.steps) * STEP_MELS]
        mel = np.pad(mel, ((0, self.steps * STEP_MELS - len(mel)), (0, 0)), mode="edge")
        row: dict[str, Array] = {
            "mel": _changed(mel, rng),
            "emotion": np.array(sample.emotion, np.int64),
            "affect": np.zeros((self.steps, 2), np.float32),
            "intensity": np.zeros((self.steps, 1), np.float32),
            "known": np.zeros((self.steps, 1), np.float32),
        }
        # A step of four mel frames is one picture at 25 a second: the face's labels hold.
        seen = slice(first, min(first + self.steps, len(clip)))
        count = max(0, seen.stop - seen.start)
        if count:
            row["affect"][:count, 0] = labels.valence[seen]
            row["affect"][:count, 1] = labels.arousal[seen]
            row["intensity"][:count, 0] = labels.intensity[seen]
            row["known"][:count, 0] = labels.known[seen]
        return row


def _changed(mel: F32, rng: np.random.Generator) -> F32:
    """Another microphone, another room: a tilt, a noise floor, a band and a moment missing."""
    bins = np.linspace(-1, 1, MEL_BINS, dtype=np.float32)
    out = mel + np.float32(rng.normal(0, 0.5)) + np.float32(rng.normal(0, 0.5)) * bins
    floor = float(np.quantile(out, rng.uniform(0, 0.15)))
    out = np.logaddexp(out, floor + rng.normal(0, 0.3, out.shape)).astype(np.float32)
    low, width = int(rng.integers(MEL_BINS)), int(rng.integers(12))
    out[:, low : low + width] = floor
    start, length = int(rng.integers(len(out))), int(rng.integers(16))
    out[start : start + length] = floor
    return out
