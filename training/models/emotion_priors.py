"""What an emotion looks like, whoever shows it: learned priors met with a picture (CDRL's CERL).

A prior is eight learned tokens through a small token encoder, in CLIP's text encoder's stead; a
picture is seen by the visual emotion encoder, whose space the priors are learned in and which stays
as it is. How a picture goes with each of the seven priors is its emotion representation. A small
network learns to say the same of a picture's rig alone, for generators that make a rig before they
draw (section 3.3).
Legend: B batch, E emotions, N places of the picture, D features of the space.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from face.types import BLENDSHAPES, EMOTIONS
from training.models.layers import Scale
from training.models.visual import Affect, VisualEncoder, VisualSize
from training.models.xception import CHANNELS, NAMED

PRIORS: Final = tuple(name for name in EMOTIONS if name != "contempt")
"""the papers' seven"""
_NOISE: Final = 0.3
_DROPPED: Final = 0.2


@dataclass(frozen=True, kw_only=True)
class EmotionPriorsSize:
    """Of the visual encoder as VisualSize has it; ``tokens`` of a prior, their ``width``.
    ``attention``: priors ask the picture's places instead (CERL CA)."""

    parts: int
    features: int
    crop_px: int
    tokens: int
    width: int
    attention: bool = False


class EmotionPriors(nn.Module):
    """crop [B, 3, S, S] RGB in 0..1 -> how it goes with each of PRIORS [B, 7], in -1..1."""

    def __init__(self, size: EmotionPriorsSize) -> None:
        super().__init__()
        self.size = size
        seen = VisualSize(parts=size.parts, features=size.features, crop_px=size.crop_px)
        self.visual = VisualEncoder(seen).requires_grad_(False)
        self.tokens = nn.Parameter(torch.randn(len(PRIORS), size.tokens, size.width))
        self.encoder = TokenEncoder(size.width, size.features)
        if size.attention:
            channels = sum(self.visual.trunk.channels) + CHANNELS
            self.key = nn.Linear(channels, size.features)
            self.value = nn.Linear(channels, size.features)
        self.rig_scale = Scale(len(BLENDSHAPES), _NOISE)
        self.rigs = nn.Sequential(
            nn.Linear(len(BLENDSHAPES), size.features), nn.GELU(), nn.Dropout(_DROPPED),
            nn.Linear(size.features, size.features), nn.GELU(), nn.Dropout(_DROPPED),
            nn.Linear(size.features, len(PRIORS)),
        )  # fmt: skip

    def priors(self) -> Tensor:
        """T [7, D], of unit length."""
        return F.normalize(self.encoder(self.tokens), dim=1)

    def forward(self, crop_BCHW: Tensor) -> Tensor:
        return self.of_backbone(self.visual.backbone(crop_BCHW))

    def of_backbone(self, backbone_BF: Tensor) -> Tensor:
        """The same of what the visual encoder's backbone makes of a picture [B, F]."""
        priors_ED = self.priors()
        if not self.size.attention:
            return self.embedding(backbone_BF) @ priors_ED.T
        places_BNC = self._places(backbone_BF)
        scores_BEN = priors_ED @ self.key(places_BNC).transpose(1, 2)
        look_BEN = F.softmax(scores_BEN / self.size.features**0.5, dim=2)
        attended_BED = F.normalize(look_BEN @ self.value(places_BNC), dim=2)
        return (attended_BED * priors_ED).sum(dim=2)

    def of_rig(self, rig_BK: Tensor) -> Tensor:
        """What a picture with these blendshapes [B, 52] probably says [B, 7]."""
        logits: Tensor = self.rigs(self.rig_scale(rig_BK).clamp(-5, 5))
        return logits

    def embedding(self, backbone_BF: Tensor) -> Tensor:
        """v [B, D], of unit length: a picture alone, without the tracker's shapes."""
        unknown = backbone_BF.new_zeros(len(backbone_BF), len(BLENDSHAPES))
        frame = self.visual.understand(backbone_BF, unknown)
        seen: Affect = self.visual.judge(frame, self.visual.begin(len(frame)))
        return seen.embedding

    def _places(self, backbone_BF: Tensor) -> Tensor:
        """The backbone's features place by place [B, N, C], each about as large as usual."""
        level = self.visual.seen_scale(backbone_BF)[:, : -len(NAMED)].clamp(-5, 5)
        # Map after map, each channel's places lie together.
        channels = sum(self.visual.trunk.channels) + CHANNELS
        places: Tensor = level.reshape(len(level), channels, -1).transpose(1, 2)
        return places


class TokenEncoder(nn.Module):
    """Tokens [E, M, W] -> a place in the space [E, D]: one layer of a transformer, their mean."""

    def __init__(self, width: int, features: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.mix = nn.Linear(width, 3 * width)
        self.fc1, self.fc2 = nn.Linear(width, 2 * width), nn.Linear(2 * width, width)
        self.leave = nn.Linear(width, features)

    def forward(self, x_EMW: Tensor) -> Tensor:
        query, key, value = self.mix(self.norm1(x_EMW)).chunk(3, dim=2)
        attention = F.softmax(query @ key.transpose(1, 2) / query.shape[2] ** 0.5, dim=2)
        x_EMW = x_EMW + attention @ value
        x_EMW = x_EMW + self.fc2(F.gelu(self.fc1(self.norm2(x_EMW))))
        out: Tensor = self.leave(x_EMW.mean(dim=1))
        return out
