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

from face.types import BLENDSHAPES, EMOTIONS
from training.models.layers import AffectHeads, GRUStep, Scale
from training.models.trunk import FaceTrunk
from training.models.xception import CHANNELS, NAMED, MiniXception

_GREY: Final = (0.299, 0.587, 0.114)
_MEAN, _SPREAD = 0.45, 0.25  # as pictures of faces have them
_DROPPED: Final = 0.4
_NOISE: Final = 0.3
_CELLS: Final = 2
"""places across, and down, that a face's features are told apart in"""
_BELIEVED, _UNNAMED = 1.0, -4.0
"""how far the names of others are believed before anything is learned, and the logit of what they
have no name for"""
_NEAR: Final = (6, 5)
"""eighths of the crop's side: how close a face is looked at for its expression"""


@dataclass(frozen=True, kw_only=True)
class VisualSize:
    """``parts`` of the trunk, ``features`` of embedding and state, input side in pixels (a multiple
    of 128)."""

    parts: int
    features: int
    crop_px: int


class Affect(NamedTuple):
    """``embedding`` [B, D] of unit length, ``emotion`` logits [B, 8], ``valence_arousal`` [B, 2] in
    -1..1, ``intensity`` [B, 1] in 0..1, and the ``state`` [B, S] to hand to the next step."""

    embedding: Tensor
    emotion: Tensor
    valence_arousal: Tensor
    intensity: Tensor
    state: Tensor


