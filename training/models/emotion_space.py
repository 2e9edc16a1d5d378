"""EcoFace's emotion space: a voice and a face encoded so that one feeling is one place (eq. 3-7).

The paper's voice encoder is HuBERT's network and its face encoder a ResNet over rendered pictures,
both learned; there is too little to learn that from here. So the voice is told by mean and
deviation of what the frozen audio backbone hears, over the two seconds before a step, and the face
by its rig sequence, through dilated convolutions. An emotion of a certain intensity, where nobody
is heard, is where its examples lie on average.
Legend: B batch, T steps of 20 ms, F features of the audio backbone, K shapes, D of the space.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from face.types import BLENDSHAPES, EMOTIONS
from training.models.layers import Scale
from training.models.voice_rig import Hearing, VoiceRigSize

NEUTRAL = EMOTIONS.index("neutral")


@dataclass(frozen=True, kw_only=True)
class EmotionSpaceSize:
    """Of the audio backbone as VoiceRigSize has it; ``space`` is D, ``memory`` the steps that a
    voice is judged by, ``piece`` the steps of a face that is exported."""

    width: int
    heads: int
    layers: int
    past: int
    channels: int
    space: int
    memory: int
    piece: int


def hearing_of(size: EmotionSpaceSize) -> Hearing:
    """The audio front end of a space."""
    return Hearing(
        VoiceRigSize(
            width=size.width, heads=size.heads, layers=size.layers, past=size.past,
            channels=1, dilations=(1,), components=1,
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


class EmotionSpace(nn.Module):
    """The face's side: a rig sequence [1, T, K] to its place [1, D] (the mean over time)."""

    places: Tensor

    def __init__(self, size: EmotionSpaceSize) -> None:
        super().__init__()
        self.size = size
        features = hearing_of(size).features
        self.voice, self.face = VoiceEncoder(features, size), FaceEncoder(size)
        self.register_buffer("places", torch.zeros(len(EMOTIONS), size.space))

    def forward(self, rig_BTK: Tensor) -> Tensor:
        z_BTD: Tensor = self.face(rig_BTK)
        return z_BTD.mean(dim=1)

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
