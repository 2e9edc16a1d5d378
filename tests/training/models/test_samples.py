"""How trainers draw clips: runs of frames, emotions alike, pictures augmented."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")

from face.emotions import MIRROR
from tests.training.made_clips import made_clip, made_clips
from training.data.clip import write_shard
from training.trainers.samples import Augmentation, Clips, run_of_frames


def test_mirrored_looks_swap_the_sides_of_the_rig() -> None:
    assert (MIRROR[MIRROR] == np.arange(52)).all() and (np.arange(52) != MIRROR).sum() == 40
    clip = made_clip("a")
    looks = [Augmentation.draw(np.random.default_rng(seed), 64) for seed in range(20)]
    assert {look.mirrored for look in looks} == {True, False}
    shapes = np.arange(52, dtype=np.float32)
    for look in looks:
        swapped = not np.array_equal(look.rig(shapes), shapes)
        assert swapped == look.mirrored == (np.linalg.det(look.matrix[:, :2]) < 0)
        assert look.picture(clip.frame(0), 64).shape == (3, 64, 64)


def test_a_plain_look_only_shrinks() -> None:
    import cv2

    frame = made_clip("a").frame(0)
    small = Augmentation.plain(128).picture(frame, 128)
    wanted = cv2.resize(frame, (128, 128), interpolation=cv2.INTER_AREA).transpose(2, 0, 1) / 255
    assert np.abs(small - wanted).mean() < 0.01


def test_runs_of_frames_stop_where_the_face_is_lost() -> None:
    rng = np.random.default_rng(0)
    found = np.array([False, True, True, False, False])
    runs = [run_of_frames(found, 3, rng) for _ in range(20)]
    assert all(run is not None and set(run) <= {1, 2} for run in runs)
    assert run_of_frames(np.zeros(4, bool), 2, rng) is None


def test_emotions_are_drawn_alike_however_many_clips_they_have(tmp_path: Path) -> None:
    clips = [made_clip(f"h{i}", emotion="happy", frames=1) for i in range(9)]
    write_shard(tmp_path / "a.tar", [*clips, made_clip("s", emotion="sad", frames=1)])
    drawn = Clips(tmp_path, "train")
    rng = np.random.default_rng(0)
    sad = sum(drawn.infos[drawn.draw(rng)].emotion == "sad" for _ in range(400))
    assert 150 < sad < 250


def test_made_clips_survive_a_shard(tmp_path: Path) -> None:
    assert write_shard(tmp_path / "a.tar", made_clips()) == len(made_clips())
