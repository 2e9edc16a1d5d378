"""Train the fusion of face and voice to a frame's intensity, on top of two trained encoders."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import ClassVar, Final

import numpy as np
import torch
from torch import Tensor, nn

from engine.errors import UsageError
from training.loop import Batch, Parts, Schedule, Trainer
from training.losses import faces
from training.models.intensity import IntensityFusion, reading
from training.models.speech import MEL_BINS, STEP_MELS, SpeechEncoder
from training.models.visual import VisualEncoder
from training.restore import restore
from training.trainers.samples import Array, Clips, Look, run_of_frames
from training.trainers.visual import face_row

SCHEDULES: Final = {
    "debug": Schedule(steps=3, batch=2, rate=1e-3, ema=0.9, save_every=2, log_every=1, loaders=1),
    "full": Schedule(steps=4_000, batch=8, rate=1e-3, warm_up=100, ema=0.995),
}
FRAMES: Final = {"debug": 3, "full": 24}
WEIGHTS: Final = {"classification": 0.3, "affect": 2.0, "intensity": 2.0, "concordance": 0.3}
HIDDEN: Final = 0.2
"""how often the face, or the voice, is taken away from a sample"""


class IntensityTrainer(Trainer):
    name: ClassVar[str] = "intensity"
    averaged: ClassVar[tuple[str, ...]] = ("intensity",)

    def __init__(self, data: Path, config: str, visual: Path | None, speech: Path | None) -> None:
        if visual is None or speech is None:
            raise UsageError("intensity needs trained encoders: give --visual RUN and --speech RUN")
        self.schedule, self.frames = SCHEDULES[config], FRAMES[config]
        self.clips = Clips(data, "train", lambda info, frames: frames > 0)
        self.size = {"features": 32}
        self.modules: dict[str, nn.Module] = {"intensity": IntensityFusion(32)}
        self.visual = restore(visual, "visual", VisualEncoder)
        self.speech = restore(speech, "speech", SpeechEncoder)

    def draw(self, rng: np.random.Generator, step: int) -> Mapping[str, Array]:
        return self.clips.gather(self.schedule.batch, lambda: self._row(rng), "shows a face")

    def _row(self, rng: np.random.Generator) -> dict[str, Array] | None:
        crop_px = self.visual.size.crop_px
        sample = self.clips[self.clips.draw(rng)]
        clip = sample.clip
        frames = run_of_frames(clip.found, self.frames, rng)
        if frames is None:
            return None
        look = Look.draw(rng, crop_px)
        present = np.ones((self.frames, 2), np.float32)
        spoken = clip.mel[frames[0] * STEP_MELS : (frames[0] + self.frames) * STEP_MELS]
        mel = np.zeros((self.frames * STEP_MELS, MEL_BINS), np.float32)
        mel[: len(spoken)] = spoken
        present[len(spoken) // STEP_MELS :, 1] = 0
        hidden = rng.random()
        if hidden < HIDDEN and present[:, 1].any():
            present[:, 0] = 0
        elif hidden > 1 - HIDDEN:
            present[:, 1] = 0
        crops = [look.picture(clip.frame(int(t)), crop_px) for t in frames]
        row = face_row(sample, frames, look, crops, np.float32(1))
        return row | {"mel": mel, "present": present}

    def losses(self, batch: Batch, step: int) -> Iterator[tuple[str, Parts, Mapping[str, float]]]:
        fusion = self.modules["intensity"]
        assert isinstance(fusion, IntensityFusion)
        face, voice = self._readings(batch)
        state = fusion.begin(len(face))
        steps = []
        for t in range(self.frames):
            steps.append(fusion(face[:, t], voice[:, t], batch["present"][:, t], state))
            state = steps[-1].state
        emotion, affect, intensity = (torch.stack([s[i] for s in steps], 1) for i in range(3))
        known = batch["known"]
        parts = {
            "classification": faces.classification(emotion, batch["emotion"]),
            "affect": faces.intensity(affect, batch["affect"], known),
            "intensity": faces.intensity(intensity, batch["intensity"], known),
            "concordance": faces.concordance(intensity * known, batch["intensity"] * known),
        }
        yield "intensity", parts, WEIGHTS

    def pictures(self, batch: Batch, averaged: Mapping[str, nn.Module]) -> Mapping[str, Tensor]:
        return {"crops": torch.cat(list(batch["crop"][0, :8]), dim=2)}

    def _readings(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """What the encoders say of each frame [B, T, 11]; they aren't trained here."""
        with torch.no_grad():
            self.visual.to(batch["crop"].device)
            self.speech.to(batch["crop"].device)
            seen = self.visual.watch(batch["crop"], batch["rig"])
            heard = self.speech.listen(batch["mel"])
            return reading(*seen[1:4]), reading(*heard[1:4])
