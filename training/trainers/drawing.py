"""What the trainers of expressions by reference share: the generator, what is like a picture, what
is real, and what of each emotion was seen of late."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from typing import Any, Final

import torch
from torch import Tensor, nn

from face.expression.people import FILE, load_people
from face.rig import load_rig
from face.types import EMOTIONS
from inference.card import CARD
from inference.terms import nc_of
from inference.weight_sets import weight_folder
from training.losses import reference as losses
from training.models.discriminator import Discriminator
from training.models.generator import Canvas, SurfaceGenerator, fields_of
from training.models.latent import TOKENS, WIDTH
from training.models.lite0 import Lite0
from training.provenance import sha256_of
from training.trainers.looks import Looks, light_of

LEVELS: Final = (2, 4, 7)
"""blocks of EfficientNet-Lite0 after which pictures are compared, in place of VGG19's"""
FINER: Final = 2
"""texels for one of the generator's: still finer than pixels, of which a face has a few dozen"""
CACHED: Final = 64
"""codes of each emotion that are kept"""


@dataclass(frozen=True, kw_only=True)
class DrawingPlan:
    """How pictures are drawn and compared."""

    every: int
    """of a clip's pictures one is taken"""
    people: str
    """the set of weights whose statistics of people the generator draws with"""
    pretrained: bool
    """whether features that pictures are compared by are ImageNet's"""
    side_px: int
    """of the pictures, a multiple of 32"""
    channels: tuple[int, ...]
    """of the discriminator's layers"""
    temperature: float
    """of the contrastive loss (tau of eq. 5)"""


class Drawing(nn.Module):
    """The frozen generator, and how its pictures are judged."""

    def __init__(self, looks: Looks, plan: DrawingPlan) -> None:
        """Raises MienError."""
        super().__init__()
        self.plan = plan
        fields = fields_of(load_people(plan.people), load_rig(), light_of(looks))
        coarse = nn.functional.avg_pool2d(torch.from_numpy(fields), FINER)
        self.generator = SurfaceGenerator(coarse.numpy())
        features = Lite0(LEVELS[-1] + 1)
        self.features = (features.load_imagenet() if plan.pretrained else features).eval()
        self.features.requires_grad_(False)

    def likeness(self, made: Tensor, truth: Tensor, alpha: float) -> Tensor:
        """Pixels and ``alpha`` times perception (eq. 8; eq. 13 and the bracket of eq. 14)."""
        looked = [self.features.levels(one, LEVELS) for one in (made, truth)]
        return losses.pixels(made, truth) + alpha * losses.perceptual(*looked)


def face_of(picture: Tensor, canvas: Canvas) -> Tensor:
    """The face alone: what is around says where a head was, not what it expresses."""
    side = picture.shape[-1]
    skin = nn.functional.interpolate(canvas["skin"], (side, side), mode="bilinear")
    return picture * skin


class Remembered(nn.Module):
    """Codes of each emotion of late (SSERD, section 3.1: those of previous iterations); a module,
    so that a checkpoint keeps them. What is drawn depends on torch's seed."""

    codes: Tensor
    count: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("codes", torch.zeros(len(EMOTIONS), CACHED, TOKENS * WIDTH))
        self.register_buffer("count", torch.zeros(len(EMOTIONS), dtype=torch.long))

    def add(self, code_BD: Tensor, label_B: Tensor) -> None:
        """Where something is learned; who is only asked about leaves nothing."""
        if torch.is_grad_enabled():
            for code, label in zip(code_BD.detach(), label_B.tolist(), strict=True):
                if label >= 0:
                    self.codes[label, self.count[label] % CACHED] = code
                    self.count[label] += 1

    def draw(self, many: int) -> Tensor:
        """One code of each emotion, so many times [B, E, D]; zeros where there is none."""
        most = self.count.clamp(1, CACHED)
        share = torch.rand(many, len(EMOTIONS)).to(self.codes)
        chosen = (share * most).long().clamp(max=CACHED - 1)
        return self.codes[torch.arange(len(EMOTIONS)), chosen]


class Critic(nn.Module):
    """What a step's pictures and codes are held against: the discriminator, and what was."""

    def __init__(self, channels: tuple[int, ...]) -> None:
        super().__init__()
        self.discriminator, self.remembered = Discriminator(channels), Remembered()


def people_learned_from(weights: str) -> dict[str, Any]:
    """The statistics' own data, as a stage tells of it. Raises MienError."""
    folder = weight_folder("people", weights)
    card = tomllib.loads((folder / CARD).read_text(encoding="utf-8"))
    data = card.get("data", {})
    licences = data.get("licences", ["unknown"])
    return {
        sha256_of(folder / FILE): {
            "name": "people",
            "clips": data.get("photographs", 0),
            "synthetic_clips": data.get("photographs", 0) * bool(data.get("synthetic")),
            "people": [],
            "sources": ["photographs"],
            "licences": licences,
            "nc": nc_of(card.get("nc"), " ".join(licences)),
        }
    }
