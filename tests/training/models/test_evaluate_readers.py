"""Readers asked about people left out, and what that comes to: lines, and figures on a card."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")

from dataclasses import replace

import torch

from engine.types import F32
from face.types import EMOTIONS
from inference.card import read_card
from inference.weight_sets import SHIPPED
from tests.training.made_clips import made_clip, still, voice
from tests.training.models.conftest import Made
from training import checkpoint
from training.data.clip import Clip, write_shard
from training.evaluate_readers import main
from training.evaluation.on_card import hash_of
from training.evaluation.talkers import EVERY, watched
from training.models.visual import VisualEncoder
from training.recipes.visual import Visual
from training.restore import restore
from training.trainers.samples import Augmentation


def test_readers_are_cross_validated(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    stills = [
        still(f"{e}{i}", f"p{i}", e, i) for i in range(4) for e in ("neutral", "happy", "angry")
    ]
    write_shard(tmp_path / "data" / "a.tar", stills)
    command = ["visual", "--data", str(tmp_path / "data"), "--of", "pictures", "--folds", "2"]
    command += ["--config", "debug", "--out", str(tmp_path / "cv")]
    assert main(command) == 1  # drawn faces are all one picture
    assert "1 people are too few for 2 folds" in capsys.readouterr().err
    assert main([*command, "--evenly", "2"]) == 2
    assert "--evenly is between 0 and 1, not 2.0" in capsys.readouterr().err
    monkeypatch.setattr("training.evaluation.cross_validation.alike", lambda prints: [])
    assert main(command) == 0
    said = capsys.readouterr().out
    assert "visual: 12 of 4 people, 2 folds" in said and "| neutral |" in said
    answers = (tmp_path / "cv" / "answers.tsv").read_text().splitlines()
    assert len(answers) == 13
    card = Path(shutil.copytree(SHIPPED / "visual", tmp_path / "weight"))
    assert main([*command, "--card", str(card)]) == 0  # nothing is trained again
    assert "visual 3/3" not in capsys.readouterr().out
    row = read_card(card).text["metrics"]["people_not_learned_from_pictures"]
    assert row["pictures_samples"] == 12 and row["pictures_people"] == 4
    assert f"{row['pictures_uncalibrated_accuracy']:.3f}" in said and row["calibration_error"] > 0
    assert row["command"].endswith(f"--card {card}") and row["seed"] == 0
    assert row["data_sha256"] == hash_of(tmp_path / "data")
    assert main([*command, "--card", str(SHIPPED / "speech")]) == 2
    assert "is the card of speech, not of visual" in capsys.readouterr().err
    other = [*command[:2], str(tmp_path / "other"), *command[3:]]
    write_shard(tmp_path / "other" / "a.tar", stills[::-1])
    assert main(other) == 1
    assert "fold-0 learned from other data" in capsys.readouterr().err
    run = Path(shutil.copytree(tmp_path / "cv" / "fold-0", tmp_path / "visual"))
    uncalibrated = restore(run, "visual", VisualEncoder)
    before = uncalibrated.heads.emotion
    assert main([*command, "--calibrate", str(run)]) == 0
    assert "calibration error" in (said := capsys.readouterr().out) and "is calibrated" in said
    calibrated = restore(run, "visual", VisualEncoder)
    after = calibrated.heads.emotion
    ratio = before.weight / after.weight
    assert float(ratio.mean()) > 0 and torch.allclose(ratio, ratio.mean(), rtol=1e-3)
    named = uncalibrated.first.weight, calibrated.first.weight * ratio.mean()
    assert torch.allclose(*named, rtol=1e-3)
    unasked = EMOTIONS.index("contempt")  # of which nobody was asked
    assert float(before.bias[unasked] / after.bias[unasked]) == pytest.approx(float(ratio.mean()))
    assert not torch.allclose(before.bias / ratio.mean(), after.bias, rtol=1e-2)


def test_films_of_calm_talkers_are_asked_about_by_who_never_saw_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    stills = [still(f"{e}{i}", f"p{i}", e, i) for i in range(4) for e in ("neutral", "happy")]
    films = [
        made_clip(f"{e}{i}", subject=f"q{i}", emotion=e, frames=7, spoken=False, seed=i)
        for i in range(3)
        for e in ("neutral", "happy")
    ]
    films = [replace(film, info=replace(film.info, synthetic=False)) for film in films]
    write_shard(tmp_path / "data" / "a.tar", [*stills, *films])
    monkeypatch.setattr("training.evaluation.cross_validation.alike", lambda prints: [])
    asked: list[tuple[str, frozenset[str]]] = []
    left: dict[Path, frozenset[str]] = {}

    def train(options: Any, run: Path, left_out: frozenset[str], command: str) -> None:
        left[run] = left_out

    def watch(run: Path, films: Sequence[Clip]) -> Iterator[tuple[Clip, F32]]:
        for film in films:
            asked.append((film.info.subject, left[run]))
            calm = np.full((3, len(EMOTIONS)), -9.0, np.float32)
            calm[:2, 0], calm[2, EMOTIONS.index("happy")] = 0, 0
            yield film, calm

    certain = np.log(np.full(len(EMOTIONS), 0.125, np.float32))
    for name, stand_in in {
        "_train": train,
        "_watch": watch,
        "_ask": lambda name, run, clips: [certain for _ in clips],
    }.items():
        monkeypatch.setattr(f"training.evaluation.cross_validation.{name}", stand_in)
    (tmp_path / "cv").mkdir()
    command = ["visual", "--data", str(tmp_path / "data"), "--folds", "2"]
    assert main([*command, "--out", str(tmp_path / "cv")]) == 0
    assert sorted(who for who, _ in asked) == ["q0", "q1", "q2"]
    assert all(who in unseen for who, unseen in asked)
    said = capsys.readouterr().out
    assert "who talks calmly: neutral is named in 0.667 of the frames" in said
    assert "3 films of 3 people), in 0 films in 0.8 of them; otherwise happy 0.333" in said


def test_a_film_is_watched_in_a_row() -> None:
    torch.manual_seed(0)
    visual = VisualEncoder(Visual.debug().size).eval()
    film = made_clip("a", frames=10, spoken=False)
    film.found[3] = False
    seen = [t for t in range(10) if t != 3][::EVERY]
    said = watched(visual, film)
    assert said.shape == (len(seen), len(EMOTIONS))
    augmentation = Augmentation.plain(visual.size.crop_px)
    crops = np.stack([augmentation.picture(film.frame(t), visual.size.crop_px) for t in seen])
    with torch.no_grad():
        whole = visual.watch(
            torch.from_numpy(crops)[None], torch.from_numpy(film.blendshapes[seen])[None]
        )
    assert np.allclose(said, torch.log_softmax(whole.emotion[0], dim=1).numpy(), atol=1e-4)


def test_voices_are_asked_about_as_strangers_and_among_their_others(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said = [
        voice(f"{e}{i}", emotion=e, subject=f"p{i}", source="emodb")
        for i in range(2)
        for e in ("sad", "angry")
    ]
    calm = voice("calm", emotion="neutral", word="calm", subject="q", source="ravdess")
    write_shard(tmp_path / "data" / "a.tar", [*said, calm])
    command = ["speech", "--data", str(tmp_path / "data"), "--of", "emodb", "ravdess"]
    command += ["--folds", "2"]
    assert main([*command, "--config", "debug", "--out", str(tmp_path / "cv")]) == 0
    told = capsys.readouterr().out
    assert "all: accuracy" in told and "speakers heard before: accuracy" in told
    assert "calibration error" in told and "4 samples" in told
    assert "emodb, strangers, 2 classes" in told and "ravdess, strangers, 1 classes" in told
    assert told.count("taken for sad or angry") == 2  # nobody of emodb is neutral here


def test_who_is_asked_about_in_one_fold_is_not_learned_from(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said = [
        voice(f"{e}{i}", emotion=e, subject=f"q{i}", source="ravdess")
        for i in range(2)
        for e in ("sad", "angry")
    ]
    own = voice("own", emotion="happy", subject="p", source="emodb")
    write_shard(tmp_path / "data" / "a.tar", [*said, own])
    command = ["speech", "--data", str(tmp_path / "data"), "--of", "ravdess", "--folds", "1"]
    assert main([*command, "--config", "debug", "--out", str(tmp_path / "cv")]) == 0
    [stage] = checkpoint.load(tmp_path / "cv" / "fold-0")["stages"]
    [shard] = stage["data"].values()
    assert shard["people"] == ["p"] and "4 samples" in capsys.readouterr().out


def test_intensity_is_held_against_the_truth(
    made: Made, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    runs = [f"--{name}={made.runs / name}" for name in ("visual", "speech", "intensity")]
    assert main(["intensity", "--data", str(made.data), "--split", "train", *runs]) == 0
    said = capsys.readouterr().out
    assert "18 frames of 3 clips of 1 people" in said and said.count("\n| ") == 7
    assert main(["intensity", "--data", str(made.data)]) == 1
    assert "three runs" in capsys.readouterr().err
