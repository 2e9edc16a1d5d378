"""A cluster of two nodes: clips in bulk as processes are killed, sessions as a node is."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from cluster.bulk import each
from cluster.certificate import Certificate
from cluster.joining import joined
from cluster.parcels import Parcel, received, sent
from commands.file import _convert, add_arguments, many
from engine import files
from engine.errors import MienError
from engine.folders import base_folder
from tests.loopback.rig import until
from tests.loopback.test_web_gstreamer import NO_UPNP, WHIP_CLIENT_SENDS
from tests.loopback.visitors import STORE_BYTES, House, Visitor, kill_whole, nodes
from tests.made_media import make_video, number_in, numbered, read_video

pytestmark = pytest.mark.cluster

FRAMES = 4


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """Three nodes: one that carries nothing, and two with a core."""
    if find_spec("ray") is None:  # once it is imported, it reads no more of the environment
        pytest.skip("no Ray here: the extra `cluster`")
    with nodes((0, 1, 1)) as running:
        yield running


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


def test_every_clip_is_whole_and_done_once(cluster: Any, clips: Path, tmp_path: Path) -> None:
    goal = tmp_path / "out"
    (clips / "no.mp4").write_bytes(b"no video at all")
    (clips / "no.tried").touch()
    asked = options_of("--cluster", cluster.address, clips, goal)
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
    assert "whole video or sound file" in record["failed"]["no.mp4"]

    before = {name: (goal / name).stat().st_mtime_ns for name in made}
    (clips / "no.mp4").unlink()
    make_video(clips / "d.mp4", [numbered(i) for i in range(FRAMES)])
    assert many.convert_all(asked, killed_once) == 0
    assert {name: (goal / name).stat().st_mtime_ns for name in made} == before
    counts = {p.stem: p.read_text().count("done") for p in clips.rglob("*.tried")}
    assert counts == {"a": 1, "b": 1, "c": 1, "d": 1, "no": 1}


def received_as(parcel: Parcel) -> tuple[str, bytes, int]:
    place = received(parcel)
    return place.name, place.read_bytes(), place.stat().st_mode & 0o077


def test_files_of_a_person_reach_who_works_and_go_with_them(cluster: Any, tmp_path: Path) -> None:
    (tmp_path / "anna.person").write_bytes(b"anna's faces")
    with (
        joined(cluster.address) as ray,
        sent(ray, {"person": tmp_path / "anna.person"}) as parcels,
    ):
        ends = [end for end in each(ray, received_as, [*parcels.values()] * 3) if end is not None]
        wrong = parcels["person"]._replace(digest="0" * 64)
        (refused,) = [end for end in each(ray, received_as, [wrong]) if end is not None]
    assert [end.result for end in ends] == [("anna.person", b"anna's faces", 0)] * 3
    assert refused.why == "there is no file of that hash"


def folders_with(parameter: str, value: int) -> list[Path]:
    """Of sessions on this machine that have this setting."""
    kept = base_folder().glob("*/s*/settings.json")
    return [place.parent for place in kept if f'"{parameter}": {value}' in place.read_text()]


async def test_sessions_outlive_their_node_and_a_drain(cluster: Any, tmp_path: Path) -> None:
    """Two visitors, each on a node; one node is gone at once; then a worker is drained. Settings
    and people go with them. What is handed through is encrypted."""
    certificate = Certificate.made(tmp_path, "127.0.0.1")
    with joined(cluster.address) as ray:
        async with House(ray, workers=2, most=2, certificate=certificate).open() as house:
            await until(lambda: len(house.workers.ready) == 2, "both workers")
            assert all(worker.url.startswith("https://") for worker in house.workers.ready)
            anna, bert = visitors = [Visitor(house, 1), Visitor(house, 2)]
            try:
                await until(lambda: all(len(each.seen) > 20 for each in visitors), "pictures")
                assert {row["worker"] for row in house.sessions.figures()} == set(
                    house.workers.by_name
                )
                for number, each in enumerate(visitors):
                    await each.ask("set", node="out", parameter="bitrate_kbps", value=700 + number)
                await until(lambda: folders_with("bitrate_kbps", 700), "anna's settings")
                (folder,) = folders_with("bitrate_kbps", 700)
                (folder / "people").mkdir()
                (folder / "people" / "anna.person").write_bytes(b"anna's faces")
                sessions = house.sessions.by_name
                await until(
                    lambda: sum(len(each.files) for each in sessions.values()) == 3, "files"
                )

                at_s = kill_whole(cluster.worker_nodes.copy().pop())
                await until(lambda: all(each.back_s(at_s) for each in visitors), "both are back")
                assert max(each.back_s(at_s) or 9 for each in visitors) < 5
                assert sum(each.moves for each in sessions.values()) == 1
                await until(lambda: len({row["worker"] for row in house.sessions.figures()}) == 1)

                cluster.add_node(num_cpus=1, object_store_memory=STORE_BYTES)
                await until(lambda: len(house.workers.ready) == 2, "another worker", 60)
                (full,) = [worker for worker in house.workers.ready if worker.taken]
                twice = [each.twice() for each in visitors]
                at_s = time.monotonic()
                drained = int(full.name.rpartition(" ")[2])
                assert await house.admin("POST", f"/admin/workers/{drained}/drain") == ""
                await until(lambda: all(each.comings > 1 for each in visitors), "they moved")
                await until(lambda: all(each.back_s(time.monotonic() - 1) for each in visitors))
                assert full.name not in {row["worker"] for row in house.sessions.figures()}
                for number, each in enumerate(visitors):
                    assert each.pause_s(at_s) < 5
                    assert each.twice() > twice[number]  # the old place sent on until the new did
                    assert await each.value("out", "bitrate_kbps") == 700 + number
                    assert not each.foreign()
                    assert await each.ask("people") == [["anna"], []][number]
                state = json.loads(await house.admin("GET", "/admin/state"))
                assert drained not in {row["number"] for row in state["workers"]}
                assert "mien_free 0.0" in await house.admin("GET", "/metrics")
                assert {row["moves"] for row in state["sessions"]} == {1, 2}
            finally:
                await asyncio.gather(anna.leave(), bert.leave())


@pytest.fixture
def whip_client(tmp_path: Path) -> dict[str, str]:
    """An environment in which simple-whip-client runs."""
    if not shutil.which("whip-client") or not shutil.which("cc"):
        pytest.skip("no simple-whip-client or C compiler: apt install simple-whip-client gcc")
    subprocess.run(
        ["cc", "-shared", "-fPIC", "-x", "c", "-", "-o", str(tmp_path / "libgupnp-igd-1.0.so.4")],
        input=NO_UPNP, text=True, check=True, timeout=60,
    )  # fmt: skip
    return {**os.environ, "LD_LIBRARY_PATH": str(tmp_path)}


async def test_simple_whip_client_is_sent_to_its_worker(
    cluster: Any, whip_client: dict[str, str]
) -> None:
    """It offers there; its candidates and its end it sends to the front, which hands them on."""
    pictures = "videotestsrc is-live=true ! video/x-raw,width=320,height=240 ! "
    with joined(cluster.address) as ray:
        async with House(ray, workers=1, most=2).open() as house:
            process = await asyncio.create_subprocess_exec(
                "whip-client", "-o", "-l", "7", "-u", house.address("a-whip-clients-own/whip"),
                "-V", pictures + WHIP_CLIENT_SENDS["vp8"], env=whip_client,
                stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
            )  # fmt: skip
            said = asyncio.create_task(process.communicate())
            try:
                await until(lambda: connected(house) or said.done(), "media at the worker")
                (worker,) = house.workers.ready
                process.send_signal(signal.SIGINT)
                await until(lambda: not connected(house), "its DELETE")
                await asyncio.wait([said], timeout=5)
            finally:
                if process.returncode is None:
                    process.kill()
                told, _ = await said
            assert f"Redirected to {worker.url}/s/".encode() in told


def connected(house: House) -> int:
    return sum(row["connected"] for row in house.sessions.figures())
