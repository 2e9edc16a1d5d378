"""Content Credentials: what a file says of how it was made, and that nothing was changed since."""

from __future__ import annotations

import json
import stat
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine.errors import MienError
from engine.harness import run_node
from engine.types import VideoFrame
from media import credentials
from media.image_file import Picture, encode
from nodes.sinks.image_writer import ImageWriter
from nodes.sinks.media_writer import MediaWriter
from tests.made_media import make_video, numbered

c2pa = pytest.importorskip("c2pa", reason="needs c2pa-python: pip install -e '.[c2pa]'")


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    return tmp_path / "data" / "mien"


def note(path: Path) -> dict[str, Any]:
    """What a reader of another make finds, where all but the signer's name holds."""
    with c2pa.Reader(str(path)) as reader:
        told = json.loads(reader.json())
    assert [row["code"] for row in told["validation_status"]] == ["signingCredential.untrusted"]
    found: dict[str, Any] = told["manifests"][told["active_manifest"]]
    return found


def actions(found: dict[str, Any]) -> list[str]:
    (told,) = (row for row in found["assertions"] if row["label"].startswith("c2pa.actions"))
    return [action["action"] for action in told["data"]["actions"]]


def frames() -> list[dict[str, Any]]:
    return [
        {"video": VideoFrame(capture_ns=at * 40_000_000, pts=at * 40_000_000, pixels=numbered(at))}
        for at in range(4)
    ]


def test_a_video_says_that_it_was_made_and_of_what(tmp_path: Path, home: Path) -> None:
    source, goal = tmp_path / "in.mp4", tmp_path / "out.mp4"
    make_video(source, [numbered(at) for at in range(4)])
    config = {"path": str(goal), "like": str(source), "mark": "c2pa", "sound": "none"}
    run_node(MediaWriter, frames(), config=config)
    found = note(goal)
    assert actions(found) == ["c2pa.opened", "c2pa.edited"]
    assert [row["title"] for row in found["ingredients"]] == ["in.mp4"]
    assert stat.S_IMODE((home / "credentials.pem").stat().st_mode) == 0o600
    data = bytearray(goal.read_bytes())
    data[-200] ^= 1
    goal.write_bytes(data)
    with c2pa.Reader(str(goal)) as reader:
        assert reader.get_validation_state() == "Invalid"


def test_what_was_drawn_from_nothing_was_created(tmp_path: Path) -> None:
    goal = tmp_path / "out.mov"
    config = {"path": str(goal), "mark": "c2pa", "comment": "made to talk"}
    run_node(MediaWriter, frames(), config=config)
    assert actions(note(goal)) == ["c2pa.created"]


def test_a_picture_that_nothing_changed_carries_no_note(tmp_path: Path) -> None:
    before, after = tmp_path / "before", tmp_path / "after"
    before.mkdir()
    pixels = np.full((64, 64, 3), 90, np.uint8)
    for name in ("same.png", "other.png", "no.bmp"):
        kind = "PNG" if name.endswith("png") else "BMP"
        (before / name).write_bytes(encode(Picture(pixels=pixels), kind, 95))
    config = {"path": str(after), "originals": str(before), "mark": "c2pa"}
    messages = [
        {"video": VideoFrame(capture_ns=0, pixels=pixels + np.uint8(add), name=name)}
        for name, add in (("same.png", 0), ("other.png", 9), ("no.bmp", 9))
    ]
    run_node(ImageWriter, messages, config=config)
    assert (after / "same.png").read_bytes() == (before / "same.png").read_bytes()
    assert actions(note(after / "other.png")) == ["c2pa.opened", "c2pa.edited"]
    assert sorted(path.name for path in after.iterdir()) == ["no.bmp", "other.png", "same.png"]


def test_what_cannot_be_is_said_before_the_work(tmp_path: Path, home: Path) -> None:
    with pytest.raises(MienError, match=r"\.webm can't carry Content Credentials; name it .*\.mp4"):
        credentials.check(tmp_path / "out.webm")
    home.mkdir(parents=True)
    (home / "credentials.pem").write_text("nothing")
    with pytest.raises(MienError, match=r"credentials.pem: no usable key .*remove the file"):
        credentials.check(tmp_path / "out.mp4")
