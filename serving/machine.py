"""All that one machine needs to serve many: folder, device, sessions, places, front."""

from __future__ import annotations

import asyncio
import copy
from typing import Any, Final, Literal

import psutil

from engine.folders import RunFolder
from inference.weights import SERVICE
from nodes.web.options import Options
from serving.device import Device
from serving.front import Front
from serving.places import Places
from serving.sessions import Event, Sessions

FULL: Final = 0.92
"""share of all processors from which on one more session would be at the others' cost"""
LOOK_S: Final = 0.5
SMOOTHED: Final = 4
TRIED: Final = "a-session-that-is-tried"
"""the name of one that nobody visits"""

Networks = Literal["shared", "own"]


class Machine:
    """Sessions of ``graph`` (plain data, one process) on this machine. ``event`` (level, text) is
    for a person."""

    def __init__(
        self,
        graph: dict[str, Any],
        event: Event,
        *,
        most: int,
        linger_s: float = 5.0,
        networks: Networks = "shared",
        device: str = "cpu",
        admin_token: str = "",
        front: type[Front] = Front,
    ) -> None:
        self.folder = RunFolder()
        self.device = Device(self.folder.path, device, event) if networks == "shared" else None
        graph = copy.deepcopy(graph)
        if self.device is not None:
            graph["services"] = {SERVICE: self.device.address}
        self.sessions = Sessions(graph, self.folder.path, event, linger_s=linger_s)
        self.places = Places(self.sessions.by_name, most)
        self.front = front(self.sessions, self.places, admin_token)
        self._busy = 0.0
        self._watch: asyncio.Task[None] | None = None
        if self.device is not None:
            self.front.admin.devices.append(self.device)

    async def start(self) -> None:
        """Start what sessions need. Raises MienError."""
        if self.device is not None:
            await self.device.start()
        await self.sessions.start()

    async def warm(self) -> None:
        """One session there and gone: what is shared is loaded before the first visitor comes, and
        what can't work is said now. Raises MienError."""
        session = self.sessions.open(TRIED)
        try:
            await session.ready()
        finally:
            await self.sessions.end(TRIED)

    async def open(self, options: Options, watched: bool = False) -> None:
        """Let people in. ``watched``: nobody while the processors are full. Raises MienError."""
        await self.front.start(options)
        if watched:
            self._watch = asyncio.ensure_future(self._look())
            self.places.loaded = lambda: bool(self.sessions.by_name) and self._busy > FULL

    async def _look(self) -> None:
        psutil.cpu_percent()  # counts from here
        while True:
            await asyncio.sleep(LOOK_S)
            self._busy += (psutil.cpu_percent() / 100 - self._busy) / SMOOTHED

    async def stop(self) -> None:
        """End all of it, and leave nothing behind."""
        if self._watch is not None:
            self._watch.cancel()
        await self.front.stop()
        await self.sessions.stop()
        if self.device is not None:
            await self.device.stop()
        self.folder.release()
