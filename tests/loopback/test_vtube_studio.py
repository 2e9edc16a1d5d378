"""VTube Studio's plugin API, as a made-up VTube Studio sees it: let in, told, found again."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from aiohttp import WSMsgType, web

from engine.node import Context
from face.rotations import from_angles
from face.types import BLENDSHAPES, FaceRig
from nodes.sinks.vtube_studio import VtubeStudio, parameters_of
from tests.loopback.rig import until


def rig(**shapes: float) -> FaceRig:
    values = np.zeros(len(BLENDSHAPES), np.float32)
    for name, amount in shapes.items():
        values[BLENDSHAPES.index(name)] = amount
    pose = np.eye(4, dtype=np.float32)
    pose[:3, :3] = from_angles(10, 5, -3)
    return FaceRig(capture_ns=0, found=True, blendshapes=values, pose=pose)


class Studio:
    """Lets in who has its token, and gives it to who asks."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.told: list[dict[str, float]] = []
        self.token = "open sesame"
        self.port = 0

    async def talk(self, request: web.Request) -> web.WebSocketResponse:
        line = web.WebSocketResponse()
        await line.prepare(request)
        async for message in line:
            if message.type != WSMsgType.TEXT:
                break
            asked = json.loads(message.data)
            assert (asked["apiName"], asked["apiVersion"]) == ("VTubeStudioPublicAPI", "1.0")
            await line.send_str(
                json.dumps(
                    {
                        "requestID": asked["requestID"],
                        "messageType": asked["messageType"].replace("Request", "Response"),
                        "data": self.answer(asked["messageType"], asked["data"]),
                    }
                )
            )
        return line

    def answer(self, kind: str, data: dict[str, Any]) -> dict[str, Any]:
        self.asked.append(kind)
        if kind == "AuthenticationTokenRequest":
            return {"authenticationToken": self.token}
        if kind == "AuthenticationRequest":
            return {"authenticated": data["authenticationToken"] == self.token}
        assert data["mode"] == "set" and data["faceFound"]
        self.told.append({row["id"]: row["value"] for row in data["parameterValues"]})
        return {}


@pytest.fixture
async def studio(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Studio]:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    made = Studio()
    app = web.Application()
    app.router.add_get("/", made.talk)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    made.port = runner.addresses[0][1]
    yield made
    await runner.cleanup()


async def test_it_is_let_in_once_and_tells_the_face(studio: Studio, tmp_path: Path) -> None:
    for visit in range(2):
        studio.asked.clear()
        studio.told.clear()
        node = VtubeStudio(VtubeStudio.Config(port=studio.port))
        await node.start()
        node.process(rig(jawOpen=0.5, eyeBlinkLeft=1))
        await until(lambda: bool(studio.told), "parameters")
        await node.stop()
        told = studio.told[0]
        assert told["MouthOpen"] == pytest.approx(0.8) and told["EyeOpenLeft"] == 0
        assert ("AuthenticationTokenRequest" in studio.asked) == (visit == 0)
    kept = tmp_path / "mien" / "vtube_studio.json"
    assert json.loads(kept.read_text()) == {"token": "open sesame"}
    assert kept.stat().st_mode & 0o077 == 0


async def test_nobody_there_is_said_and_waited_for(studio: Studio, unused_port: int) -> None:
    said: list[tuple[str, str]] = []
    context = Context(status=lambda condition, text: said.append((condition, text)))
    node = VtubeStudio(VtubeStudio.Config(port=unused_port), context)
    await node.start()
    await until(lambda: bool(said), "a word")
    await node.stop()
    assert said[0][0] == "degraded" and "switch its plugin API on" in said[0][1]


@pytest.fixture
def unused_port() -> int:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def test_parameters_follow_the_face() -> None:
    face = rig(mouthSmileLeft=1, mouthSmileRight=1, eyeBlinkRight=0.25)
    found = parameters_of(face)
    assert found["FaceAngleX"] == pytest.approx(10, abs=0.1)
    assert found["FaceAngleY"] == pytest.approx(-5, abs=0.1)
    assert found["MouthSmile"] == 1 and found["EyeOpenRight"] == pytest.approx(0.75)
    mirrored = parameters_of(face, mirror=True)
    assert mirrored["FaceAngleX"] == pytest.approx(-10, abs=0.1)
    assert mirrored["EyeOpenLeft"] == pytest.approx(0.75)
