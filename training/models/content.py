"""What a face says, whatever it feels: sound asks, the picture answers (CDRL's CCRL, eq. 1).

The picture is seen by the face landmarker's trunk and a small mapping after it, which stand in for
ArcFace and the paper's M; the sound is heard by the first layers of Moonshine, in XLSR's stead.
Neither of what others trained is trained here. What is answered is made of the picture's features
alone: the sound says where to look. A generator may also be held to the rig that it makes before
it draws (section 3.3): then the 52 shapes are what there is to look at.
Legend: B batch, C channels, H height, W width, N places of the picture, S steps, F features of the
audio backbone, A heads, D features.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from face.types import BLENDSHAPES
from training.models.face_backbone import lit
from training.models.layers import Scale
from training.models.trunk import FaceTrunk

STEPS: Final = 10
"""steps of 20 ms that are heard of a picture's moment: 0.2 s with the moment in its middle"""


@dataclass(frozen=True, kw_only=True)
class ContentSize:
    """``parts`` of the trunk, side of its pictures in pixels, ``features`` of the audio backbone,
    ``width`` D, attention ``heads``. ``hears`` False: nothing asks but what was learned (CCRL w/o
    audio). ``rigged``: rigs are seen, and no pictures."""

    parts: int
    crop_px: int
    features: int
    width: int
    heads: int
    hears: bool = True
    rigged: bool = False


class Content(nn.Module):
    """crop [B, 3, S, S] RGB in 0..1, or rig [B, 52], and heard [B, STEPS, F] -> content [B, D]."""

    def __init__(self, size: ContentSize, pretrained: bool = False) -> None:
        super().__init__()
        self.size = size
        width = size.width
        if size.rigged:
            places = channels = len(BLENDSHAPES)
            self.basis = nn.Parameter(torch.randn(places, width))
        else:
            self.trunk = FaceTrunk(size.parts)
            if pretrained:
                self.trunk.load_landmarker()
            self.trunk.requires_grad_(False)
            places, channels = (size.crop_px >> size.parts) ** 2, self.trunk.channels[-1]
            self.mapping = nn.Sequential(
                nn.Conv2d(channels, width, 3, padding=1), nn.GELU(),
                nn.Conv2d(width, width, 3, padding=1), nn.GELU(),
            )  # fmt: skip
        self.seen_scale = Scale(channels)
        self.mapped = nn.Linear(width, width)
        self.place = nn.Parameter(0.1 * torch.randn(places, width))
        self.heard_scale = Scale(size.features)
        self.asks: nn.Module
        if size.hears:
            self.asks = nn.Sequential(nn.Flatten(), nn.Linear(STEPS * size.features, width))
        self.asked = nn.Parameter(0.1 * torch.randn(width))
        self.key, self.value = nn.Linear(width, width), nn.Linear(width, width)
        self.leave = nn.Linear(width, width)

    def forward(self, shown: Tensor, heard_BSF: Tensor) -> Tensor:
        return self.answer(self.see(shown), self.ask(heard_BSF))

    def see(self, shown: Tensor) -> Tensor:
        """What the trunk makes of a picture [B, C, H, W]; no training changes it. A rig as it is
        [B, 52]."""
        if self.size.rigged:
            return shown
        seen: Tensor = self.trunk(lit(shown))[1]
        return seen

    def ask(self, heard_BSF: Tensor) -> Tensor:
        """What a sound asks for, the query [B, D]."""
        if not self.size.hears:
            return self.asked.expand(len(heard_BSF), -1) + 0 * heard_BSF.sum(dim=(1, 2))[:, None]
        query: Tensor = self.asks(self.heard_scale(heard_BSF).clamp(-5, 5))
        return query + self.asked

    def answer(self, seen: Tensor, query_BD: Tensor) -> Tensor:
        """Cross_Att (eq. 1): the content [B, D]."""
        mapped_BND = self._map(seen)
        look_BAN = self._look(mapped_BND, query_BD)
        value_BNAD = self._heads(self.value(mapped_BND))
        content: Tensor = self.leave(torch.einsum("ban,bnad->bad", look_BAN, value_BNAD).flatten(1))
        return content

    def attention(self, seen: Tensor, query_BD: Tensor) -> Tensor:
        """Where it looks [B, H, W], or at which shapes [B, 52]: the mean over heads; sums to 1."""
        look_BN = self._look(self._map(seen), query_BD).mean(dim=1)
        return look_BN if self.size.rigged else look_BN.reshape(len(look_BN), *seen.shape[2:])

    def settle(self, seen_NC: Tensor, heard_NF: Tensor) -> None:
        """Bring what is seen and heard to one scale, before training."""
        self.seen_scale.fit(seen_NC)
        self.heard_scale.fit(heard_NF)

    def _map(self, seen: Tensor) -> Tensor:
        if self.size.rigged:
            mapped: Tensor = self.mapped(self.seen_scale(seen)[:, :, None] * self.basis)
            return mapped
        level = self.seen_scale(seen.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        mapped = self.mapped(self.mapping(level).flatten(2).transpose(1, 2))
        return mapped

    def _look(self, mapped_BND: Tensor, query_BD: Tensor) -> Tensor:
        key_BNAD = self._heads(self.key(mapped_BND + self.place))
        query_BAD = self._heads(query_BD)
        scores_BAN = torch.einsum("bad,bnad->ban", query_BAD, key_BNAD)
        return F.softmax(scores_BAN / query_BAD.shape[2] ** 0.5, dim=2)

    def _heads(self, x: Tensor) -> Tensor:
        """Features [..., D] of each head [..., A, D / A]."""
        return x.reshape(*x.shape[:-1], self.size.heads, -1)
