"""Visual emotion encoder: an aligned crop and the rig to what the face feels, frame by frame.

One frame is enough; a recurrent state makes a few frames better, and never looks ahead.
Legend: B batch, T time, C channels, H height, W width, D features, F of the backbone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from face.types import BLENDSHAPES, EMOTIONS
from training.models.face_backbone import FaceBackbone
from training.models.layers import AffectHeads, GRUStep, Scale
from training.models.xception import NAMED

_DROPPED: Final = 0.4
_NOISE: Final = 0.3
_BELIEVED, _UNNAMED = 1.0, -4.0
"""how far the names of others are believed before anything is learned, and the logit of what they
have no name for"""


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


class VisualEncoder(FaceBackbone):
    """crop [B, 3, 256, 256] RGB in 0..1, rig [B, 52], state [B, D] (zeros at first) -> Affect."""

    def __init__(self, size: VisualSize, pretrained: bool = False) -> None:
        super().__init__(size.parts, size.crop_px, pretrained)
        self.size = size
        self.seen_scale = Scale(self.seen, _NOISE)
        self.rig_scale = Scale(len(BLENDSHAPES), _NOISE)
        self.rig = nn.Sequential(nn.Linear(len(BLENDSHAPES), 64), nn.LeakyReLU(0.1))
        self.frame = nn.Sequential(
            nn.Dropout(_DROPPED),
            nn.Linear(self.seen + 64, size.features),
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

    def look(self, crop_BCHW: Tensor, rig_BD: Tensor) -> Tensor:
        """What one frame shows [B, D + 8], whatever was before."""
        return self.understand(self.backbone(crop_BCHW), rig_BD)

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
