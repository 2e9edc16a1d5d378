"""The live graph while its camera is lost: the voice moves what a VTuber tool is told."""

from __future__ import annotations

import argparse
import asyncio
import socket
import time
from pathlib import Path

import numpy as np
from oscpy.parser import read_packet

from commands.live import add_arguments, live_graph
from engine.graph import load
from engine.supervisor import Supervisor
from tests.faces import astronaut
from tests.made_media import make_video
from tests.unit.nodes.test_voice_face import hum

SEEN_S, HEARD_S = 1.2, 3.2
RATE_HZ = 16_000


def told(receiver: socket.socket) -> dict[str, tuple[float, ...]]:
    """A bundle's values by what they are of."""
    parts = read_packet(receiver.recv(65536))
    return {values[0].decode(): values[1:] for _, _, values, _ in parts if len(values) > 1}


async def test_an_avatar_lives_on_while_the_camera_is_lost(runtime: Path, tmp_path: Path) -> None:
    film = make_video(
        tmp_path / "film.mkv", [astronaut()] * round(SEEN_S * 25), sound_rate_hz=RATE_HZ,
        sound=np.concatenate([hum(SEEN_S) * 0, hum(HEARD_S - SEEN_S)])[:, None],
        options={"crf": "20", "preset": "ultrafast"},
    )  # fmt: skip
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
        receiver.bind(("127.0.0.1", 0))
        receiver.settimeout(30)
        where = f"127.0.0.1:{receiver.getsockname()[1]}"
        options = parser.parse_args(["--camera", str(film), "--vmc", where, "--port", "0"])
        graph = load(live_graph(options), ["compositor.renderer=warp", "editor.mode=off"])
        async with Supervisor(graph) as supervisor:

            def handed() -> int:
                node = supervisor.metrics()["nodes"].get("voice_face", {})
                return int(node.get("counters", {}).get("handed_over", 0))

            since: int | None = None  # the camera shows the face, loses it, and shows it again
            jaws, deadline_s = [], time.monotonic() + 60
            while since is None or handed() < since + 2:
                assert time.monotonic() < deadline_s, "it was never handed over"
                bundle = await asyncio.to_thread(told, receiver)
                if since is None and bundle["mouthSmileLeft"][0] > 0.3:
                    since = handed()
                if since is not None:
                    jaws.append(bundle["jawOpen"][0])
            nodes = supervisor.metrics()["nodes"]
    assert nodes["voice_face"]["errors"] == nodes["vmc"]["errors"] == 0
    moves = np.abs(np.diff(jaws))
    assert (moves > 0.002).sum() > 10 and np.ptp(jaws) > 0.05  # it spoke
