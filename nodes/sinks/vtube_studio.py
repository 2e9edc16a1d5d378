"""VtubeStudio: the face to VTube Studio, as a plugin of its API (JSON over a WebSocket)."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Final

import numpy as np

from engine.errors import MienError
from engine.files import atomic_write, make_folder, user_data
from engine.node import LoopNode
from engine.parameters import parameter
from engine.types import Input, Latest
from face.emotions import sides
from face.expression.speech import head_angles
from face.rotations import roll
from face.types import BLENDSHAPES, FaceRig

WHO: Final = {"pluginName": "Mien", "pluginDeveloper": "Mien"}
RETRY_S: Final = 2.0
KEEP_S: Final = 0.5
"""parameters that aren't told for a second go back to the tracker's own"""
ALLOW_S: Final = 120.0
"""so long a person has for allowing the plugin"""
ANSWER_S: Final = 10.0
TOKEN: Final = "vtube_studio.json"
MESSAGE_MOST: Final = 1 << 16


class VtubeStudio(LoopNode):
    """Move a Live2D model in VTube Studio. rig -> its plugin API, as often as rigs come, 60 times a
    second at most. The first time VTube Studio asks whether Mien may; its token is kept."""

    inputs: ClassVar[Mapping[str, Input]] = {"rig": Latest(FaceRig)}

    @dataclass(frozen=True, kw_only=True, slots=True)
    class Config:
        host: str = parameter("127.0.0.1", "where VTube Studio runs", live=False)
        port: int = parameter(8001, "its plugin API's port", low=1, high=65535, live=False)
        mirror: bool = parameter(False, "left and right change places, as in a mirror")

    config: Config

    async def start(self) -> None:
        self._newest: FaceRig | None = None
        self._fresh = asyncio.Event()
        self._count = 0
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        if hasattr(self, "_task"):
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def process(self, rig: FaceRig) -> None:
        """Keep the newest; a lost face holds still."""
        if rig.found or self._newest is None:
            self._newest = rig
            self._fresh.set()

    async def _run(self) -> None:
        import aiohttp

        url = f"ws://{self.config.host}:{self.config.port}"
        while True:
            try:
                async with (
                    aiohttp.ClientSession() as session,
                    session.ws_connect(url, max_msg_size=MESSAGE_MOST) as line,
                ):
                    await self._allowed(line)
                    self.context.status("ok", "")
                    await self._tell(line)
            except (aiohttp.ClientError, OSError, TimeoutError):
                self.context.status(
                    "degraded",
                    f"no VTube Studio at {url}; start it and switch its plugin API on",
                )
            except MienError as error:
                self.context.status("degraded", str(error))
            await asyncio.sleep(RETRY_S)

    async def _allowed(self, line: Any) -> None:
        """Be let in, with the token of before or a new one. Raises MienError."""
        token = _kept()
        if not token or not (await self._ask(line, "AuthenticationRequest", token=token)).get(
            "authenticated"
        ):
            self.context.status("waiting", "allow Mien in VTube Studio's window")
            told = await self._ask(line, "AuthenticationTokenRequest", within_s=ALLOW_S)
            token = str(told.get("authenticationToken", ""))
            if not token:
                raise MienError("VTube Studio doesn't let Mien in; allow it when it asks")
            _keep(token)
            if not (await self._ask(line, "AuthenticationRequest", token=token)).get(
                "authenticated"
            ):
                raise MienError("VTube Studio doesn't know its own token; start it again")

    async def _tell(self, line: Any) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._fresh.wait(), KEEP_S)
            self._fresh.clear()
            if (rig := self._newest) is None:
                continue
            values = [
                {"id": name, "value": round(value, 4)}
                for name, value in parameters_of(rig, self.config.mirror).items()
            ]
            await self._ask(
                line, "InjectParameterDataRequest", who=False, faceFound=rig.found, mode="set",
                parameterValues=values,
            )  # fmt: skip
            now_ns = self.context.clock.now_ns()
            self.context.observe("capture_to_send", (now_ns - rig.capture_ns) / 1e6)
            await asyncio.sleep(1 / 60)

    async def _ask(
        self, line: Any, kind: str, *, within_s: float = ANSWER_S, who: bool = True,
        token: str = "", **data: Any,
    ) -> dict[str, Any]:  # fmt: skip
        """A request's answer; {} where it was refused. Raises MienError and TimeoutError."""
        self._count += 1
        number = str(self._count)
        if who:
            data |= WHO
        if token:
            data["authenticationToken"] = token
        await line.send_str(
            json.dumps(
                {
                    "apiName": "VTubeStudioPublicAPI",
                    "apiVersion": "1.0",
                    "requestID": number,
                    "messageType": kind,
                    "data": data,
                }
            )
        )
        while True:
            message = await asyncio.wait_for(line.receive(), within_s)
            if message.type.name != "TEXT":
                raise MienError("VTube Studio hung up; it is tried again")
            try:
                told = json.loads(message.data)
                if told["requestID"] == number:
                    answer = told["data"]
                    return dict(answer) if told["messageType"] != "APIError" else {}
            except (ValueError, KeyError, TypeError):
                raise MienError("what listens there isn't VTube Studio's plugin API") from None


