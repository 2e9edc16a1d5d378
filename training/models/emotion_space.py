"""EcoFace's emotion space: a voice and a face encoded so that one feeling is one place (eq. 3-7).

The paper's voice encoder is HuBERT's network and its face encoder a ResNet over rendered pictures,
both learned; there is too little to learn that from here. So the voice is told by mean and
deviation of what the frozen audio backbone hears, over the two seconds before a step, and the face
through dilated convolutions: by its rig sequence, or by what the frozen face backbone sees of a
sequence of crops. An emotion of a certain intensity, where nobody is heard, is where its examples
lie on average.
Legend: B batch, T steps of 20 ms, P pictures of 40 ms, F features of the audio backbone, S of the
face backbone, K shapes, D of the space.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from engine.errors import MienError
from face.types import BLENDSHAPES, EMOTIONS
from training.models.face_backbone import FaceBackbone
from training.models.layers import Scale
from training.models.voice_rig import Hearing, VoiceRigSize

NEUTRAL = EMOTIONS.index("neutral")
STEPS_A_PICTURE: Final = 2
_DROPPED: Final = 0.3


@dataclass(frozen=True, kw_only=True)
class EmotionSpaceSize:
    """Of the audio backbone as VoiceRigSize has it; ``space`` is D, ``memory`` the steps that a
    voice is judged by, ``piece`` the steps of a face that is exported; ``parts`` and ``crop_px``
    are the face backbone's, 0 where crops aren't learned from."""

    width: int
    heads: int
    layers: int
    past: int
    channels: int
    space: int
    memory: int
    piece: int
    parts: int = 0
    crop_px: int = 0


def hearing_of(size: EmotionSpaceSize) -> Hearing:
    """The audio front end of a space."""
    return Hearing(
        VoiceRigSize(
            width=size.width, heads=size.heads, layers=size.layers, past=size.past,
            heard=1, channels=1, dilations=(1,), components=1,
        )
    )  # fmt: skip


class VoiceEncoder(nn.Module):
    """What is heard [B, T, F] -> the space [B, T, D], of unit length; nothing looks ahead."""

    def __init__(self, features: int, size: EmotionSpaceSize) -> None:
        super().__init__()
        self.memory = size.memory
        self.scale = Scale(features)
        self.enter = nn.Linear(2 * features, size.channels)
        self.leave = nn.Linear(size.channels, size.space)

    def forward(self, heard_BTF: Tensor) -> Tensor:
        x_BTF = self.scale(heard_BTF).clamp(-5, 5)
        both = torch.cat([x_BTF, x_BTF.square()], dim=2).cumsum(dim=1)
        before = F.pad(both, (0, 0, self.memory, 0))[:, : both.shape[1]]
        steps = torch.arange(1, both.shape[1] + 1, device=both.device).clamp(max=self.memory)
        mean, square = ((both - before) / steps[None, :, None]).chunk(2, dim=2)
        spread = torch.sqrt(F.relu(square - mean.square()) + 1e-3)
        x = F.gelu(self.enter(torch.cat([mean, spread], dim=2)))
        return F.normalize(self.leave(x), dim=2)


class FaceEncoder(nn.Module):
    """A rig sequence [B, T, K] -> the space [B, T, D], of unit length."""

    def __init__(self, size: EmotionSpaceSize) -> None:
        super().__init__()
        self.enter = nn.Conv1d(len(BLENDSHAPES), size.channels, 5, padding=2)
        self.layers = nn.ModuleList(
            nn.Conv1d(size.channels, size.channels, 3, dilation=d, padding=d) for d in (1, 2, 4, 8)
        )
        self.leave = nn.Conv1d(size.channels, size.space, 1)

    def forward(self, rig_BTK: Tensor) -> Tensor:
        x = F.gelu(self.enter(rig_BTK.transpose(1, 2)))
        for layer in self.layers:
            x = x + F.gelu(layer(x))
        return F.normalize(self.leave(x).transpose(1, 2), dim=2)


class CropEncoder(nn.Module):
    """What is seen of crops, 25 a second [B, P, S] -> the space [B, T, D], of unit length; a still
    is one picture, and lies where it would if it were held."""

    def __init__(self, seen: int, size: EmotionSpaceSize) -> None:
        super().__init__()
        self.scale = Scale(seen)
        self.enter = nn.Sequential(
            nn.Dropout(_DROPPED), nn.Linear(seen, size.channels), nn.GELU(), nn.Dropout(_DROPPED)
        )
        self.layers = nn.ModuleList(
            nn.Conv1d(
                size.channels, size.channels, 3, dilation=d, padding=d, padding_mode="replicate"
            )
            for d in (1, 2, 4)
        )
        self.leave = nn.Conv1d(size.channels, size.space, 1)

    def forward(self, seen_BPS: Tensor) -> Tensor:
        x = self.enter(self.scale(seen_BPS).clamp(-5, 5)).transpose(1, 2)
        for layer in self.layers:
            x = x + F.gelu(layer(x))
        z_BPD = F.normalize(self.leave(x).transpose(1, 2), dim=2)
        return z_BPD.repeat_interleave(STEPS_A_PICTURE, dim=1)


class EmotionSpace(nn.Module):
    """The face's side: a rig sequence [1, T, K] to its place [1, D] (the mean over time)."""

    places: Tensor

    def __init__(self, size: EmotionSpaceSize) -> None:
        super().__init__()
        self.size = size
        features = hearing_of(size).features
        self.voice, self.face = VoiceEncoder(features, size), FaceEncoder(size)
        if size.parts:
            self.backbone = FaceBackbone(size.parts, size.crop_px)
            self.crop = CropEncoder(self.backbone.seen, size)
        self.register_buffer("places", torch.zeros(len(EMOTIONS), size.space))

    def forward(self, rig_BTK: Tensor) -> Tensor:
        z_BTD: Tensor = self.face(rig_BTK)
        return z_BTD.mean(dim=1)

    def eyes(self) -> FaceBackbone:
        """What crops are seen by. Raises MienError where none were learned from."""
        if not self.size.parts:
            raise MienError(
                "this run of emotion_space never learned from crops, only from rigs and voices; "
                "train it anew, on clips with pictures"
            )
        return self.backbone

    def remember(self, z_BD: Tensor, label_B: Tensor, keep: float = 0.99) -> None:
        """Where examples of each emotion lie, on average of late."""
        with torch.no_grad():
            for emotion in sorted(set(label_B.tolist())):
                if emotion >= 0:
                    mean = z_BD[label_B == emotion].mean(dim=0).float()
                    fresh = not self.places[emotion].any()
                    self.places[emotion].lerp_(mean, 1.0 if fresh else 1 - keep)

    def place(self, emotion_BE: Tensor, intensity_B: Tensor) -> Tensor:
        """Of emotions by probability [B, 8] at an intensity [B]: from neutral to theirs [B, D]."""
        calm = self.places[NEUTRAL]
        return calm + intensity_B[:, None] * (emotion_BE @ self.places - calm)
