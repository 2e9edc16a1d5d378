"""Visual emotion encoder: an aligned crop and the rig to what the face feels, frame by frame.

One frame is enough; a recurrent state makes a few frames better, and never looks ahead.
Legend: B batch, T time, C channels, H height, W width, D features.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from engine.types import BLENDSHAPES, EMOTIONS
from training.models.layers import AffectHeads, GRUStep
from training.models.lite0 import Lite0

CROP_PX: Final = 160
INNER: Final = 0.8
"""of the crop's side is looked at: the face with little around it"""
_GREY: Final = (0.299, 0.587, 0.114)
_MEAN, _SPREAD = 0.45, 0.25  # of the pictures that the backbone first saw
_DROPPED: Final = 0.3


@dataclass(frozen=True, kw_only=True)
class VisualSize:
    """``blocks`` of the backbone, ``features`` of embedding and state, input side in pixels."""

    blocks: int = 15
    features: int = 128
    crop_px: int = CROP_PX


class Affect(NamedTuple):
    """``embedding`` [B, D] of unit length, ``emotion`` logits [B, 8], ``valence_arousal`` [B, 2] in
    -1..1, ``intensity`` [B, 1] in 0..1, and the ``state`` [B, S] to hand to the next step."""

    embedding: Tensor
    emotion: Tensor
    valence_arousal: Tensor
    intensity: Tensor
    state: Tensor


class VisualEncoder(nn.Module):
    """crop [B, 3, 160, 160] RGB in 0..1, rig [B, 52], state [B, D] (zeros at first) -> Affect."""

    def __init__(self, size: VisualSize = VisualSize(), pretrained: bool = False) -> None:
        super().__init__()
        self.size = size
        self.backbone = Lite0(size.blocks)
        if pretrained:
            self.backbone.load_imagenet()
        shapes = nn.Linear(len(BLENDSHAPES), 64)
        with torch.no_grad():  # most stay below a third: bring them to the pixels' scale
            shapes.weight.mul_(4)
        self.rig = nn.Sequential(shapes, nn.LeakyReLU(0.1))
        self.frame = nn.Sequential(
            nn.Dropout(_DROPPED),
            nn.Linear(self.backbone.channels + 64, size.features),
            nn.LeakyReLU(0.1),
        )
        self.inner_px = max(32, round(INNER * size.crop_px / 32) * 32)
        self.frozen = 0
        self.step = GRUStep(size.features, size.features)
        self.embed = nn.Linear(2 * size.features, size.features)
        self.heads = AffectHeads(size.features, len(EMOTIONS))

    def look(self, crop_BCHW: Tensor, rig_BD: Tensor) -> Tensor:
        """What one frame shows [B, D], whatever was before."""
        seen = self.backbone(self.lit(crop_BCHW)).mean(dim=(2, 3))
        out: Tensor = self.frame(torch.cat([seen, self.rig(rig_BD)], dim=1))
        return out

    def lit(self, crop_BCHW: Tensor) -> Tensor:
        """The crop's middle in grey, of one brightness and contrast: what colour the light has, and
        how much of it there is, says nothing of a feeling."""
        edge = (self.size.crop_px - self.inner_px) // 2
        inside = crop_BCHW[:, :, edge : edge + self.inner_px, edge : edge + self.inner_px]
        red, green, blue = inside[:, :1], inside[:, 1:2], inside[:, 2:]
        grey = _GREY[0] * red + _GREY[1] * green + _GREY[2] * blue
        apart = grey - grey.mean(dim=(2, 3), keepdim=True)
        contrast = torch.sqrt(apart.square().mean(dim=(2, 3), keepdim=True) + 1e-4)
        even = apart / contrast * _SPREAD + _MEAN
        return torch.cat([even, even, even], dim=1)

    def freeze(self, blocks: int) -> VisualEncoder:
        """Train without the backbone's first ``blocks``: they know edges from ImageNet already."""
        self.frozen = blocks
        for part in self.backbone.first(blocks):
            part.requires_grad_(False)
        return self

    def train(self, mode: bool = True) -> VisualEncoder:
        super().train(mode)
        for part in self.backbone.first(self.frozen):
            part.eval()
        return self

    def judge(self, frame_BD: Tensor, state_BD: Tensor) -> Affect:
        """A frame's features in the light of those before."""
        state = self.step(frame_BD, state_BD)
        embedding = F.normalize(self.embed(torch.cat([frame_BD, state], dim=1)), dim=1, eps=1e-4)
        emotion, valence_arousal, intensity = self.heads(4 * embedding)
        return Affect(embedding, emotion, valence_arousal, intensity, state)

    def forward(self, crop_BCHW: Tensor, rig_BD: Tensor, state_BD: Tensor) -> Affect:
        return self.judge(self.look(crop_BCHW, rig_BD), state_BD)

    def begin(self, batch: int) -> Tensor:
        """The state before the first frame [B, D]."""
        return self.embed.weight.new_zeros(batch, self.size.features)

    def watch(self, crops_BTCHW: Tensor, rigs_BTD: Tensor) -> Affect:
        """A whole sequence; every field of the answer but ``state`` is stacked to [B, T, ...]."""
        batch, frames = rigs_BTD.shape[:2]
        seen = self.look(crops_BTCHW.flatten(0, 1), rigs_BTD.flatten(0, 1))
        seen_BTD = seen.reshape(batch, frames, -1)
        state, steps = self.begin(batch), []
        for t in range(frames):
            steps.append(self.judge(seen_BTD[:, t], state))
            state = steps[-1].state
        stacked = [torch.stack([step[i] for step in steps], dim=1) for i in range(4)]
        return Affect(stacked[0], stacked[1], stacked[2], stacked[3], state)
