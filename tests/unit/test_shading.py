"""Light and shade of folding skin: where they fall, how they turn and grow, the shipped weights."""

from __future__ import annotations

import hashlib
import tomllib
from pathlib import Path

import cv2
import numpy as np
import pytest

from engine.errors import MienError
from engine.types import F32
from nodes.emotions import worn
from nodes.rig import load_rig
from nodes.shading import BRIGHTEST, DARKEST, SHADING_PATH, load_shading

rig, shading = load_rig(), load_shading()
INNER_BROWS, CHEEKBONES, FOLDS = (55, 285), (50, 280), (206, 426)


def head(turn_deg: float = 0.0) -> F32:
    """The mean face as landmarks [478, 3] px of a crop."""
    points = (rig.mean * [11, -11, -11] + [128, 95, 0]).astype(np.float32)
    turn = cv2.getRotationMatrix2D((128, 128), turn_deg, 1)
    points[:, :2] = points[:, :2] @ turn[:, :2].T + turn[:, 2]
    return points


def drawn(change: F32, points: F32 | None = None, much: float = 1.0) -> F32:
    return shading(head() if points is None else points, rig.triangles, change, much)


def at(folds: F32, landmark: int, points: F32 | None = None) -> float:
    """The mean of some pixels around a landmark."""
    x, y = np.rint((head() if points is None else points)[landmark, :2] / 2 - 0.25).astype(int)
    return float(folds[y - 1 : y + 2, x - 1 : x + 2].mean())


def test_the_shipped_weights_are_those_of_the_card() -> None:
    card = tomllib.loads((SHADING_PATH.parent / "card.toml").read_text(encoding="utf-8"))
    assert card["sha256"] == hashlib.sha256(SHADING_PATH.read_bytes()).hexdigest()
    assert card["nc"] is False and SHADING_PATH.stat().st_size < 400_000
    known = card["metrics"]["cosine_with_ratio_images_of_held_out_people"]
    assert min(known[name] for name in ("angry", "happy", "surprised")) > 0.5


def test_skin_folds_where_it_does_in_people() -> None:
    angry, happy = drawn(worn("angry")), drawn(worn("happy"))
    assert all(at(angry, brow) < at(happy, brow) - 0.05 for brow in INNER_BROWS)
    for cheek, fold in zip(CHEEKBONES, FOLDS, strict=True):  # beside the nose cheeks bulge
        assert at(happy, cheek) > 0.02 and at(happy, fold) < -0.03
        assert at(angry, fold) < -0.03


def test_each_side_has_its_own() -> None:
    one_sided = drawn(worn("contempt"))  # a smile of the left corner, image right
    assert np.abs(one_sided[:, 75:]).mean() > 2 * np.abs(one_sided[:, :53]).mean()
    both = drawn(worn("happy"))
    assert np.abs(both - both[:, ::-1]).max() < 0.06


def test_it_turns_with_the_head() -> None:
    straight = drawn(worn("angry"))
    tilted = drawn(worn("angry"), head(25))
    turn = cv2.getRotationMatrix2D((63.75, 63.75), 25, 1)
    assert np.abs(cv2.warpAffine(straight, turn, (128, 128)) - tilted).max() < 0.04
    assert np.abs(straight - tilted).max() > 0.15


def test_it_grows_with_the_change_within_bounds() -> None:
    change = worn("disgusted")
    full = drawn(change)
    assert not any(drawn(gone).any() for gone in (0 * change, -change))
    assert not drawn(change, much=0.0).any()
    little = drawn(change * np.float32(0.1))
    assert np.allclose(little, drawn(change, much=0.1), atol=1e-6)
    assert 0.05 < np.abs(little).max() / np.abs(full).max() < 0.2
    wild = drawn(change, much=50)
    assert -DARKEST <= wild.min() < -0.9 * DARKEST and 0.9 * BRIGHTEST < wild.max() <= BRIGHTEST


def test_shade_has_the_colour_that_it_has_in_this_skin() -> None:
    """Warm where what is dark is warm; a grey picture's, and a single colour's, is grey."""
    light = np.linspace(-1, 0, 256)[None, :, None] * np.array([1.5, 1.0, 0.6])
    skin = np.exp(light + np.log([180, 200, 240])) * np.ones((256, 1, 1))
    blue, green, red = shading.tint(np.rint(skin).astype(np.uint8), head())
    assert 1.6 >= blue > 1.2 and green == pytest.approx(1.0, abs=0.15) and 0.5 <= red < 0.75
    grey = np.rint(skin[..., 1:2]).astype(np.uint8).repeat(3, axis=2)
    assert np.allclose(shading.tint(grey, head()), 1, atol=1e-3)
    outside = head() + np.array([900, 0, 0], np.float32)
    assert np.allclose(shading.tint(np.full_like(grey, (60, 90, 150)), outside), 1, atol=1e-3)


def test_eyes_mouth_and_all_around_the_face_stay() -> None:
    folds = drawn(worn("angry"))
    assert max(abs(at(folds, landmark)) for landmark in (468, 473, 13, 10, 152, 234, 454)) < 0.03
    assert not folds[:8].any() and not folds[-8:].any()


def test_a_damaged_file_is_one_line(tmp_path: Path) -> None:
    for content in (SHADING_PATH.read_bytes()[:5000], b"", b"some text"):
        (tmp_path / "broken.npz").write_bytes(content)
        load_shading.cache_clear()
        with pytest.raises(MienError, match=r"weight .* cannot be read .*; reinst") as caught:
            load_shading(tmp_path / "broken.npz")
        assert "\n" not in str(caught.value)
    np.savez(tmp_path / "flat.npz", maps=np.zeros((52, 4, 5)), points=np.zeros((478, 2)))
    with pytest.raises(MienError, match=r"no shading: maps of \(52, 4, 5\)"):
        load_shading(tmp_path / "flat.npz")
