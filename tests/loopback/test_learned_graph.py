"""The learned networks in whole graphs: files with a report, and the live graph's own processes."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from commands.doctor.speed import drawn_face
from commands.live import live_graph
from commands.paths import GRAPHS
from engine.graph import load, read
from engine.supervisor import Supervisor
from engine.types import I16, U8
from face.types import EMOTIONS
from tests.made_media import make_video
from tests.made_weights import make_weights

ENGINE = Path(__file__).resolve().parents[2] / "run_engine.py"
KEYS = {"name", "probabilities", "valence", "arousal", "intensity"}


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_weights(tmp_path_factory.mktemp("weights"))


def head(number: int) -> U8:
    return np.roll(drawn_face(256, 256), number % 9 - 4, axis=1)


def voice(seconds: float, rate_hz: int = 48_000) -> I16:
    """Half a second of silence, then a tone."""
    at = np.arange(int(seconds * rate_hz)) / rate_hz
    tone = 10_000 * np.sin(2 * np.pi * 300 * at) * (at > 0.5)
    return tone.astype(np.int16)[:, None]


def file(weights: Path, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    learned = ("--set", "compositor.renderer=auto")
    command = [sys.executable, str(ENGINE), "file", *map(str, arguments), *learned]
    environment = os.environ | {"MIEN_WEIGHTS": str(weights)}
    return subprocess.run(
        command, capture_output=True, text=True, timeout=120, check=False, env=environment
    )


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("film")
    return make_video(folder / "in.mp4", [head(i) for i in range(40)], sound=voice(1.6))


def test_a_report_says_what_face_and_voice_feel(
    weights: Path, source: Path, tmp_path: Path
) -> None:
    goal, report = tmp_path / "out.mp4", tmp_path / "r.json"
    ended = file(weights, source, goal, "--report", report, "--set", "editor.mode=voice",
                 "--set", "editor.voice_gain=1.2",
                 "--set", "voice_reader.settle_ms=200")  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    (line,) = ended.stderr.splitlines()
    assert line.startswith(f"weights {weights}: ")
    told = json.loads(report.read_text())
    assert told["unread"] == {} and told["frames_out"] == 40 and told["dropped"] == 0
    for name in ("face_reader", "voice_reader", "feeling", "compositor"):
        assert told["backends"][name].startswith("OpenVINO"), name
    frames = told["frames"]
    seen = [frame for frame in frames if frame["face"]]
    assert len(seen) >= 38
    for frame in seen:
        assert frame["emotion"].keys() == frame["voice"].keys() == KEYS
        assert frame["emotion"]["name"] in EMOTIONS
        assert sum(frame["emotion"]["probabilities"].values()) == pytest.approx(1, abs=1e-3)
        assert -1 <= frame["emotion"]["valence"] <= 1 and 0 <= frame["emotion"]["intensity"] <= 1
    # The made speech network calls every tone happy; before it there is silence.
    silent, spoken = frames[4], frames[30]
    assert silent["voice"] == dict.fromkeys(KEYS)
    assert spoken["voice"]["name"] == "happy"
    assert spoken["voice"]["intensity"] == pytest.approx(0.8, abs=0.02)
    smile = [frame["edit"]["mouthSmileLeft"] for frame in (frames[8], frames[36])]
    assert smile[0] < 0.1 and smile[1] > 0.6


def test_the_same_film_gives_the_same_report(weights: Path, source: Path, tmp_path: Path) -> None:
    told = []
    for number in range(2):
        report = tmp_path / f"{number}.json"
        ended = file(weights, source, tmp_path / "out.mp4", "--report", report,
                     "--set", "editor.mode=voice")  # fmt: skip
        assert ended.returncode == 0, ended.stderr
        told.append(json.loads(report.read_text())["frames"])
    assert told[0] == told[1]


def test_without_weights_the_keys_are_null_and_the_report_says_why(
    source: Path, tmp_path: Path
) -> None:
    report = tmp_path / "r.json"
    (tmp_path / "none").mkdir()
    ended = file(tmp_path / "none", source, tmp_path / "out.mp4", "--report", report)
    assert ended.returncode == 0
    lines = ended.stderr.splitlines()
    assert any("compositor: no weight in" in line and "stay as they are" in line for line in lines)
    told = json.loads(report.read_text())
    assert "no weight in" in told["unread"]["emotion"] and "visual" in told["unread"]["emotion"]
    assert "speech" in told["unread"]["voice"]
    assert told["backends"]["compositor"].startswith("own faces")
    for frame in told["frames"]:
        assert frame["emotion"] == frame["voice"] == dict.fromkeys(KEYS)


def test_a_film_without_sound_has_no_voice(weights: Path, tmp_path: Path) -> None:
    silent = make_video(tmp_path / "in.mp4", [head(i) for i in range(6)])
    report = tmp_path / "r.json"
    ended = file(weights, silent, tmp_path / "out.mp4", "--report", report)
    assert ended.returncode == 0, ended.stderr
    frames = json.loads(report.read_text())["frames"]
    assert all("voice" not in frame and frame["emotion"].keys() == KEYS for frame in frames)


def test_pictures_are_read_one_by_one(weights: Path, tmp_path: Path) -> None:
    import cv2

    (tmp_path / "in").mkdir()
    for number in range(2):
        cv2.imwrite(str(tmp_path / "in" / f"{number}.png"), head(0))
    report = tmp_path / "r.json"
    ended = file(weights, tmp_path / "in", tmp_path / "out", "--report", report)
    assert ended.returncode == 0, ended.stderr
    frames = json.loads(report.read_text())["frames"]
    # The made network's arousal counts what it remembers: nothing from one picture to the next.
    assert frames["0.png"]["emotion"]["arousal"] == pytest.approx(0.01, abs=1e-3)
    assert frames["0.png"] == frames["1.png"] | {"time_s": 0.0}


# -- live ------------------------------------------------------------------------------------------


@pytest.fixture
def runtime(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A runtime folder of the test's own, with a path short enough for sockets."""
    with tempfile.TemporaryDirectory(prefix="mien") as folder:
        monkeypatch.setenv("XDG_RUNTIME_DIR", folder)
        monkeypatch.setenv("XDG_CONFIG_HOME", folder)
        yield


