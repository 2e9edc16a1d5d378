"""Clips in bulk on a cluster of two nodes: whole, once, by processes that are killed meanwhile."""

from __future__ import annotations

import argparse
import json
import os
import secrets
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from commands.file import _convert, add_arguments, many
from engine import files
from engine.errors import MienError
from tests.made_media import make_video, number_in, numbered, read_video

pytestmark = pytest.mark.cluster

FRAMES = 4


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """Two nodes on this machine, of one core each."""
    os.environ |= {
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # on loopback alone
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": secrets.token_hex(32),
    }
    pytest.importorskip("ray", reason="the extra `cluster`")
    from ray.cluster_utils import Cluster

    node = {"num_cpus": 1, "include_dashboard": False, "object_store_memory": 80 << 20}
    cluster: Any = Cluster(initialize_head=True, head_node_args=node)
    try:
        cluster.add_node(num_cpus=1, object_store_memory=80 << 20)
        yield cluster.address
    finally:
        cluster.shutdown()


@pytest.fixture
def clips(tmp_path: Path) -> Path:
    folder = tmp_path / "in"
    (folder / "more").mkdir(parents=True)
    for place in ("a.mp4", "b.mp4", "more/c.avi"):
        make_video(folder / place, [numbered(i) for i in range(FRAMES)])
    return folder


def options_of(*arguments: str | Path) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    return parser.parse_args([str(argument) for argument in arguments])


def killed_once(options: argparse.Namespace) -> int:
    """The same as `file`, by a process that is killed the first time, half its output written."""
    tried = Path(options.input).with_suffix(".tried")
    if not tried.exists():
        tried.touch()
        files.begin(Path(options.output)).write_bytes(b"half")
        os.kill(os.getpid(), signal.SIGKILL)
    with tried.open("a") as told:
        told.write("done\n")
    return _convert(options)


def test_every_clip_is_whole_and_done_once(address: str, clips: Path, tmp_path: Path) -> None:
    goal = tmp_path / "out"
    (clips / "no.mp4").write_bytes(b"no video at all")
    (clips / "no.tried").touch()
    asked = options_of("--cluster", address, clips, goal)
    with pytest.raises(MienError, match="1 of 4 clips could not be done"):
        many.convert_all(asked, killed_once)
    made = sorted(p.relative_to(goal).as_posix() for p in goal.rglob("*") if p.suffix == ".mp4")
    assert made == ["a.mp4", "b.mp4", "more/c.avi.mp4"]
    for name in made:
        pictures, _ = read_video(goal / name)
        assert [number_in(picture) for picture in pictures] == list(range(FRAMES))
    assert not list(goal.rglob("*.part"))
    record = json.loads((goal / many.RECORD).read_text())
    assert (record["clips"], record["done"]) == (4, 3) and list(record["failed"]) == ["no.mp4"]
    assert "whole video file" in record["failed"]["no.mp4"]

    before = {name: (goal / name).stat().st_mtime_ns for name in made}
    (clips / "no.mp4").unlink()
    make_video(clips / "d.mp4", [numbered(i) for i in range(FRAMES)])
    assert many.convert_all(asked, killed_once) == 0
    assert {name: (goal / name).stat().st_mtime_ns for name in made} == before
    counts = {p.stem: p.read_text().count("done") for p in clips.rglob("*.tried")}
    assert counts == {"a": 1, "b": 1, "c": 1, "d": 1, "no": 1}
