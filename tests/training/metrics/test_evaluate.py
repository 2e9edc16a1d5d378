"""The evaluation command over two small sets."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from nodes.rig import load_rig
from tests.training.data.made import made_clip
from training.data.clip import write_shard
from training.evaluate import main


def test_two_sets_are_compared(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    face = (load_rig().mean * np.array([10, -10, -10]) + 128).astype(np.float32)
    shapes = np.zeros((5, 52), np.float32)
    shapes[:, 44:46] = 0.9
    clip = dataclasses.replace(
        made_clip("one"), landmarks=np.repeat(face[None], 5, axis=0), blendshapes=shapes
    )
    write_shard(tmp_path / "before" / "a.tar", [clip, made_clip("alone")])
    calmer = dataclasses.replace(clip, blendshapes=(shapes / 3).astype(np.float32))
    write_shard(tmp_path / "after" / "a.tar", [calmer])
    assert main([str(tmp_path / "before"), str(tmp_path / "after")]) == 0
    out = capsys.readouterr().out
    assert "| happy | 1 | 0.333 | 0.0000 | 0.0000 | 0.0000 |" in out and "Landmarker" in out
    write_shard(tmp_path / "other" / "a.tar", [made_clip("else")])
    assert main([str(tmp_path / "before"), str(tmp_path / "other")]) == 1
    assert "share no clip" in capsys.readouterr().err
