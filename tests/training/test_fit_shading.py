"""Fitting the shading: it finds the wrinkle that angry people have, and says what is missing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from nodes.emotions import worn
from nodes.shading import load_shading
from tests.training.made_clips import made_clip
from training.data.clip import Clip, encode, write_shard
from training.fit_shading import FEWEST, PX_PER_CM, main

PEOPLE = 48
WRINKLE = (9, 151)
"""landmarks between the brows and above"""


def still(person: int, emotion: str) -> Clip:
    """Somebody at the height of an emotion; who is angry has a furrow in the brow."""
    clip = made_clip(f"p{person}-{emotion}", subject=f"p{person}", emotion=emotion, frames=3)
    picture = clip.frame(2)
    if emotion == "angry":
        ends = [np.rint(clip.landmarks[2, i, :2]).astype(int).tolist() for i in WRINKLE]
        cv2.line(picture, ends[0], ends[1], (picture[95, 110] * 0.7).tolist(), 5)
    jpegs, index = encode([picture])
    return replace(
        clip,
        jpegs=jpegs,
        index=index,
        **{name: getattr(clip, name)[2:] for name in ("landmarks", "blendshapes", "pose", "found")},
        mel=clip.mel[:0],
        sound=clip.sound[:0],
    )


def shard(folder: Path, people: int, *emotions: str) -> Path:
    folder.mkdir()
    stills = [still(person, emotion) for person in range(people) for emotion in emotions]
    write_shard(folder / "made-train-00000.tar", stills)
    return folder


def test_the_furrow_of_angry_people_is_found(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = shard(tmp_path / "shards", PEOPLE, "neutral", "angry", "happy")
    (data / "made-train-00001.tar").write_bytes(b"no tar")
    assert main([str(data), "--out", str(tmp_path / "out")]) == 0
    said = capsys.readouterr()
    assert "angry: 0.9" in said.out or "angry: 1.0" in said.out
    assert f"{3 * PEOPLE} faces of {PEOPLE} people" in said.out and "made-train-00001" in said.err
    shading = load_shading(tmp_path / "out" / "shading.npz")
    angry, happy = (np.tensordot(worn(name), shading.maps, axes=1) for name in ("angry", "happy"))
    x, y = np.rint(shading.points[list(WRINKLE)].mean(axis=0)).astype(int)
    aside = round(2.5 * PX_PER_CM)
    assert angry[y, x] < -0.2 and angry[y, x] < 4 * angry[y, [x - aside, x + aside]].min()
    assert abs(happy[y, x]) < 0.3 * abs(angry[y, x])
    card = (tmp_path / "out" / "card.toml").read_text(encoding="utf-8")
    assert f"angry = {PEOPLE}" in card and 'licences = ["CC0-1.0"]' in card


@pytest.mark.parametrize("emotions", [("neutral",), ("angry", "happy"), ()])
def test_too_few_faces_are_one_line(
    tmp_path: Path, emotions: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    data = shard(tmp_path / "shards", FEWEST, *emotions)
    assert main([str(data), "--out", str(tmp_path / "out")]) == 1
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1 and lines[0].startswith("fit_shading: ")
    assert not (tmp_path / "out").exists()
