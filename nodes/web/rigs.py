"""The newest rig to the pages that draw an avatar from it: as fast as each can, never queued."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path
from typing import Final

import numpy as np
from aiohttp import WSMsgType, web

from face.rotations import quaternion
from face.types import BLENDSHAPES, EMOTIONS, FaceRig
from face.vrm_presets import presets
from nodes.web.messages import to_json
from nodes.web.security import refuse
from nodes.web.websocket import SEND_S, SOCKETS_MOST

RATE_HZ: Final = 60.0
PRESETS: Final = (
    "A", "I", "U", "E", "O", "Blink_L", "Blink_R", "Joy", "Angry", "Sorrow", "Fun",
)  # fmt: skip
NAMES: Final = ("found", "x", "y", "z", "w", *EMOTIONS, *PRESETS, *BLENDSHAPES[1:])
"""what the numbers of a rig are, in their order"""


def packed(rig: FaceRig) -> bytes:
    """A rig as float32 (little-endian), ordered as NAMES: whether there is a face, its turn as a
    quaternion, emotions, VRM's presets, shapes."""
    turn = quaternion(rig.pose[:3, :3]) if rig.found else np.array([0, 0, 0, 1], np.float32)
    told = presets(np.clip(rig.blendshapes, 0, 1), rig.expression)
    values = [rig.found], turn, rig.expression, [told[n] for n in PRESETS], rig.blendshapes[1:]
    return np.concatenate(values).astype("<f4").tobytes()


class Rigs:
    """The pages that asked for rigs, and the avatar's file that they may have."""

    def __init__(self) -> None:
        self.file: Path | None = None
        self._newest = b""
        self._lines: dict[web.WebSocketResponse, asyncio.Event] = {}

    def __len__(self) -> int:
        return len(self._lines)

    def show(self, rig: FaceRig) -> None:
        if not self._lines:
            return
        self._newest = packed(rig)
        for news in self._lines.values():
            news.set()

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """GET /rig: the names as JSON, then the numbers of each rig."""
        if request.headers.get("Upgrade", "").lower() != "websocket":
            return refuse(426, "this address speaks WebSocket only", {"Upgrade": "websocket"})
        if len(self._lines) >= SOCKETS_MOST:
            return refuse(503, f"{SOCKETS_MOST} pages draw an avatar already; close one")
        line = web.WebSocketResponse(heartbeat=10.0, max_msg_size=1024, compress=False, timeout=1.0)
        await line.prepare(request)
        self._lines[line] = news = asyncio.Event()
        sender = asyncio.create_task(self._send(line, news))
        try:
            async for message in line:
                if message.type in (WSMsgType.TEXT, WSMsgType.BINARY):
                    await line.close(code=1003, message=b"this line only tells")
                    break
        finally:
            del self._lines[line]
            sender.cancel()
            await asyncio.gather(sender, return_exceptions=True)
        return line

    async def model(self, _: web.Request) -> web.StreamResponse:
        """GET /avatar: the file."""
        if self.file is None:
            return refuse(404, "this engine has no avatar; start it with --avatar head, or a .vrm")
        return web.FileResponse(self.file, headers={"Content-Type": "model/gltf-binary"})

    async def stop(self) -> None:
        for line in list(self._lines):
            await line.close(code=1001, message=b"the engine stops")

    async def _send(self, line: web.WebSocketResponse, news: asyncio.Event) -> None:
        with contextlib.suppress(ConnectionError, TimeoutError, RuntimeError):  # it went away
            await line.send_str(to_json({"names": NAMES}))
            while True:
                await news.wait()
                news.clear()
                await asyncio.wait_for(line.send_bytes(self._newest), SEND_S)
                await asyncio.sleep(1 / RATE_HZ)
        await line.close()
