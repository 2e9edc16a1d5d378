"""The latent space in which expressions are edited, and its encoder E (SSERD, eq. 1).

SSERD edits in StyleGAN's 18 layers of 512 numbers. Here a face's latent w is eleven tokens of eight
numbers: what the tracker sees, region by region; what the visual encoder's embedding says along the
directions that its own heads read; and appearance, how much of each emotion's statistics of real
people (FaceEdit.expression) it holds. The person isn't in it: that is the generator's canvas.
Legend: B batch, N tokens, D numbers of each, K shapes and amounts together (what is drawn).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor, nn

from face.emotions import sides
from face.types import BLENDSHAPES, EMOTIONS
from training.models.intensity import READING

WIDTH: Final = 8
"""D"""
REGIONS: Final = (
    ("browDown", "browInnerUp", "browOuterUp"),
    ("eyeBlink", "eyeSquint", "eyeWide"),
    ("eyeLookDown", "eyeLookIn", "eyeLookOut", "eyeLookUp"),
    ("cheekPuff", "cheekSquint", "noseSneer"),
    ("jawForward", "jawLeft", "jawOpen", "jawRight", "mouthClose", "mouthFunnel", "mouthPucker"),
    ("mouthSmile", "mouthFrown", "mouthDimple", "mouthStretch"),
    ("mouthPress", "mouthUpperUp", "mouthLowerDown", "mouthShrugLower", "mouthShrugUpper"),
    ("mouthRollLower", "mouthRollUpper", "mouthLeft", "mouthRight", "_neutral"),
)
"""shapes of a token, without their sides"""
TOKENS: Final = len(REGIONS) + 3
"""N: those, two of the reading, and appearance"""
DRAWN: Final = len(BLENDSHAPES) + len(EMOTIONS)
"""K"""
SEEN: Final = len(BLENDSHAPES) + READING
"""what E knows of a picture: shapes and a reading"""
MOST: Final = 1.5
"""of an emotion's amount"""
_SURE: Final = 0.01
"""a probability that is as good as none"""
_LOGS: Final = 0.25
"""what brings logarithms of probabilities to about 1"""
_CORRECTS: Final = 0.3
"""by how much E may move a shape"""


def _places() -> list[int]:
    """Where each number of [shapes, reading, amounts] stands in a flat w."""
    where = {}
    for token, region in enumerate(REGIONS):
        for number, shape in enumerate(shape for name in region for shape in sides(name)):
            where[shape] = token * WIDTH + number
    rest = len(REGIONS) * WIDTH
    own = [where[shape] for shape in range(len(BLENDSHAPES))]
    reading = [rest + number for number in range(READING)]
    amounts = [rest + 2 * WIDTH + number for number in range(len(EMOTIONS))]
    return [*own, *reading, *amounts]


PLACES: Final = _places()
_ORDER: Final = torch.full((TOKENS * WIDTH,), len(PLACES))
_ORDER[list(PLACES)] = torch.arange(len(PLACES))
_DRAWN: Final = torch.tensor([*PLACES[: len(BLENDSHAPES)], *PLACES[-len(EMOTIONS) :]])


def centred_logits(reading_BR: Tensor) -> Tensor:
    """A reading [B, 11] as w holds it: logits of what is felt, about the classifier's own rows of
    the embedding, their mean taken away; valence, arousal, intensity."""
    probabilities, felt = reading_BR[:, : len(EMOTIONS)], reading_BR[:, len(EMOTIONS) :]
    logits = torch.log(probabilities.clamp(min=0) + _SURE)
    return torch.cat([(logits - logits.mean(dim=1, keepdim=True)) * _LOGS, felt], dim=1)


def named_amounts(reading_BR: Tensor) -> Tensor:
    """How much of each emotion a reading [B, 11] names [B, 8]: what isn't calm, divided by the
    squares of probabilities, so that it is the likeliest rather than a bit of each."""
    probabilities = reading_BR[:, : len(EMOTIONS)].clamp(min=0)
    felt = torch.cat([torch.zeros_like(probabilities[:, :1]), probabilities[:, 1:].square()], dim=1)
    return (1 - probabilities[:, :1]) * felt / (felt.sum(dim=1, keepdim=True) + 1e-4)


def packed(shapes_BS: Tensor, reading_BR: Tensor, amounts_BE: Tensor) -> Tensor:
    """The latent w [B, N, D] of shapes [B, 52], a reading as w holds it [B, 11] and amounts
    [B, 8]."""
    row = torch.cat([shapes_BS, reading_BR, amounts_BE, torch.zeros_like(amounts_BE[:, :1])], dim=1)
    return row[:, _ORDER].reshape(-1, TOKENS, WIDTH)


def drawn(w_BND: Tensor) -> Tensor:
    """What a generator draws of a latent [B, K]: shapes [52], then amounts [8]."""
    row = w_BND.flatten(1)
    return row[:, _DRAWN]


@dataclass(frozen=True, kw_only=True)
class LatentSize:
    """``features`` of the encoder's hidden layers."""

    features: int


class LatentEncoder(nn.Module):
    """E: shapes [B, 52] as tracked and a reading [B, 11] of one picture -> w [B, N, D] (eq. 1).

    The paper's E is an IResNet50 over pixels; this one stands on the frozen tracker and visual
    encoder, and learns what they don't say: how much there is of the appearance of an emotion that
    the reading names, and by how much the shapes are off.
    """

    def __init__(self, size: LatentSize) -> None:
        super().__init__()
        self.size = size
        wide = size.features
        self.hidden = nn.Sequential(
            nn.Linear(SEEN, wide), nn.SiLU(), nn.Linear(wide, wide), nn.SiLU()
        )
        self.shapes = nn.Linear(wide, len(BLENDSHAPES))
        self.amounts = nn.Linear(wide, len(EMOTIONS))
        nn.init.zeros_(self.shapes.weight)
        nn.init.zeros_(self.shapes.bias)
        nn.init.zeros_(self.amounts.weight)
        nn.init.zeros_(self.amounts.bias)

    def forward(self, shapes: Tensor, reading: Tensor) -> Tensor:
        named = named_amounts(reading)
        reading = centred_logits(reading)
        hidden = self.hidden(torch.cat([shapes, reading], dim=1))
        moved = (shapes + _CORRECTS * torch.tanh(self.shapes(hidden))).clamp(0.0, 1.0)
        amounts = MOST * torch.sigmoid(self.amounts(hidden)) * named
        return packed(moved, reading, amounts)
