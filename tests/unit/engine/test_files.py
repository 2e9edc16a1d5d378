"""Files that appear whole or not at all, and never through or over what is no file."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from commands.bench.report import write_json
from engine import files
from engine.errors import MienError
from engine.node import Context
from engine.parameters import build
from engine.record import Recorder, read_type
from engine.types import VideoFrame
from media.probing import open_media
from nodes.sinks.image_writer import ImageWriter
from nodes.sinks.media_writer import MediaWriter
from nodes.sinks.report import Report
from nodes.sinks.stopwatch import write_rows
from nodes.sources.image_folder import pictures_in
from run_engine import main

GRAPH = str(Path(__file__).parents[3] / "graphs" / "live.toml")
PICTURE = VideoFrame(capture_ns=1, pixels=np.zeros((32, 48, 3), np.uint8), pts=0)


def record(path: Path) -> None:
    Recorder(path, VideoFrame).close()


def film(path: Path) -> None:
    node = MediaWriter(build(MediaWriter.Config, {"path": str(path)}), Context())
    node.setup()
    try:
        node.on_video(PICTURE)
        node.finish()
    finally:
        node.close()


def picture(path: Path) -> None:
    node = ImageWriter(build(ImageWriter.Config, {"path": str(path)}), Context())
    node.setup()
    node.process(PICTURE)


def report(path: Path) -> None:
    node = Report(build(Report.Config, {"path": str(path)}), Context())
    node.setup()
    node.finish()


def drawing(path: Path) -> None:
    if main(["graph", GRAPH, "--draw", str(path)]):
        raise MienError("which nothing may replace")


WRITERS: dict[str, Callable[[Path], None]] = {
    "a.json": lambda path: write_json(path, {"a": 1}),
    "a.npy": lambda path: write_rows(path, [(1, 2, 3, 4)]),
    "a.mrec": record,
    "a.mp4": film,
    "a.png": picture,
    "r.json": report,
    "a.svg": drawing,
}
EVERY = pytest.mark.parametrize(("name", "write"), WRITERS.items(), ids=WRITERS)


@EVERY
def test_a_link_laid_in_the_way_is_not_followed(
    name: str, write: Callable[[Path], None], tmp_path: Path
) -> None:
    """Where the unfinished file stood before: its name could be known, and a link be laid there."""
    treasure = tmp_path / "treasure"
    treasure.write_text("mine")
    for known in (f".{name}.part", f".{name}.part.npy", f".{name}.{os.getpid()}"):
        (tmp_path / known).symlink_to(treasure)
    write(tmp_path / name)
    assert treasure.read_text() == "mine"
    assert (tmp_path / name).stat().st_size
    assert not (tmp_path / name).is_symlink()


@EVERY
def test_a_link_in_the_goals_place_is_replaced(
    name: str, write: Callable[[Path], None], tmp_path: Path
) -> None:
    treasure = tmp_path / "treasure"
    treasure.write_text("mine")
    (tmp_path / name).symlink_to(treasure)
    write(tmp_path / name)
    assert treasure.read_text() == "mine"
    assert not (tmp_path / name).is_symlink()


@EVERY
def test_a_pipe_is_refused_and_stays(
    name: str, write: Callable[[Path], None], tmp_path: Path
) -> None:
    os.mkfifo(tmp_path / name)
    with pytest.raises(MienError, match="which nothing may replace"):
        write(tmp_path / name)
    assert stat.S_ISFIFO((tmp_path / name).stat().st_mode)
    assert [item.name for item in tmp_path.iterdir()] == [name]


def test_devices_and_standard_output_are_refused() -> None:
    for place in ("/dev/null", "/dev/stdout", "/dev/fd/1"):
        with pytest.raises(MienError, match=f"{place} is a "):
            files.begin(Path(place))


@pytest.mark.parametrize(
    "read", [read_type, lambda path: pictures_in(path), lambda path: open_media(str(path))]
)
def test_a_pipe_is_never_waited_for(read: Callable[[Path], object], tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a")
    with pytest.raises(MienError, match="is a pipe, not a file"):
        read(tmp_path / "a")


def test_two_at_once_do_not_meet(tmp_path: Path) -> None:
    goal = tmp_path / "a.txt"
    with files.atomic_write(goal) as one, files.atomic_write(goal) as other:
        assert one != other
        one.write_text("one")
        other.write_text("other")
    assert goal.read_text() == "one"
    assert list(tmp_path.iterdir()) == [goal]


def test_a_part_already_there_is_never_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("secrets.token_hex", lambda size: "0" * 2 * size)
    first = files.begin(tmp_path / "a")
    first.write_text("being written")
    with pytest.raises(MienError, match="File exists"):
        files.begin(tmp_path / "a")
    assert first.read_text() == "being written"


def test_what_was_closed_to_others_stays_so(tmp_path: Path) -> None:
    goal = tmp_path / "a"
    goal.write_text("old")
    goal.chmod(0o600)
    with files.atomic_write(goal) as part:
        assert stat.S_IMODE(part.stat().st_mode) == 0o600
        part.write_text("new")
    assert stat.S_IMODE(goal.stat().st_mode) == 0o600
    assert goal.read_text() == "new"


def test_the_longest_name_has_a_part(tmp_path: Path) -> None:
    for name in ("n" * 255, "ü" * 127):
        with files.atomic_write(tmp_path / name) as part:
            part.write_text("x")
        assert (tmp_path / name).read_text() == "x"
