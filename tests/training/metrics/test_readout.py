"""The linear read-out finds what is there, on people it wasn't fitted on, and nothing where nothing
is."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("torch")

import numpy as np
import torch

from face.types import EMOTIONS
from tests.training.made_clips import made_clip
from training.data.clip import Phone, write_shard
from training.data.phones import MOUTHS
from training.evaluate import main as evaluate
from training.evaluation.readout import AUDIO_BACKBONE, Moments, Runs, as_text, read, represented
from training.models.content import Content, ContentSize
from training.recipes.emotion_priors import EmotionPriorsRecipe
from training.trainers.lip_sync import hearing_of


def told(noise: float) -> Moments:
    """Eight people in three emotions; a row tells them, another tells the person alone."""
    rng = np.random.default_rng(0)
    person = [f"p{place // 30}" for place in range(240)]
    emotion = np.tile(np.repeat([0, 1, 5], 10), 8)
    says = np.eye(8)[emotion] + noise * rng.normal(size=(240, 8))
    who = np.eye(8)[np.arange(240) // 30] + 0.1 * rng.normal(size=(240, 8))
    rows = {"says": says.astype(np.float32), "who": who.astype(np.float32)}
    return Moments(rows, person, {"emotion": emotion, "phones": np.full(240, -1)})


def test_what_is_told_is_found_and_who_somebody_is_doesnt_help() -> None:
    given = told(0.2)
    figures = {row: read(given, row) for row in given.by}
    assert figures["says"].keys() == {"emotion"}  # nobody said anything
    found = figures["says"]["emotion"]
    assert found.recall > 0.95 and found.low <= found.recall <= found.high
    assert (found.looks, found.people) == (240, 8) and found.chance == pytest.approx(1 / 3)
    assert figures["who"]["emotion"].recall < 0.5
    table = as_text(figures)
    assert "| says | " in table and "| chance | 0.33 |" in table and "240 looks of 8" in table


def test_moments_of_clips_are_represented_with_what_they_are(tmp_path: Path) -> None:
    torch.manual_seed(0)
    clips = [
        made_clip(f"{who}-{emotion}", subject=who, emotion=emotion, split="val", frames=3)
        for who in "abc"
        for emotion in ("happy", "angry")
    ]
    spoken = [Phone(name="B", start_s=0, end_s=0.08), Phone(name="AA", start_s=0.08, end_s=9)]
    for clip in clips:
        object.__setattr__(clip, "phones", tuple(spoken))
    write_shard(tmp_path / "made.tar", clips)
    hearing = hearing_of(AUDIO_BACKBONE)
    size = ContentSize(parts=3, crop_px=64, features=hearing.features, width=8, heads=2)
    priors = EmotionPriorsRecipe.debug().build().eval()
    runs = Runs({"content": Content(size).eval()}, {"emotion": priors})
    found = represented(tmp_path, ["val"], runs, hearing, every=1, most=3)
    rigs = {"rig", "sound", "emotion of rigs"}
    assert set(found.by) == rigs | {"picture", "content", "emotion"}
    blind = represented(
        tmp_path, ["val"], Runs({}, runs.priors), hearing, every=1, most=3, pictures=False
    )
    assert set(blind.by) == rigs
    assert np.array_equal(blind.by["emotion of rigs"], found.by["emotion of rigs"])
    assert {len(values) for values in found.by.values()} == {18} == {len(found.person)}
    assert found.by["content"].shape[1] == 8 and found.by["emotion"].shape[1] == 7
    assert set(found.truth["emotion"]) == {EMOTIONS.index("happy"), EMOTIONS.index("angry")}
    mouths = list(dict.fromkeys(MOUTHS.values()))
    wanted = [mouths.index(MOUTHS[name]) for name in ("B", "B", "AA")]
    np.testing.assert_array_equal(found.truth["phones"][:3], wanted)
    figures = read(found, "rig")
    assert figures["phones"].people == 3


def test_a_wrong_split_is_a_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert evaluate(["readout", str(tmp_path), "--split", "vall"]) == 2
    error = capsys.readouterr().err
    assert "a split is one of train, val, test, not vall" in error and error.count("\n") == 1
