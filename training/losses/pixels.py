"""Losses between pictures. Legend: B batch, T time, C channels, H height, W width."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def reconstruction(out_BCHW: Tensor, truth_BCHW: Tensor, weight_B1HW: Tensor) -> Tensor:
    """Mean absolute difference, each pixel counted ``weight`` times."""
    off = (out_BCHW - truth_BCHW).abs() * weight_B1HW
    return off.sum() / (weight_B1HW.sum() * out_BCHW.shape[1]).clamp(min=1e-6)


def edges(out_BCHW: Tensor, truth_BCHW: Tensor, weight_B1HW: Tensor) -> Tensor:
    """Mean absolute difference of horizontal and vertical gradients: against blur."""
    off = out_BCHW - truth_BCHW
    across = (off[..., 1:] - off[..., :-1]).abs() * weight_B1HW[..., 1:]
    down = (off[..., 1:, :] - off[..., :-1, :]).abs() * weight_B1HW[..., 1:, :]
    total = weight_B1HW.sum() * out_BCHW.shape[1]
    return (across.sum() + down.sum()) / total.clamp(min=1e-6)


def perceptual(out: Sequence[Tensor], truth: Sequence[Tensor]) -> Tensor:
    """L_per: mean absolute difference of features [B, C, H, W], a mean over levels.

    Each level is divided by the truth's own size, so that none drowns the others
    (Johnson et al. 2016, eq. 2, with the L1 norm).
    """
    parts = [
        (a - b).abs().mean() / b.abs().mean().clamp(min=1e-6)
        for a, b in zip(out, truth, strict=True)
    ]
    return torch.stack(parts).mean()


def steadiness(out_BTCHW: Tensor, truth_BTCHW: Tensor) -> Tensor:
    """Flicker that the truth doesn't have: mean absolute gap of second differences in time."""
    off = out_BTCHW - truth_BTCHW
    return (off[:, 2:] - 2 * off[:, 1:-1] + off[:, :-2]).abs().mean()


def sparsity(mask_B1HW: Tensor) -> Tensor:
    """How much of the picture is painted: what a warp can do, a warp should do."""
    return mask_B1HW.mean()


def smoothness(flow_BCHW: Tensor, given_BCHW: Tensor) -> Tensor:
    """How roughly a flow departs from the given one, in pixels per pixel."""
    off = flow_BCHW - given_BCHW
    across = (off[..., 1:] - off[..., :-1]).abs().mean()
    return across + (off[..., 1:, :] - off[..., :-1, :]).abs().mean()
