"""A head fitted anew on a finished backbone: it learns, can be exported, says where it is from."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")

import torch

from engine.types import EMOTIONS
from tests.training.models.conftest import Made
from training import checkpoint
from training.models.visual import VisualEncoder
from training.refit import main
from training.restore import restore
from training.trainers.samples import Clips, Look


def test_a_head_learns_and_its_scale_is_folded_in(made: Made, tmp_path: Path) -> None:
    out = tmp_path / "refit"
    command = [str(made.runs / "visual"), "--data", str(made.data), "--out", str(out)]
    assert main([*command, "--steps", "150", "--per-clip", "3"]) == 0
    with np.load(out / "seen.npz") as seen:
        assert len(seen["features"]) == 18 and seen["rig"].shape == (18, 52)
    encoder = restore(out, "visual", VisualEncoder)
    before = restore(made.runs / "visual", "visual", VisualEncoder)
    for kept, own in zip(encoder.backbone.parameters(), before.backbone.parameters(), strict=True):
        assert torch.equal(kept, own)
    clips, look, right = Clips(made.data, "train"), Look.plain(encoder.size.crop_px), []
    for index in clips.chosen:
        sample = clips[index]
        if sample.clip.info.synthetic:
            continue
        crop = torch.from_numpy(look.picture(sample.clip.frame(5), encoder.size.crop_px))[None]
        rig = torch.from_numpy(sample.clip.blendshapes[5:6])
        with torch.no_grad():
            told = EMOTIONS[int(encoder(crop, rig, encoder.begin(1)).emotion.argmax())]
        right.append(told == sample.clip.info.emotion)
    assert all(right) and len(right) == 3
    assert checkpoint.load(out)["command"].count("python -m training.") == 2


def test_what_is_seen_is_kept(made: Made, tmp_path: Path) -> None:
    command = [str(made.runs / "visual"), "--data", str(made.data), "--out", str(tmp_path / "a")]
    assert main([*command, "--steps", "2"]) == 0
    before = (tmp_path / "a" / "seen.npz").stat().st_mtime_ns
    assert main([*command, "--steps", "2"]) == 0
    assert (tmp_path / "a" / "seen.npz").stat().st_mtime_ns == before


def test_a_run_that_isnt_there_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(tmp_path), "--data", str(tmp_path), "--out", str(tmp_path / "o")]) == 1
    assert capsys.readouterr().err.count("\n") == 1
