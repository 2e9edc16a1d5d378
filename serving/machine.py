"""All that one machine needs to serve many: folder, device, sessions, places, front."""

from __future__ import annotations

import copy
from typing import Any, Literal

from engine.folders import RunFolder
from inference.weights import SERVICE
from nodes.web.options import Options
from serving.device import Device
from serving.front import Front
from serving.places import Places
from serving.sessions import Event, Sessions

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
        if self.device is not None:
            self.front.admin.devices.append(self.device)

    async def start(self, options: Options) -> None:
        """Start all of it; whoever comes is served from here on. Raises MienError."""
        if self.device is not None:
            await self.device.start()
        await self.sessions.start()
        await self.front.start(options)

    async def stop(self) -> None:
        """End all of it, and leave nothing behind."""
        await self.front.stop()
        await self.sessions.stop()
        if self.device is not None:
            await self.device.stop()
        self.folder.release()
