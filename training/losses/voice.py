"""Losses of a face that a voice moves.

Legend: B batch, T steps, K shapes.
"""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor

from face.voice.lips import CLOSED, OPENS

MOVES: Final = 0.02
"""a curve's deviation below which nobody can say when it moves"""
LEAST: Final = 20
"""steps that must be known of it"""


def shapes(guess_BTK: Tensor, truth_BTK: Tensor, weight_BTK: Tensor) -> Tensor:
    """Mean squared difference of shapes, each as much as it weighs (0: unknown)."""
    off = (guess_BTK - truth_BTK).square() * weight_BTK
    return off.sum() / weight_BTK.sum().clamp(min=1e-6)


def motion(guess_BTK: Tensor, truth_BTK: Tensor, weight_BTK: Tensor) -> Tensor:
    """The same of what changes from step to step, where both are known."""
    both = torch.minimum(weight_BTK[:, 1:], weight_BTK[:, :-1])
    return shapes(guess_BTK.diff(dim=1), truth_BTK.diff(dim=1), both)


def parted(rig_BTK: Tensor) -> Tensor:
    """How far lips are apart [B, T], in jaws' openings."""
    return rig_BTK @ torch.from_numpy(OPENS).to(rig_BTK)


def gaussian_kl(z: Tensor, mean: Tensor, log_deviation: Tensor, noise: Tensor) -> Tensor:
    """Monte-Carlo estimate of the divergence of a posterior from a prior (PortaSpeech, Ren et al.
    2021, eq. 3): log of the posterior at ``z`` less that of the prior, which makes ``z`` of
    standard ``noise`` and changes no volume; a mean over numbers."""
    own = -log_deviation - 0.5 * ((z - mean) / log_deviation.exp()).square()
    return (own + 0.5 * noise.square()).mean()


def lips(guess_BTK: Tensor, truth_BTK: Tensor, known_BT: Tensor) -> Tensor:
    """Squared difference of how far lips are apart; closed lips that are drawn parted count
    four times more, since a mouth that stays open on p, b or m is seen at once."""
    guess, truth = parted(guess_BTK), parted(truth_BTK)
    sealed = (truth < CLOSED) & (guess > truth)
    off = (guess - truth).square() * torch.where(sealed, 4.0, 1.0) * known_BT
    return off.sum() / known_BT.sum().clamp(min=1)


def out_of_step(guess_BT: Tensor, truth_BT: Tensor, known_BT: Tensor) -> Tensor:
    """1 - r of two curves, however wide each is; a mean over rows, of which those whose truth
    hardly moves, or is hardly known, count as none."""
    count = known_BT.sum(dim=1, keepdim=True).clamp(min=1)
    guess, truth = (
        (curve - (curve * known_BT).sum(dim=1, keepdim=True) / count) * known_BT
        for curve in (guess_BT, truth_BT)
    )
    energies = guess.square().sum(dim=1) * truth.square().sum(dim=1)
    agrees = (guess * truth).sum(dim=1) / torch.sqrt(energies + 1e-6)
    moves = truth.square().sum(dim=1) / count[:, 0] > MOVES**2
    return ((1 - agrees) * (moves & (count[:, 0] > LEAST))).mean()
