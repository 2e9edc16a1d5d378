"""Local media: a name is never an address or a pattern, and one file reads no other."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from engine.errors import MienError
from media.probing import extent
from tests.made_media import bars, make_video
from tests.unit.nodes.test_media_file import pictures, play
from tests.unit.nodes.test_media_writer import convert

NAMES = (
    "2024-11-14T22:57:44.mp4", "file:x.mp4", "a:b.mkv", "http:x.mp4", "concat:a|b.mp4", "%03d.mp4",
    "x?y=1&z.mov", "-i.mp4", "a\nb.mp4", "quo'te\".mp4", "<b>&.webm", os.fsdecode(b"bytes\xff.mp4"),
)  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_any_name_is_a_file(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """As it stands and by a relative path, to read, to be like, and to write."""
    monkeypatch.chdir(tmp_path)
    source = make_video(tmp_path / f"plain{Path(name).suffix}", [bars()] * 3, **_codec(name))
    shutil.copy(source, name)
    assert len(pictures(play(Path(name)))) == 3
    Path("out").mkdir()
    convert(Path(name), Path("out") / name, preset="ultrafast")
    assert os.listdir("out") == [name]  # noqa: PTH208 - surrogates as they are
    assert extent(str(Path("out") / name)).frames == 3


def _codec(name: str) -> dict[str, Any]:
    return {"encoder": "libvpx-vp9"} if name.endswith(".webm") else {}


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("list.m3u8", "#EXTM3U\n#EXTINF:10,\nother.mkv\n#EXT-X-ENDLIST\n"),
        ("list.mp4", "\n#EXTM3U\n#EXTINF:10,\nother.mkv\n"),
        ("list.txt", "ffconcat version 1.0\nfile other.mkv\n"),
        ("list.pls", "[playlist]\nFile1=other.mkv\n"),
        ("list.sdp", "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\nm=video 5004 RTP/AVP 96\r\n"),
        ("list.mpd", '<?xml version="1.0"?>\n<MPD type="static"></MPD>'),
    ],
)
def test_a_playlist_is_named_and_not_followed(tmp_path: Path, name: str, text: str) -> None:
    make_video(tmp_path / "other.mkv", [bars()] * 3)
    (tmp_path / name).write_text(text)
    with pytest.raises(MienError, match="is a playlist; name the video that it plays"):
        play(tmp_path / name)


def test_nothing_else_is_opened_whatever_the_demuxer(tmp_path: Path) -> None:
    """A list that no rule of ours knows still can't make FFmpeg open what it names."""
    make_video(tmp_path / "other.mkv", [bars()] * 3)
    (tmp_path / "list.txt").write_text("# a remark\nffconcat version 1.0\nfile other.mkv\n")
    with pytest.raises(MienError, match="cannot read"):
        play(tmp_path / "list.txt")


def test_a_git_lfs_pointer_is_named(tmp_path: Path) -> None:
    pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:1234\nsize 99\n"
    (tmp_path / "a.mp4").write_text(pointer)
    with pytest.raises(MienError, match="is a Git LFS pointer, not the file itself; run git lfs"):
        play(tmp_path / "a.mp4")
    with pytest.raises(MienError, match="is a Git LFS pointer"):
        extent(str(tmp_path / "a.mp4"))


def test_a_heic_picture_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.heic").write_bytes(b"\0\0\0\x1cftypheic" + b"\0" * 99)
    with pytest.raises(MienError, match="is a HEIC picture, which can't be read here; save it as"):
        play(tmp_path / "a.heic")