async def until(condition: Callable[[], Any], within_s: float = 60.0) -> None:
    started = time.monotonic()
    while not condition():
        assert time.monotonic() - started < within_s, "it never came true"
        await asyncio.sleep(0.05)


def film_graph(source: Path) -> dict[str, Any]:
    """The live graph with a film in its own time in the browser's place."""
    raw = read(GRAPHS / "live.toml")
    raw["nodes"]["browser"] = {
        "type": "nodes.sources.media_file:MediaFile",
        "parameters": {"path": str(source), "paced": True, "loop": True},
    }
    raw["nodes"]["out"]["parameters"] = {"port": 0}
    del raw["governor"]  # what a network feels is asked here, on however busy a machine
    raw["nodes"]["compositor"]["parameters"] = {"renderer": "auto"}
    return raw


async def test_the_live_graph_reads_and_follows_the_voice(
    weights: Path, source: Path, monkeypatch: pytest.MonkeyPatch, runtime: None
) -> None:
    import aiohttp

    monkeypatch.setenv("MIEN_WEIGHTS", str(weights))
    graph = load(film_graph(source), ["editor.mode=voice"])
    async with Supervisor(graph) as supervisor:

        def runs(node: str) -> bool:
            return str(gauge(node, "backend")).startswith("OpenVINO")

        def gauge(node: str, name: str) -> Any:
            return supervisor.metrics()["nodes"].get(node, {}).get("gauges", {}).get(name, "")

        await until(lambda: gauge("out", "url"))
        for node in ("face_reader", "voice_reader", "feeling", "compositor"):
            await until(partial(runs, node))
        moments: list[Any] = []
        async with (
            aiohttp.ClientSession() as session,
            session.ws_connect(gauge("out", "url").replace("http", "ws", 1) + "/ws") as line,
        ):
            while len(moments) < 20 or len({moment["voice"] is None for moment in moments}) < 2:
                message = json.loads((await line.receive(30)).data)
                if message["type"] == "feelings":
                    moments.append(message["data"])
        metrics = supervisor.metrics()
    stamps = [moment["time_ms"] for moment in moments]
    assert stamps == sorted(stamps)
    assert np.median(np.diff(stamps)) > 80  # at most about ten a second
    assert any(moment["face"] for moment in moments)
    assert {moment["voice"]["emotion"] for moment in moments if moment["voice"]} == {"happy"}
    assert any(moment["voice"] is None for moment in moments)
    assert set(moments[-1]["both"]["probabilities"]) == set(EMOTIONS)
    nodes = metrics["nodes"]
    assert nodes["compositor"]["errors"] == nodes["feeling"]["errors"] == 0
    assert nodes["voice_reader"]["count_out"] > 20 and nodes["compositor"]["fps_out"] > 3


async def test_the_live_graph_goes_on_without_weights(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, runtime: None
) -> None:
    (tmp_path / "none").mkdir()
    monkeypatch.setenv("MIEN_WEIGHTS", str(tmp_path / "none"))
    async with Supervisor(load(film_graph(source))) as supervisor:
        await until(
            lambda: supervisor.metrics()["nodes"].get("compositor", {}).get("count_out", 0) > 10
        )
        nodes = supervisor.metrics()["nodes"]
        for name in ("compositor", "face_reader", "voice_reader", "feeling"):
            condition, text = nodes[name]["status"]
            assert condition == "degraded" and "no weight in" in text, name
        assert nodes["compositor"]["gauges"]["backend"].startswith("own faces")
        events = [event["text"] for event in supervisor.events]
        assert sum("light and shade stay as they are" in text for text in events) == 1


def test_devices_of_this_machine_feed_the_readers() -> None:
    import argparse

    def graph(*arguments: str) -> Any:
        from commands import live

        parser = argparse.ArgumentParser()
        live.add_arguments(parser)
        return load(live_graph(parser.parse_args(arguments)))

    both = graph("--camera", "0", "--mic", "default").nodes
    assert both["voice_reader"].inputs["audio"] == ("microphone", "audio")
    assert both["face_reader"].inputs["frame"] == ("camera", "video")
    seen = graph("--camera", "0").nodes
    assert "voice_reader" not in seen and "voice" not in seen["feeling"].inputs
    page = graph().nodes
    assert page["voice_reader"].inputs["audio"] == ("browser", "audio")
    assert page["out"].inputs["feelings"] == ("feeling", "traces")
