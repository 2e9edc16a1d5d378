"""Rigs go to the pages that asked for them, the newest one only; the avatar's file is checked."""

from __future__ import annotations

import asyncio
import json
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import numpy as np
import pytest

from engine.errors import MienError
from face.emotions import shapes_of
from face.rotations import from_angles, quaternion
from face.types import EMOTIONS, FaceRig
from nodes.web.avatar import Avatar
from nodes.web.avatar_file import HEAD
from nodes.web.rigs import NAMES, RATE_HZ
from nodes.web.websocket import SOCKETS_MOST
from tests.loopback.conftest import Start
from tests.loopback.rig import until


def rig(jaw: float, found: bool = True) -> FaceRig:
    pose = np.eye(4, dtype=np.float32)
    pose[:3, :3] = from_angles(20, -5)
    expression = np.zeros(len(EMOTIONS), np.float32)
    expression[EMOTIONS.index("happy")] = 0.5
    shapes = shapes_of({"jawOpen": jaw, "eyeBlink": (0.25, 0.0)})
    return FaceRig(capture_ns=0, found=found, blendshapes=shapes, pose=pose, expression=expression)


@asynccontextmanager
async def line(url: str) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(url.replace("http", "ws", 1) + "/rig") as opened,
    ):
        yield opened


async def told(opened: aiohttp.ClientWebSocketResponse) -> dict[str, float]:
    message = await opened.receive(5)
    assert message.type == aiohttp.WSMsgType.BINARY
    return dict(zip(NAMES, np.frombuffer(message.data, "<f4").tolist(), strict=True))


async def test_a_page_hears_names_then_the_newest_rig(web: Start) -> None:
    pair = await web()
    avatar: Any = await pair.engine.add("avatar", Avatar)
    avatar.on_rig(rig(0.1))  # nobody asked: nothing is kept of it
    async with line(pair.url) as opened:
        assert json.loads((await opened.receive(5)).data) == {"names": list(NAMES)}
        avatar.on_rig(rig(0.3))
        values = await told(opened)
        assert values["jawOpen"] == pytest.approx(0.3) and values["found"] == 1
        assert values["eyeBlinkLeft"] == values["Blink_L"] == 0.25 and values["Blink_R"] == 0
        assert values["happy"] == values["Joy"] == 0.5 and values["A"] > 0.4
        turn = [values[axis] for axis in "xyzw"]
        np.testing.assert_allclose(turn, quaternion(from_angles(20, -5)), atol=1e-6)
        for step in range(100):  # far more than a page is told
            avatar.on_rig(rig(step / 100))
        await told(opened)
        loop = asyncio.get_running_loop()
        start_s, heard = loop.time(), 0
        feeding = asyncio.create_task(_feed(avatar))
        while loop.time() - start_s < 0.5:
            await told(opened)
            heard += 1
        feeding.cancel()
        assert 3 < heard <= 0.5 * RATE_HZ + 3
        avatar.on_rig(rig(0.9, found=False))
        while (values := await told(opened))["found"]:
            pass
        assert values["w"] == 1
    await until(lambda: len(avatar._server.rigs) == 0)


async def _feed(avatar: Any) -> None:
    while True:
        avatar.on_rig(rig(0.5))
        await asyncio.sleep(0.001)


async def test_who_talks_on_that_line_or_asks_without_one(web: Start) -> None:
    pair = await web()
    await pair.engine.add("avatar", Avatar)
    async with line(pair.url) as opened, aiohttp.ClientSession() as session:
        await opened.receive(5)
        await opened.send_str("hello")
        assert (await opened.receive(5)).type == aiohttp.WSMsgType.CLOSE
        assert opened.close_code == 1003
        async with session.get(pair.url + "/rig") as answer:
            assert answer.status == 426 and "WebSocket" in await answer.text()
        lines = [await session.ws_connect(pair.url + "/rig") for _ in range(SOCKETS_MOST)]
        with pytest.raises(aiohttp.WSServerHandshakeError, match="503"):
            await session.ws_connect(pair.url + "/rig")
        for each in lines:
            await each.close()


async def test_the_engines_avatar(web: Start) -> None:
    pair = await web()
    async with aiohttp.ClientSession() as session:
        async with session.get(pair.url + "/avatar") as answer:
            assert answer.status == 404 and "--avatar head" in await answer.text()
        await pair.engine.add("avatar", Avatar, file="head")
        async with session.get(pair.url + "/avatar") as answer:
            assert answer.content_type == "model/gltf-binary"
            assert await answer.read() == HEAD.read_bytes()


def glb(scene: bytes, claims: int = 0) -> bytes:
    size = 20 + len(scene)
    return struct.pack("<4s4I", b"glTF", 2, claims or size, len(scene), 0x4E4F534A) + scene


BROKEN = {
    "text": (b"a mesh, or so it says", "is no VRM avatar"),
    "empty": (b"", "is no VRM avatar"),
    "cut off": (HEAD.read_bytes()[:5000], "is cut off or damaged"),
    "plain": (glb(b'{"asset": {}}'), "is a 3D model, but no VRM avatar"),
    "noise": (glb(b"\xff\xfe{"), "is a 3D model, but no VRM avatar"),
    "deep": (glb(b"[" * 100_000), "is a 3D model, but no VRM avatar"),
}


@pytest.mark.parametrize("name", BROKEN)
async def test_what_is_no_avatar_is_one_line(web: Start, tmp_path: Path, name: str) -> None:
    data, says = BROKEN[name]
    file = tmp_path / "x.vrm"
    file.write_bytes(data)
    pair = await web()
    with pytest.raises(MienError, match=says) as caught:
        await pair.engine.add("avatar", Avatar, file=str(file))
    assert "\n" not in str(caught.value) and "x.vrm" in str(caught.value)


async def test_a_huge_one_a_folder_and_none(web: Start, tmp_path: Path) -> None:
    pair = await web()
    with (tmp_path / "huge.vrm").open("wb") as huge:
        huge.write(glb(b"{}", claims=80 << 20))
        huge.truncate(80 << 20)
    for name, says in (
        ("huge.vrm", "has 80 MB; an avatar has 64 at most"),
        (".", "can't be read: Is a directory"),
        ("none.vrm", "can't be read: No such file"),
    ):
        with pytest.raises(MienError, match=says):
            await pair.engine.add("avatar", Avatar, file=str(tmp_path / name))