def parameters_of(rig: FaceRig, mirror: bool = False) -> dict[str, float]:
    """VTube Studio's tracking parameters of a rig."""
    shapes = dict(zip(BLENDSHAPES, (float(v) for v in np.clip(rig.blendshapes, 0, 1)), strict=True))

    def mean(name: str) -> float:
        return float(np.mean(rig.blendshapes[sides(name)]))

    turn = rig.pose[:3, :3]
    yaw, pitch = (float(angle) for angle in head_angles(turn)) if rig.found else (0.0, 0.0)
    lean = float(np.degrees(roll(turn))) if rig.found else 0.0
    side = -1.0 if mirror else 1.0
    left, right = ("Right", "Left") if mirror else ("Left", "Right")
    look_x = mean_look(shapes)
    look_y = mean("eyeLookUp") - mean("eyeLookDown")
    smile = 0.5 + 0.5 * (mean("mouthSmile") - mean("mouthFrown"))
    brow = {
        each: 0.5 + 0.5 * (shapes["browInnerUp"] + shapes[f"browOuterUp{each}"]) / 2
        - 0.5 * shapes[f"browDown{each}"]
        for each in ("Left", "Right")
    }  # fmt: skip
    return {
        "FaceAngleX": side * yaw,
        "FaceAngleY": -pitch,
        "FaceAngleZ": side * lean,
        "MouthOpen": min(1.6 * shapes["jawOpen"], 1.0),
        "MouthSmile": smile,
        "MouthX": side * (shapes["mouthLeft"] - shapes["mouthRight"]),
        "EyeOpenLeft": 1 - shapes[f"eyeBlink{left}"],
        "EyeOpenRight": 1 - shapes[f"eyeBlink{right}"],
        "EyeLeftX": side * look_x,
        "EyeRightX": side * look_x,
        "EyeLeftY": look_y,
        "EyeRightY": look_y,
        "BrowLeftY": brow[left],
        "BrowRightY": brow[right],
        "Brows": (brow["Left"] + brow["Right"]) / 2,
        "CheekPuff": shapes["cheekPuff"],
        "JawOpen": shapes["jawOpen"],
        "MouthFunnel": shapes["mouthFunnel"],
        "MouthPucker": shapes["mouthPucker"],
    }


def mean_look(shapes: Mapping[str, float]) -> float:
    """How far both eyes look to the person's left, -1..1."""
    left = shapes["eyeLookOutLeft"] + shapes["eyeLookInRight"]
    right = shapes["eyeLookInLeft"] + shapes["eyeLookOutRight"]
    return (left - right) / 2


def _kept() -> str:
    """The token of before, or ""."""
    try:
        return str(json.loads((user_data() / TOKEN).read_text())["token"])
    except (OSError, ValueError, KeyError, TypeError):
        return ""


def _keep(token: str) -> None:
    make_folder(user_data())
    with atomic_write(user_data() / TOKEN) as part:
        part.chmod(0o600)
        part.write_text(json.dumps({"token": token}))
