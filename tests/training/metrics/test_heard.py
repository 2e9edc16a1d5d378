"""Feelings are followed from voices to drawn faces, stage by stage."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

pytest.importorskip("torch")

import torch

from engine.types import F32, U8
from face.types import EMOTIONS
from tests.faces import astronaut
from tests.training.data.made import made_clip
from tests.training.made_clips import made_clip as talking_clip
from training import checkpoint
from training.data.clip import Clip, ClipInfo, write_shard
from training.evaluate import main
from training.evaluation import heard, watched
from training.models.emotion_space import EmotionSpace
from training.recipes.emotion_space import EmotionSpaceRecipe

WIDER = EMOTIONS.index("happy")


class Smiles:
    """A judge of how wide the mouth is."""

    def __call__(self, pixels: U8, landmarks: F32) -> dict[str, F32]:
        said = np.full(len(EMOTIONS), np.nan, np.float32)
        wide = float(np.ptp(landmarks[[61, 291], 0]) / np.ptp(landmarks[[33, 263], 0]))
        said[[0, WIDER]] = 1 - wide / 2, wide / 2
        return {"emotion": said}


def a_space(folder: Path) -> Path:
    """A run of emotion_space that learned nothing, yet sees a difference."""
    folder.mkdir()
    torch.manual_seed(0)
    recipe = EmotionSpaceRecipe.debug()
    space = EmotionSpace(recipe.size)
    space.backbone.load_learned()
    space.crop.scale.std.fill_(0.1)
    known = {
        "step": 0,
        "name": recipe.name,
        "size": asdict(recipe.size),
        "stages": [],
        "modules": {},
    }
    checkpoint.save(folder, known | {"ema": {recipe.name: space.state_dict()}})
    return folder


def held_out(folder: Path) -> Path:
    """A calm person and two who feel something, none of them to be learned from."""
    write_shard(
        folder / "a.tar",
        [
            talking_clip(name, subject=name, emotion=name, split="val")
            for name in ("neutral", "happy", "angry")
        ],
    )
    return folder


def test_a_label_is_worn_and_drawn_by_its_level(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def voice(emotion: str, level: int) -> Clip:
        rng = np.random.default_rng(level)
        sound = (rng.normal(0, 3000, 24_000) * np.hanning(24_000)).astype(np.int16)
        info = ClipInfo(key=f"{emotion}{level}", subject="a", emotion=emotion, level=level)
        return replace(made_clip(info.key), info=info, sound=sound)

    clips = [voice("happy", 1), voice("happy", 2), voice("surprised", 2)]
    write_shard(tmp_path / "a.tar", clips)
    cv2.imwrite(str(tmp_path / "face.png"), astronaut())
    monkeypatch.setattr(heard, "judges", lambda names: [Smiles()])
    out = tmp_path / "out.json"
    told = ["heard", str(tmp_path), "--portraits", str(tmp_path / "face.png")]
    monkeypatch.setattr(heard, "RUN", 2)
    monkeypatch.setattr(watched, "LEAST", 2)
    seen = ["--space", str(a_space(tmp_path / "space")), "--real", str(held_out(tmp_path / "real"))]
    assert main([*told, *seen, "--moments", "1", "--out", str(out)]) == 0
    _, by_label, by_nothing, *distances = capsys.readouterr().out.splitlines()[2:]
    assert distances[0] == "| VE-FID of pictures | calm: 3 of 1 people | emotional: 6 of 2 people |"
    assert [line.split(" | ")[0] for line in distances[2:]] == [
        "| voice", "| label", "| nothing",
        "| real, calm (itself: half against half)", "| real, emotional (itself: half against half)",
    ]  # fmt: skip
    apart = [float(line.split(" | ")[1].split()[0]) for line in distances[3:5]]
    assert apart[0] != apart[1]
    assert by_label.startswith("| label | - | 1.00 (1.00 to 1.00) | 1.00")
    assert by_label.split(" | ")[5].startswith("0.00")  # of all, so wide a mouth is neutral
    assert by_label.endswith("| 1.00 (1.00 to 1.00) | 1.00 (1.00 to 1.00) | 1.00 (1.00 to 1.00) |")
    assert by_nothing.startswith("| nothing | - | 0.00 (0.00 to 0.00)")
    rows: dict[tuple[str, str], Any] = {
        (row["key"], row["way"]): row for row in json.loads(out.read_text())
    }
    assert len(rows) == 6 and ("surprised2", "label") not in rows
    smile = [rows["happy2", way]["drawn"][WIDER] for way in ("label", "nothing")]
    assert smile[0] > smile[1] + 0.005  # the portrait smiles a little by itself
    for wrong, line in (
        (["--ways", "sign"], "a way is one of voice, label, nothing"),
        (["--sources", "nobody"], "has no voice that is angry, fear, happy, sad"),
        (["--folds", "2", "--speech", "weights"], "--speech with {}"),
        (["--space", "runs/space"], "VE-FID takes --space and --real"),
    ):
        assert main([*told, *wrong]) in (1, 2)
        assert line in capsys.readouterr().err
