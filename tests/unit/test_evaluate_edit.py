"""The measures of an edit, and the program that prints them."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from engine.types import BLENDSHAPES
from nodes.emotions import FEELING
from tests.faces import astronaut
from training.evaluate_edit import main
from training.measures import (
    Seen,
    control_error,
    energy_ratio,
    feeling_energy,
    flicker,
    mouth_change,
    mouth_opening,
)


def seen(energy: float, opening_px: float = 0.0) -> Seen:
    landmarks = np.zeros((478, 3), np.float32)
    landmarks[263, 0], landmarks[14, 1] = 100, opening_px
    shapes = np.where(FEELING, energy / FEELING.sum(), 0.9).astype(np.float32)
    return Seen(landmarks, shapes)


def test_energy_counts_feeling_alone() -> None:
    assert feeling_energy(seen(2.0).blendshapes) == pytest.approx(2.0)
    names = [name for name, felt in zip(BLENDSHAPES, FEELING, strict=True) if felt]
    assert len(names) == 28 and "mouthShrugLower" in names and "mouthFunnel" not in names


def test_the_ratio_leaves_calm_faces_out() -> None:
    pairs = [(seen(2.0), seen(1.0)), (seen(4.0), seen(0.5)), (seen(0.5), seen(9.0))]
    assert energy_ratio(pairs) == pytest.approx(0.25)
    assert energy_ratio([(seen(0.5), seen(0.1))]) is None and energy_ratio([]) is None


def test_mouth_error_and_flicker() -> None:
    assert mouth_opening(seen(1, 20).landmarks) == pytest.approx(0.2)
    assert mouth_change(seen(1, 20), seen(1, 5)) == pytest.approx(0.15)
    row = seen(2.0).blendshapes
    assert control_error(row, row) == 0 and control_error(row, row + 0.1) == pytest.approx(0.1)
    still, shaking = np.zeros((6, 2)), np.tile([[0.0], [1.0]], (3, 2))
    assert flicker(still.astype(np.float32), shaking.astype(np.float32)) == pytest.approx(2.0)
    assert flicker(still.astype(np.float32), still.astype(np.float32)) == 0


def test_the_program_judges_a_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder, other = tmp_path / "in", tmp_path / "same"
    folder.mkdir()
    other.mkdir()
    for place in (folder, other):
        cv2.imwrite(str(place / "face.png"), astronaut())
        cv2.imwrite(str(place / "wall.png"), np.full((90, 90, 3), 80, np.uint8))
    (folder / "broken.jpg").write_bytes(b"no picture")
    sheet = tmp_path / "sheet.png"
    assert main([str(folder), "--json", "--emotions", "neutral,happy", "--sheet", str(sheet)]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["without_face"] == ["broken.jpg", "wall.png"]
    assert report["emotions"]["neutral"]["energy_ratio"] < 0.4
    assert report["emotions"]["happy"]["own_shapes"].keys() >= {"mouthSmileLeft"}
    drawn = cv2.imread(str(sheet))
    assert drawn is not None and drawn.shape == (200, 600, 3)

    assert main([str(folder), "--after", str(other), "--json"]) == 0
    same = json.loads(capsys.readouterr().out)["emotions"]["neutral"]
    assert same["energy_ratio"] == pytest.approx(1.0) and same["mouth_change"] == 0
    assert main([str(folder), "--emotions", "neutral"]) == 0
    assert "energy ratio" in capsys.readouterr().out


def test_wrong_use_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path)]) == 1
    assert "no pictures in" in capsys.readouterr().err
    cv2.imwrite(str(tmp_path / "face.png"), astronaut())
    assert main([str(tmp_path), "--emotions", "joy"]) == 2
    assert "'joy' is not one of" in capsys.readouterr().err
