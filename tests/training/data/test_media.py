"""Recordings as they are learned from: by the reader of the live path, in its time and upright."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine.errors import MienError
from media.mel import RATE_HZ
from tests import odd_media
from tests.made_media import clicks, clicks_in, make_video, number_in, numbered
from training.data.media import pictures, sound
from training.data.prepare import main


def clicks_at(path: Path) -> list[float]:
    samples = (sound(path) * 32767).astype(np.int16)[:, None]
    return clicks_in(samples, RATE_HZ)


def test_sound_that_begins_late_is_late(tmp_path: Path) -> None:
    path = odd_media.late_sound(tmp_path / "a.mp4", 0.6, [0.2])
    assert clicks_at(path) == pytest.approx([0.8], abs=0.025)
    assert len(list(pictures(path))) == 25


def test_pictures_that_begin_late_are_late(tmp_path: Path) -> None:
    path = make_video(
        tmp_path / "a.mkv",
        [numbered(i) for i in range(10)],
        pts=[10 + i for i in range(10)],
        sound=clicks(0.8, [0.4]),
        sound_encoder="pcm_s16le",
    )
    assert [number_in(picture) for picture in pictures(path)] == [0] * 10 + list(range(10))
    assert clicks_at(path) == pytest.approx([0.4], abs=0.002)


def test_both_halves_have_one_timeline(tmp_path: Path) -> None:
    """A file joined of two: sound and pictures, each read alone, stay together."""
    path = odd_media.joined(tmp_path / "a.ts")
    seen = [number_in(picture) for picture in pictures(path)]
    starts = [0, len(seen) - seen[::-1].index(0) - 1]
    offsets = [at - start / 25 for at, start in zip(clicks_at(path), starts, strict=True)]
    assert offsets == pytest.approx([0.5, 0.5], abs=0.06)


def test_what_is_learned_from_stands_upright(tmp_path: Path) -> None:
    stored = odd_media.corner()
    path = odd_media.with_matrix(tmp_path / "a.mp4", [stored] * 2, (0, -1, 1, 0))
    picture = next(pictures(path))
    assert picture.shape == (64, 48, 3)
    assert np.abs(picture.astype(int) - odd_media.shown(stored, 8)).mean() < 8


def test_no_sound_is_none(tmp_path: Path) -> None:
    assert len(sound(make_video(tmp_path / "a.mp4", [numbered(0)] * 3))) == 0


def test_nothing_is_learned_from_what_is_damaged(tmp_path: Path) -> None:
    path = make_video(tmp_path / "a.mp4", [numbered(i) for i in range(30)], options={"g": "5"})
    content = bytearray(path.read_bytes())
    start, end = content.index(b"mdat"), content.index(b"moov")
    middle, length = start + (end - start) // 3, (end - start) // 5
    content[middle : middle + length] = np.random.default_rng(1).bytes(length)
    path.write_bytes(content)
    with pytest.raises(MienError, match=r"a\.mp4 cannot be read: it is damaged"):
        list(pictures(path))


def test_pointers_are_no_recordings(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Git LFS not pulled: said for each, no empty shard is kept, and the exit code is 1."""
    recordings, out = tmp_path / "in", tmp_path / "out"
    recordings.mkdir()
    pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:1234\nsize 99\n"
    for name in ("1001_DFA_HAP_XX.mp4", "1002_DFA_SAD_XX.mp4"):
        (recordings / name).write_text(pointer)
    command: list[Any] = ["crema-d", str(recordings), str(out), "--processes", "1"]
    assert main(command) == 1
    printed = capfd.readouterr()
    assert "not one clip could be made of these recordings" in printed.err
    assert (out / "problems.txt").read_text().count("is a Git LFS pointer") == 2
    assert not list(out.glob("*.tar"))
