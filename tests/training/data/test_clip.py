"""Clips in shards: what is written comes back; damage is a line and the rest goes on."""

from __future__ import annotations

import errno
import tarfile
from pathlib import Path

import numpy as np
import pytest

from engine.errors import MienError
from tests.training.data.made import made_clip
from training.data.clip import Clip, ClipInfo, open_clips, write_shard


def test_what_is_written_comes_back(tmp_path: Path) -> None:
    clips = [made_clip("one", truth=True), made_clip("two", frames=3)]
    assert write_shard(tmp_path / "a.tar", clips) == 2
    opened = open_clips(tmp_path)
    back, other = opened
    assert back.info == clips[0].info and back.phones == clips[0].phones
    for name in ("landmarks", "blendshapes", "pose", "found", "mel", "sound", "rig", "index"):
        np.testing.assert_array_equal(getattr(back, name), getattr(clips[0], name))
    assert other.rig is None and opened.lengths == [5, 3]
    assert [info.key for info in opened.infos] == ["one", "two"]
    assert back.frames_THWC.shape == (5, 256, 256, 3)
    assert abs(int(back.frame(4)[9, 250, 0]) - int(clips[0].frame(0)[9, 250, 0]) - 4) <= 2
    assert len(opened.where(lambda info: info.key == "two")) == 1 and len(opened[1:]) == 1


def test_the_beginning_of_a_clip_holds_all_that_belongs_to_it() -> None:
    clip = made_clip("one", truth=True)
    begun = clip.first(0.12)
    assert len(begun) == 3 and begun.frames_THWC.shape[0] == 3
    assert len(begun.sound) == 3 * 640 and len(begun.mel) == 3 * 4
    assert begun.rig is not None and clip.rig is not None
    np.testing.assert_array_equal(begun.rig, clip.rig[:3])
    np.testing.assert_array_equal(begun.frame(2), clip.frame(2))
    assert begun.phones == clip.phones and clip.first(10) is clip


def test_a_damaged_clip_is_a_line_and_the_rest_goes_on(tmp_path: Path) -> None:
    shard = tmp_path / "a.tar"
    write_shard(shard, [made_clip("bad"), made_clip("good")])
    with tarfile.open(shard) as archive:
        place = archive.getmember("bad.npz").offset_data
    data = bytearray(shard.read_bytes())
    data[place : place + 3000] = bytes(3000)
    shard.write_bytes(data)
    bad, good = range(2)
    clips = open_clips(tmp_path)
    assert clips[good].info.key == "good"
    with pytest.raises(MienError, match=r"^.*bad") as one:
        clips[bad]
    assert "\n" not in str(one.value)


def test_single_pictures_and_arrays_are_read_alone(tmp_path: Path) -> None:
    """Whatever lies around them is damaged, and isn't looked at."""
    shard, clip = tmp_path / "a.tar", made_clip("one")
    write_shard(shard, [clip])
    data = bytearray(shard.read_bytes())
    with tarfile.open(shard) as archive:
        pictures = archive.getmember("one.jpgs").offset_data
        packed = archive.getmember("one.npz").offset_data
    start, end = (pictures + int(clip.index[t]) for t in (3, 4))
    data[pictures:start], data[end:] = bytes(start - pictures), bytes(len(data) - end)
    shard.write_bytes(data)
    (back,) = open_clips(tmp_path)
    np.testing.assert_array_equal(back.frame(3), clip.frame(3))
    with pytest.raises(MienError, match="one: picture 2 is damaged"):
        back.frame(2)
    place = data.index(clip.landmarks.tobytes(), packed)
    data[place : place + 40] = bytes(40)
    shard.write_bytes(data)
    clips = open_clips(tmp_path)
    found, blendshapes = clips.arrays(0, "found", "blendshapes")
    np.testing.assert_array_equal(found, clip.found)
    np.testing.assert_array_equal(blendshapes, clip.blendshapes)
    with pytest.raises(MienError, match="clip one is damaged: Bad CRC-32"):
        clips[0]
    shard.unlink()
    with pytest.raises(MienError, match="one: picture 3 cannot be read"):
        back.frame(3)
    with pytest.raises(MienError, match=r"clip one is damaged: .*No such file"):
        clips.arrays(0, "found")


def test_a_shard_of_an_older_version_whose_arrays_are_deflated_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clip = made_clip("one")
    with monkeypatch.context() as patch:
        patch.setattr(np, "savez", np.savez_compressed)
        write_shard(tmp_path / "a.tar", [clip])
    (back,) = open_clips(tmp_path)
    np.testing.assert_array_equal(back.landmarks, clip.landmarks)
    np.testing.assert_array_equal(back.frames_THWC, clip.frames_THWC)


def test_a_shard_that_is_cut_off_gives_what_is_whole(tmp_path: Path) -> None:
    shard = tmp_path / "a.tar"
    write_shard(shard, [made_clip("one"), made_clip("two")])
    with tarfile.open(shard) as archive:
        shard_end = archive.getmember("two.npz").offset_data + 40
    shard.write_bytes(shard.read_bytes()[:shard_end])
    lines: list[str] = []
    assert [clip.info.key for clip in open_clips(tmp_path, lines.append)] == ["one"]
    assert len(lines) == 1


def test_a_full_disk_is_one_line_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(tarfile.TarFile, "addfile", full)
    with pytest.raises(MienError, match=r"no space left for .*a\.tar"):
        write_shard(tmp_path / "a.tar", [made_clip("one")])
    assert not list(tmp_path.iterdir())


def test_no_shards_and_wrong_arrays_are_refused(tmp_path: Path) -> None:
    with pytest.raises(MienError, match="no shards"):
        open_clips(tmp_path)
    clip = made_clip("one")
    with pytest.raises(ValueError, match="landmarks"):
        Clip(**{**vars(clip), "landmarks": clip.landmarks[1:]})
    with pytest.raises(ValueError, match="emotion"):
        ClipInfo(key="a", subject="b", emotion="cross")
