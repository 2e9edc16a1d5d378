"""One visitor's session: a whole graph in one process, forked from the template."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import signal
import socket
from pathlib import Path
from typing import Any, Final

import numpy as np

from engine import graph as graphs
from engine.errors import MienError, words
from engine.graph_spec import Graph
from engine.loops import run_loop
from engine.settings import Settings
from engine.solo import Solo
from engine.transport.wire import from_bytes, to_bytes
from face.render.person_file import FOLDER as PEOPLE
from nodes.web.options import WEB_SERVER
from nodes.web.server import WebServer
from serving.socket_pair import received

BEAT_S: Final = 0.5
"""how often a session says that it is alive"""
FIGURES_EVERY: Final = 4
"""beats; to sum all figures up takes a while"""


def warm() -> None:
    """What every session reads, read once."""
    from face.expression.people import load_people
    from face.landmarker import Landmarker
    from face.render.detail import skin_mask
    from face.render.skin import displacement_map, places
    from face.render.surface import load_surface
    from face.rig import load_rig
    from face.topology import LANDMARKS
    from inference.assets import FACE_LANDMARKER, locate
    from nodes.web.title import AWAY, STARTING, title

    for read in (load_rig, skin_mask, places):
        read()
    for text in (STARTING, AWAY):
        title(text)
    flat, picture = np.zeros((LANDMARKS, 3), np.float32), np.zeros((8, 8, 3), np.uint8)
    load_surface().unwrap(picture, flat)  # tables are made at first use
    load_surface().light(picture, flat)
    displacement_map(flat)
    with contextlib.suppress(MienError):  # a session that needs it says what is missing
        load_people()
        Landmarker.make_ahead(locate(FACE_LANDMARKER, ""))


def run(task: dict[str, Any], line: socket.socket) -> int:
    """Be a session until told to stop, or until the front is gone; the exit code.

    ``task``: ``graph`` as plain data, ``folder`` for what is this visitor's alone.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    folder = Path(task["folder"])
    os.environ[PEOPLE] = str(folder / "people")
    return run_loop(_Session(task, folder, line).main())


class _Session:
    def __init__(self, task: dict[str, Any], folder: Path, line: socket.socket) -> None:
        self._task = task
        self._folder = folder
        self._line = line
        self._over = asyncio.Event()

    async def main(self) -> int:
        line, loop = self._line, asyncio.get_running_loop()
        line.setblocking(False)
        loop.add_reader(line, self._heard)
        code = 1
        try:
            graph = graphs.load(self._task["graph"])
            settings = Settings(self._folder / "settings.json", graph.given)
            async with Solo(graph, self._event, settings) as solo:
                self._tell({"ready": True})
                await self._live(solo, graph)
            code = 0
        except MienError as error:
            self._tell({"failed": words(error)})
        finally:
            loop.remove_reader(line)
        return code

    async def _live(self, solo: Solo, graph: Graph) -> None:
        """Say twice a second how it goes; a front that doesn't hear it for long ends this."""
        over = asyncio.ensure_future(self._over.wait())
        ended = asyncio.ensure_future(solo.wait())
        told: dict[str, Any] = {}
        for beats in itertools.count():
            if over.done() or ended.done():
                break
            if beats % FIGURES_EVERY == 0:
                told = figures(solo, graph)
            self._tell({"beat": told | connections(solo), "stalled": solo.stalled()})
            await asyncio.wait({over, ended}, timeout=BEAT_S, return_when=asyncio.FIRST_COMPLETED)
        over.cancel()
        if ended.done():
            await ended
        ended.cancel()

    def _heard(self) -> None:
        if (data := received(self._line)) is None:
            return
        if not data or "stop" in from_bytes(data):
            self._over.set()

    def _event(self, level: str, text: str) -> None:
        self._tell({"event": [level, text]})

    def _tell(self, message: dict[str, Any]) -> None:
        with contextlib.suppress(BlockingIOError, OSError):  # the next one says it again
            self._line.send(to_bytes(message))


def connections(solo: Solo) -> dict[str, int]:
    """How many peers there are, and how many of them are connected."""
    web: WebServer | None = solo.shared.get(WEB_SERVER)
    peers = [peer for _, peer in web.peers.values()] if web is not None else []
    connected = sum(peer.connected_s is not None for peer in peers)
    return {"peers": len(peers), "connected": connected}


def figures(solo: Solo, graph: Graph) -> dict[str, Any]:
    """What the front shows of a session in use: rate and age of the pictures at the sink."""
    if not connections(solo)["connected"]:
        return {}
    nodes = solo.metrics()["nodes"]
    out = nodes.get(graph.roles["out"], {})
    source = graph.governor.source.partition(".")[0] if graph.governor else ""
    return {
        "fps": out.get("fps_in"),
        "latency_ms": out.get("observed", {}).get("capture_to_send"),
        "camera_fps": nodes.get(source, {}).get("fps_out"),
    }
