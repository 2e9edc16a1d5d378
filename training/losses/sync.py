"""The sync expert's loss (EcoFace, eq. 12).

Legend: B batch, D of the places.
"""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F


def together(heard_BD: Tensor, seen_BD: Tensor) -> Tensor:
    """The probability that a mouth goes with what is heard [B]: their cosine, from 0 to 1."""
    return (1 + F.cosine_similarity(heard_BD, seen_BD, dim=1)) / 2


def sync(heard_BD: Tensor, seen_BD: Tensor, together_B: Tensor) -> Tensor:
    """Cross-entropy of that probability with what is so (0 or 1)."""
    guess = together(heard_BD, seen_BD).clamp(1e-4, 1 - 1e-4)
    return F.binary_cross_entropy(guess, together_B)


def convinced(heard_BD: Tensor, seen_BD: Tensor) -> Tensor:
    """-log of it (eq. 11, third term): what a generator is to bring down."""
    return -together(heard_BD, seen_BD).clamp(min=1e-4).log().mean()
