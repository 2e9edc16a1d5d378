"""Contrastive emotion latent code learning (SSERD, section 3.1): the emotion of a reference as a
residual of a source's latent.

Legend: B batch, N tokens, D numbers of each, F features.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from face.types import BLENDSHAPES
from training.models.latent import MOST, TOKENS, WIDTH, LatentEncoder, LatentSize, drawn

_BEGINS: Final = 0.02
"""deviation of what tells tokens apart, at first"""


@dataclass(frozen=True, kw_only=True)
class CelclSize:
    """``features`` F of a token, ``heads`` of the attention, ``hidden`` of feed-forward networks,
    ``layers`` of the transformer; ``latent`` the features of the encoder E."""

    features: int
    heads: int
    hidden: int
    layers: int
    latent: int


class Attention(nn.Module):
    """Multi-head cross-attention (eq. 2; Vaswani et al. 2017, eq. 1): source [B, N, F] asks,
    reference [B, N, F] answers."""

    def __init__(self, features: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query, self.key = nn.Linear(features, features), nn.Linear(features, features)
        self.value, self.out = nn.Linear(features, features), nn.Linear(features, features)

    def forward(self, source_BNF: Tensor, reference_BNF: Tensor) -> Tensor:
        q, k, v = (
            self._split(layer(x))
            for layer, x in (
                (self.query, source_BNF),
                (self.key, reference_BNF),
                (self.value, reference_BNF),
            )
        )
        mixed = F.scaled_dot_product_attention(q, k, v).transpose(1, 2)
        answer: Tensor = self.out(mixed.reshape(source_BNF.shape))
        return answer

    def _split(self, x_BNF: Tensor) -> Tensor:
        batch, tokens, features = x_BNF.shape
        return x_BNF.reshape(batch, tokens, self.heads, features // self.heads).transpose(1, 2)


class Layer(nn.Module):
    """One layer of T (eq. 4), its norms first (Xiong et al. 2020)."""

    def __init__(self, size: CelclSize) -> None:
        super().__init__()
        self.norms = nn.ModuleList([nn.LayerNorm(size.features) for _ in range(2)])
        self.attention = Attention(size.features, size.heads)
        self.feed = feed_forward(size)

    def forward(self, x_BNF: Tensor) -> Tensor:
        inner = self.norms[0](x_BNF)
        x_BNF = x_BNF + self.attention(inner, inner)
        out: Tensor = x_BNF + self.feed(self.norms[1](x_BNF))
        return out


def feed_forward(size: CelclSize) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(size.features, size.hidden), nn.GELU(), nn.Linear(size.hidden, size.features)
    )


class Celcl(nn.Module):
    """Latents of a source and a reference [B, N, D] -> the emotion's code [B, N, D], which is added
    to the source's (eq. 2-4). ``tokens`` and ``width``: those of the latent space."""

    def __init__(self, size: CelclSize, tokens: int = TOKENS, width: int = WIDTH) -> None:
        super().__init__()
        self.enter = nn.Linear(width, size.features)
        self.place = nn.Parameter(_BEGINS * torch.randn(tokens, size.features))
        self.attention = Attention(size.features, size.heads)
        self.feed = feed_forward(size)
        self.layers = nn.ModuleList([Layer(size) for _ in range(size.layers)])
        self.leave = nn.Linear(size.features, width)
        nn.init.normal_(self.leave.weight, std=_BEGINS / 10)
        nn.init.zeros_(self.leave.bias)

    def forward(self, source_BND: Tensor, reference_BND: Tensor) -> Tensor:
        source, reference = (self.enter(w) + self.place for w in (source_BND, reference_BND))
        x = self.feed(self.attention(source, reference))  # eq. 3
        for layer in self.layers:  # eq. 4
            x = layer(x)
        code: Tensor = self.leave(x)
        return code


class Reference(nn.Module):
    """What runs: what is seen of a source and of a reference (shapes [B, 52] as tracked, readings
    [B, 11]) -> ``expression`` [B, 8] and ``shapes`` [B, 52] that an edit shall ask for."""

    def __init__(self, size: CelclSize) -> None:
        super().__init__()
        self.size = size
        self.encoder = LatentEncoder(LatentSize(features=size.latent))
        self.celcl = Celcl(size)

    def forward(
        self, source: Tensor, source_reading: Tensor, reference: Tensor, reference_reading: Tensor
    ) -> tuple[Tensor, Tensor]:
        w = self.encoder(source, source_reading)
        code = self.celcl(w, self.encoder(reference, reference_reading))
        asked = drawn(w + code)
        count = len(BLENDSHAPES)
        return asked[:, count:].clamp(0.0, MOST), asked[:, :count].clamp(0.0, 1.0)
