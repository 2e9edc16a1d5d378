"""The square that networks see: steady, and the same as in training."""

from __future__ import annotations

import numpy as np
import pytest

from face.crop import crop_transform
from face.rig import load_rig
from face.steady_crop import SteadyCrop, cut_out, to_tensor
from tests.faces import astronaut


def test_the_crop_is_that_of_the_whole_picture() -> None:
    from face.crop import crop

    for scale in (0.3, 0.8, 2.5):
        angle = 0.3
        turn = scale * np.array(
            [[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]], np.float32
        )
        offset = np.array([128, 128]) - turn @ np.array([220.0, 140.0])
        transform = np.column_stack([turn, offset]).astype(np.float32)
        whole, cut = crop(astronaut(), transform), cut_out(astronaut(), transform)
        assert np.abs(whole.astype(int) - cut).max() <= 6
        assert np.abs(whole.astype(int) - cut).mean() < 0.3


def test_a_steady_crop_is_still_and_follows() -> None:
    rig = load_rig()
    steady, chance = SteadyCrop(), np.random.default_rng(1)
    base = rig.mean * np.array([10, -10, -10]) + np.array([250, 200, 0])
    shaken, raw = [], []
    for _ in range(40):
        noisy = (base + chance.normal(0, 1.0, base.shape)).astype(np.float32)
        shaken.append(steady(rig.place(noisy), 1 / 30))
        raw.append(crop_transform(rig.place(noisy)))
    calm = np.abs(np.diff(np.array(shaken)[10:, :, 2], axis=0)).mean()
    assert calm < 0.5 * np.abs(np.diff(np.array(raw)[10:, :, 2], axis=0)).mean()
    moved = (base + np.array([60, 0, 0])).astype(np.float32)
    for _ in range(12):
        last = steady(rig.place(moved), 1 / 30)
    assert np.abs(last - crop_transform(rig.place(moved))).max() < 6


def test_upside_down_is_taken_as_it_is() -> None:
    rig = load_rig()
    turned = (rig.mean * [-10, 10, -10] + [250, 200, 0]).astype(np.float32)
    placement = rig.place(turned)
    assert np.array_equal(SteadyCrop()(placement, 0.0), crop_transform(placement))


def test_a_tensor_keeps_the_pictures_mean_and_order() -> None:
    patch = np.zeros((256, 256, 3), np.uint8)
    patch[..., 2] = 200  # red
    tensor = to_tensor(patch, 40)
    assert tensor.shape == (1, 3, 40, 40) and tensor.dtype == np.float32
    assert tensor[0, 0].mean() == pytest.approx(200 / 255, abs=1e-3) and not tensor[0, 1:].any()