class VisualEncoder(nn.Module):
    """crop [B, 3, 256, 256] RGB in 0..1, rig [B, 52], state [B, D] (zeros at first) -> Affect."""

    def __init__(self, size: VisualSize, pretrained: bool = False) -> None:
        super().__init__()
        self.size = size
        self.trunk, self.expressions = FaceTrunk(size.parts), MiniXception()
        if pretrained:
            self.trunk.load_landmarker()
            self.expressions.load_learned()
        self.fixed.requires_grad_(False)
        middles = torch.stack([_middle(size.crop_px, eighths) for eighths in _NEAR])
        self.register_buffer("middles", middles, persistent=False)
        seen = (sum(self.trunk.channels) + CHANNELS) * _CELLS**2 + len(NAMED)
        self.seen_scale = Scale(seen, _NOISE)
        self.rig_scale = Scale(len(BLENDSHAPES), _NOISE)
        self.rig = nn.Sequential(nn.Linear(len(BLENDSHAPES), 64), nn.LeakyReLU(0.1))
        self.frame = nn.Sequential(
            nn.Dropout(_DROPPED),
            nn.Linear(seen + 64, size.features),
            nn.LeakyReLU(0.1),
            nn.Dropout(_DROPPED),
        )
        self.step = GRUStep(size.features, size.features)
        self.embed = nn.Linear(2 * size.features, size.features)
        self.heads = AffectHeads(size.features, len(EMOTIONS))
        self.first = nn.Linear(len(NAMED), len(EMOTIONS))
        self._begin_with_names()

    def _begin_with_names(self) -> None:
        """What is learned begins at what the network of others says; it knows no contempt."""
        with torch.no_grad():
            self.first.weight.zero_()
            self.first.bias.zero_()
            self.first.bias[EMOTIONS.index("contempt")] = _UNNAMED
            for place, name in enumerate(NAMED):
                self.first.weight[EMOTIONS.index(name), place] = _BELIEVED

    middles: Tensor
    """[N, S/4, S], one for each distance"""

    @property
    def fixed(self) -> nn.ModuleList:
        """What others trained, and no training changes."""
        return nn.ModuleList([self.trunk, self.expressions])

    def look(self, crop_BCHW: Tensor, rig_BD: Tensor) -> Tensor:
        """What one frame shows [B, D + 8], whatever was before."""
        return self.understand(self.backbone(crop_BCHW), rig_BD)

    def backbone(self, crop_BCHW: Tensor) -> Tensor:
        """What the networks of others make of a crop [B, F]: no training changes it."""
        even = lit(crop_BCHW)
        expression = self._expression(even[:, :1])
        cells = [_cells(seen).flatten(1) for seen in (*self.trunk(even), expression)]
        return torch.cat([*cells, self.expressions.name(expression)], dim=1)

    def _expression(self, grey_BCHW: Tensor) -> Tensor:
        """The mean map of the face at two distances, each mirrored, too [B, C, H, W]."""
        middles = self.middles[:, None]
        faces = middles @ grey_BCHW[None, :, 0] @ middles.transpose(2, 3)
        seen = 2 * faces.flatten(0, 1)[:, None] - 1
        maps, mirrored = self.expressions(torch.cat([seen, seen.flip(3)])).chunk(2)
        return torch.stack((maps + mirrored.flip(3)).chunk(len(_NEAR))).mean(dim=0) / 2

    def understand(self, backbone_BF: Tensor, rig_BD: Tensor) -> Tensor:
        """What one frame shows [B, D + 8], by its backbone features: features, and logits of
        EMOTIONS as the network of others has them."""
        seen, shapes = self.seen_scale(backbone_BF), self.rig(self.rig_scale(rig_BD))
        features = self.frame(torch.cat([seen, shapes], dim=1))
        return torch.cat([features, self.first(backbone_BF[:, -len(NAMED) :])], dim=1)

    def settle(self, backbone_BF: Tensor, rigs_BD: Tensor) -> None:
        """Bring what frames show to one scale, before training."""
        self.seen_scale.fit(backbone_BF)
        self.rig_scale.fit(rigs_BD)

    def judge(self, frame_BD: Tensor, state_BD: Tensor) -> Affect:
        """What a frame shows in the light of those before."""
        features, named = frame_BD[:, : self.size.features], frame_BD[:, self.size.features :]
        state = self.step(features, state_BD)
        embedding = F.normalize(self.embed(torch.cat([features, state], dim=1)), dim=1, eps=1e-4)
        emotion, valence_arousal, intensity = self.heads(4 * embedding)
        return Affect(embedding, emotion + named, valence_arousal, intensity, state)

    def forward(self, crop_BCHW: Tensor, rig_BD: Tensor, state_BD: Tensor) -> Affect:
        return self.judge(self.look(crop_BCHW, rig_BD), state_BD)

    def begin(self, batch: int) -> Tensor:
        """The state before the first frame [B, D]."""
        return self.embed.weight.new_zeros(batch, self.size.features)

    def watch(self, crops_BTCHW: Tensor, rigs_BTD: Tensor) -> Affect:
        """A whole sequence; every field of the answer but ``state`` is stacked to [B, T, ...]."""
        seen = self.look(crops_BTCHW.flatten(0, 1), rigs_BTD.flatten(0, 1))
        return self.follow(seen.reshape(*rigs_BTD.shape[:2], -1))

    def follow(self, frames_BTD: Tensor) -> Affect:
        """The same, of frames' features."""
        state, steps = self.begin(len(frames_BTD)), []
        for frame_BD in frames_BTD.unbind(dim=1):
            steps.append(self.judge(frame_BD, state))
            state = steps[-1].state
        stacked = [torch.stack([step[i] for step in steps], dim=1) for i in range(4)]
        return Affect(stacked[0], stacked[1], stacked[2], stacked[3], state)


def lit(crop_BCHW: Tensor) -> Tensor:
    """The crop in grey, of one brightness and contrast: what colour the light has, and how much
    of it there is, says nothing of a feeling."""
    red, green, blue = crop_BCHW[:, :1], crop_BCHW[:, 1:2], crop_BCHW[:, 2:]
    grey = _GREY[0] * red + _GREY[1] * green + _GREY[2] * blue
    apart = grey - grey.mean(dim=(2, 3), keepdim=True)
    contrast = torch.sqrt(apart.square().mean(dim=(2, 3), keepdim=True) + 1e-4)
    even = apart / contrast * _SPREAD + _MEAN
    return torch.cat([even, even, even], dim=1)


def _cells(map_BCHW: Tensor) -> Tensor:
    side = map_BCHW.shape[-1] // _CELLS
    return F.avg_pool2d(map_BCHW, side) if side > 1 else map_BCHW


def _middle(side: int, eighths: int) -> Tensor:
    """[side / 4, side]: so many eighths of a side, its middle, to means of as many half pixels."""
    half = torch.zeros(side // 4, 2 * side)
    begin = side * (8 - eighths) // 8
    for row in range(len(half)):
        half[row, begin + row * eighths : begin + (row + 1) * eighths] = 1 / eighths
    return half.reshape(len(half), side, 2).sum(dim=2)
