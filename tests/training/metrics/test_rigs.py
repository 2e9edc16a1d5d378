"""Rigs of a first stage are judged: what is copied feels as the reference and moves the mouth."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")

import torch

from engine.errors import MienError
from tests.training.made_clips import made_clip
from training.data.clip import write_shard
from training.evaluation.rigs import as_text, copied, judge_of, judged, read_of
from training.models.emotion_priors import PRIORS
from training.recipes.visual import Visual


def test_a_rig_copy_feels_as_its_reference_and_the_source_says_what_it_says(
    tmp_path: Path,
) -> None:
    torch.manual_seed(0)
    clips = [
        made_clip(f"{who}-{emotion}", subject=who, emotion=emotion, split="val", frames=4, seed=n)
        for n, who in enumerate("ab")
        for emotion in PRIORS
    ]
    write_shard(tmp_path / "made.tar", clips)
    judge, visual = judge_of(tmp_path), Visual.debug().build().eval()
    methods = {"none": lambda rig, asked: rig, "rig copy": copied}
    figures = judged(clips, methods, judge, visual, None)
    assert figures.keys() == {"intra", "cross"}
    for rows in figures.values():
        still, copy = rows["none"], rows["rig copy"]
        assert still["LVE"] == 0 and copy["LVE"] > 0
        assert still["pairs"] == 2 * (len(PRIORS) - 1)
        assert copy["CSIM"] == pytest.approx(1, abs=1e-5) and still["CSIM"] < 0.9
        assert copy["read as"] > 0.8 > still["read as"]
        assert copy["FD"] < still["FD"]
        assert "LSE-D" not in still  # no expert was given
    assert "| rig copy |" in as_text(figures) and "| intra-ID, 12 pairs |" in as_text(figures)
    asked = read_of(clips[1], visual)
    np.testing.assert_allclose(asked.read[:52], clips[1].blendshapes[2])
    assert asked.read[52:60].sum() == pytest.approx(1, abs=1e-5)
    with pytest.raises(MienError, match="no calm talk has a reference"):
        judged(clips[1:3], methods, judge, visual, None)
