"""What trained encoders say of clips, frame by frame: read once, kept, never trained here."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import torch

from engine.types import F32
from training.models.audio_backbone import STEP_SAMPLES
from training.models.intensity import READING, reading
from training.models.speech import SpeechEncoder
from training.models.visual import VisualEncoder
from training.restore import restore
from training.trainers.samples import Augmentation, Sample

_AT_ONCE: Final = 64


@dataclass(frozen=True)
class Readings:
    """Of each frame: ``face`` and ``voice`` [T, 11], ``present`` [T, 2] where they were there."""

    face: F32
    voice: F32
    present: F32


class Reader:
    """Two encoders of runs, and what they read so far. Safe to use from several threads."""

    def __init__(self, visual: Path, speech: Path) -> None:
        self.visual = restore(visual, "visual", VisualEncoder)
        self.speech = restore(speech, "speech", SpeechEncoder)
        self._kept: dict[str, Readings] = {}
        self._lock = threading.Lock()

    def read(self, sample: Sample) -> Readings:
        """What is read of a clip, as the live graph would read it."""
        key = sample.clip.info.key
        with self._lock:
            if key not in self._kept:
                self._kept[key] = self._read(sample)
            return self._kept[key]

    def _read(self, sample: Sample) -> Readings:
        clip = sample.clip
        steps = len(clip.sound) // STEP_SAMPLES
        frames = len(clip) or steps
        face, voice = (np.zeros((frames, READING), np.float32) for _ in range(2))
        present = np.zeros((frames, 2), np.float32)
        with torch.no_grad():
            if len(clip):
                face[:] = self.look(sample)
                present[:, 0] = clip.found
            if steps:
                whole = clip.samples[: steps * STEP_SAMPLES]
                heard = self.speech.listen(torch.from_numpy(whole)[None])
                readings = reading(*heard[1:4])[0, :frames].numpy()
                voice[: len(readings)] = readings
                present[: len(readings), 1] = 1
        return Readings(face, voice, present)

    def look(self, sample: Sample) -> F32:
        """The visual encoder's readings [T, 11]; it forgets where the face is lost."""
        clip, side = sample.clip, self.visual.size.crop_px
        augmentation = Augmentation.plain(side)
        readings = np.zeros((len(clip), READING), np.float32)
        found = np.flatnonzero(clip.found)
        state, before = self.visual.begin(1), -2
        with torch.no_grad():
            for start in range(0, len(found), _AT_ONCE):
                part = found[start : start + _AT_ONCE]
                crops = np.stack([augmentation.picture(clip.frame(int(t)), side) for t in part])
                rigs = torch.from_numpy(clip.blendshapes[part])
                frames = self.visual.look(torch.from_numpy(crops), rigs)
                for position, t in enumerate(part):
                    if t != before + 1:
                        state = self.visual.begin(1)
                    out = self.visual.judge(frames[position : position + 1], state)
                    state, before = out.state, int(t)
                    readings[t] = reading(*out[1:4])[0].numpy()
        return readings
