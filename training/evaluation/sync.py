"""LSE-D and LSE-C: whether a mouth goes with what is heard, by the sync expert.

As Prajwal et al. (2020) measure with SyncNet, with an expert that reads rigs; so other than theirs.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np
import torch

from engine.errors import MienError
from engine.types import F32
from face.types import FaceTrack
from training.data.talk import STEP_SAMPLES, STEPS_HZ, Talk, talks_of
from training.evaluation.takes import Take
from training.models.lip_sync import LipSync, windows
from training.models.voice_rig import LOOK_AHEAD_STEPS, Hearing
from training.restore import restore

LAGS: Final = 15


class AudioFeatureCache:
    """Audio features of talks [1, T + LOOK_AHEAD_STEPS, F], silence after the end: made once for
    all networks with the same backbone."""

    def __init__(self) -> None:
        self._kept: dict[tuple[bytes, float], torch.Tensor] = {}

    def __call__(self, hearing: Hearing, talk: Talk) -> torch.Tensor:
        sound = np.pad(talk.sound, (0, LOOK_AHEAD_STEPS * STEP_SAMPLES))
        same = float(sum(buffer.double().sum() for buffer in hearing.backbone.buffers()))
        key = hashlib.sha256(sound.tobytes()).digest(), same
        if key not in self._kept:
            with torch.no_grad():
                begun = hearing.backbone.begin(1)
                self._kept[key] = hearing(torch.from_numpy(sound)[None], begun)[0]
        return self._kept[key]


@dataclass(frozen=True)
class InTime:
    """The distance of mouth and sound where they go together best, by how much it is below the
    usual, and by how much the mouth is late then."""

    distance: float
    confidence: float
    late_ms: float


class Expert:
    """A trained sync expert with the audio backbone that it was trained with. Raises MienError
    where that one is another now."""

    def __init__(self, net: LipSync, features: AudioFeatureCache) -> None:
        from training.models.audio_backbone import pretrained_backbone
        from training.recipes.lip_sync import LipSyncRecipe
        from training.trainers.lip_sync import hearing_of

        plan = LipSyncRecipe.full().plan
        self._hearing = hearing_of(plan)
        if self._hearing.features != net.size.features:
            raise MienError("the sync expert has another audio backbone; train lip_sync anew")
        self._hearing.backbone = pretrained_backbone(plan.layers, plan.past, STEP_SAMPLES)
        self._net, self._features = net, features

    def __call__(self, talk: Talk, rig: F32) -> InTime:
        """Of a face [T, 52] that speaks a talk."""
        with torch.no_grad():
            heard = self._features(self._hearing, talk)[:, : len(talk)]
            # an answer of a step is due LOOK_AHEAD_STEPS later, as the expert learned it
            due = np.concatenate([np.repeat(rig[:1], LOOK_AHEAD_STEPS, axis=0), rig])[: len(talk)]
            sounds, mouths = self._net(windows(heard, 1), windows(torch.from_numpy(due)[None], 1))
        apart = np.array([_distance(sounds, mouths, lag) for lag in range(-LAGS, LAGS + 1)])
        late_ms = (int(apart.argmin()) - LAGS) * 1000 / STEPS_HZ
        return InTime(float(apart.min()), float(np.median(apart) - apart.min()), late_ms)


class OfTakes:
    """LSE-D of what was made of a take, for `by_reference`."""

    def __init__(self, run: Path) -> None:
        """A run of lip_sync. Raises MienError."""
        self._expert = Expert(restore(run, "lip_sync", LipSync), AudioFeatureCache())

    def __call__(self, take: Take, tracks: Sequence[FaceTrack]) -> float | None:
        """None where there is no sound, or less than a second of it with a face."""
        if take.clip is None:
            return None
        seen = replace(
            take.clip(),
            blendshapes=np.stack([track.blendshapes for track in tracks]),
            pose=np.stack([track.pose for track in tracks]),
            found=np.array([track.found for track in tracks], np.bool_),
            rig=None,
        )
        talk = next(iter(talks_of([seen])), None)
        if talk is None or len(talk) < STEPS_HZ:
            return None
        return self._expert(talk, np.concatenate([talk.rig[1:], talk.rig[-1:]])).distance


def _distance(sounds: torch.Tensor, mouths: torch.Tensor, lag: int) -> float:
    """Mean distance where the mouth is so many steps late."""
    size = len(sounds) - abs(lag)
    a, b = sounds[max(-lag, 0) :][:size], mouths[max(lag, 0) :][:size]
    return float((a - b).norm(dim=1).mean())
