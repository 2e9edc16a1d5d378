"""Vmc: the face to VTuber tools, as the VMC protocol has it (OSC over UDP)."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Final, Literal

import numpy as np

from engine.errors import MienError
from engine.node import Node
from engine.parameters import parameter
from engine.types import F32, Input, Latest
from face.emotions import sides
from face.rotations import part, quaternion
from face.types import BLENDSHAPES, FaceRig
from face.vrm_presets import presets

if TYPE_CHECKING:
    from pythonosc.osc_message import OscMessage

NECK_SHARE: Final = 0.4
"""of a head's turn; the head's own bone does the rest"""
EYE_DEG: Final = (30.0, 22.0)
"""how far an eye turns, to the side and up or down, where its shape is 1"""
SILENT_S: Final = 1.0
"""without a complaint of the system for so long somebody listens"""
_NS: Final = 1_000_000_000
_STILL: Final = np.array([0, 0, 0, 1], np.float32)
_LEFT, _RIGHT = 0, 1

Shapes = Literal["both", "arkit", "presets"]
Told = list["OscMessage"]


class Vmc(Node):
    """Tell a VTuber tool (VSeeFace, Warudo, VNyan, EVMC4U ...) how the face stands. rig -> UDP.

    One bundle at each tick of a fixed rate: `/VMC/Ext/OK`, `/T`, `/Root/Pos`, `/Bone/Pos` of neck,
    head and eyes, `/Blend/Val` of every shape, `/Blend/Apply`. Between two rigs the last one holds.
    """

    inputs: ClassVar[dict[str, Input]] = {"rig": Latest(FaceRig)}

    @dataclass(frozen=True, kw_only=True, slots=True)
    class Config:
        host: str = parameter("127.0.0.1", "where the tool listens", live=False)
        port: int = parameter(
            39539, "its port, called marionette there", low=1, high=65535, live=False
        )
        rate_hz: float = parameter(60.0, "bundles a second", low=1, high=240, unit="Hz", live=False)
        shapes: Shapes = parameter(
            "both",
            "which shapes to send: the 52 of ARKit (perfect sync), VRM's presets (Joy, A, Blink_L "
            "...), or both",
        )
        capitals: bool = parameter(
            False, "ARKit's names with a capital first (JawOpen), as some avatars write them"
        )
        mirror: bool = parameter(False, "left and right change places, as in a mirror")

    config: Config
    _socket: socket.socket | None = None
    _thread: threading.Thread | None = None

    def setup(self) -> None:
        self._rig: FaceRig | None = None
        self._stop = threading.Event()
        self._socket = _connected(self.config.host, self.config.port)
        self.context.gauge("backend", f"VMC to {self.config.host}:{self.config.port}")
        self._thread = threading.Thread(target=self._send_all, name="vmc", daemon=True)
        self._thread.start()

    def process(self, rig: FaceRig) -> None:
        """Keep it for the next tick; a lost face holds still."""
        if rig.found or self._rig is None:
            self._rig = rig

    def close(self) -> None:
        if self._thread is not None:
            self._stop.set()
            self._thread.join()
            self._thread = None
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _send_all(self) -> None:
        clock = self.context.clock
        start_ns = due_ns = clock.now_ns()
        period_ns = round(_NS / self.config.rate_hz)
        rig, told, refused_ns = None, Told(), 0
        while clock.wait_until(due_ns, self._stop):
            now_ns = clock.now_ns()
            if self._rig is not rig:
                rig = self._rig
                told = told_of(rig, self.config) if rig is not None else []
            if rig is not None:
                if not self._send(bundle(told, (now_ns - start_ns) / _NS)):
                    refused_ns = now_ns
                    self._complain()
                elif refused_ns and now_ns - refused_ns > SILENT_S * _NS:
                    refused_ns = 0
                    self.context.status("ok", "")
                self.context.observe("capture_to_send", (now_ns - rig.capture_ns) / 1e6)
            due_ns += period_ns * max(1, (now_ns - due_ns) // period_ns)  # what was missed is gone

    def _complain(self) -> None:
        self.context.status(
            "degraded",
            f"nobody listens at {self.config.host}:{self.config.port}; start the tool and switch "
            "its VMC receiver on",
        )

    def _send(self, packet: bytes) -> bool:
        """False where the system says that nobody takes it."""
        assert self._socket is not None
        with contextlib.suppress(BlockingIOError):  # its queue is full: the next one comes soon
            try:
                self._socket.send(packet)
            except OSError:
                return False
        return True


def bundle(told: Told, seconds: float) -> bytes:
    """Everything about a moment in one OSC bundle; ``seconds`` since the beginning."""
    from pythonosc.osc_bundle_builder import IMMEDIATELY, OscBundleBuilder

    packed = OscBundleBuilder(IMMEDIATELY)
    for message in (_message("OK", 1), _message("T", float(seconds)), *told):
        packed.add_content(message)
    return bytes(packed.build().dgram)


def told_of(rig: FaceRig, config: Vmc.Config) -> Told:
    """What a bundle says of a rig."""
    return [
        _message("Root/Pos", "root", *_place(_STILL)),
        *(_message("Bone/Pos", bone, *_place(turn)) for bone, turn in bones(rig, config.mirror)),
        *(_message("Blend/Val", name, float(amount)) for name, amount in blends(rig, config)),
        _message("Blend/Apply"),
    ]


def _message(address: str, *values: str | int | float) -> OscMessage:
    from pythonosc.osc_message_builder import OscMessageBuilder

    message = OscMessageBuilder(f"/VMC/Ext/{address}")
    for value in values:
        message.add_arg(value)
    return message.build()


def _place(turn: F32) -> Iterator[float]:
    """A bone where it is by itself, turned."""
    yield from (0.0, 0.0, 0.0)
    yield from (float(value) for value in turn)


def bones(rig: FaceRig, mirror: bool = False) -> Iterator[tuple[str, F32]]:
    """Local rotations [4] of Unity's humanoid bones: x to the avatar's right, y up, z forward, left
    handed."""
    head = _STILL
    if rig.found:
        x, y, z, w = quaternion(rig.pose[:3, :3])
        # Our x runs to the person's left. A mirrored head keeps it.
        head = np.array([x, y, z, w] if mirror else [x, -y, -z, w], np.float32)
    eyes = [_eye(rig.blendshapes, side) for side in (_LEFT, _RIGHT)]
    if mirror:
        eyes = [eye * np.array([1, -1, -1, 1], np.float32) for eye in reversed(eyes)]
    yield "Neck", part(head, NECK_SHARE)
    yield "Head", part(head, 1 - NECK_SHARE)
    yield "LeftEye", eyes[_LEFT]
    yield "RightEye", eyes[_RIGHT]


def _eye(shapes: F32, side: int) -> F32:
    """Where an eye looks, as a rotation [4]."""
    out, inward, up, down = (
        float(shapes[sides(f"eyeLook{way}")[side]]) for way in ("Out", "In", "Up", "Down")
    )
    to_right = (out - inward) * (1 if side == _RIGHT else -1)
    yaw, pitch = np.radians([EYE_DEG[0] * to_right, EYE_DEG[1] * (down - up)]) / 2
    return np.array(
        [
            np.cos(yaw) * np.sin(pitch),
            np.sin(yaw) * np.cos(pitch),
            -np.sin(yaw) * np.sin(pitch),
            np.cos(yaw) * np.cos(pitch),
        ],
        np.float32,
    )


def blends(rig: FaceRig, config: Vmc.Config) -> Iterator[tuple[str, float]]:
    """Names and values 0..1 of the shapes that are told."""
    shapes = np.clip(rig.blendshapes, 0, 1)
    if config.mirror:
        from face.emotions import MIRROR

        shapes = shapes[MIRROR]
    if config.shapes != "presets":
        for name, amount in zip(BLENDSHAPES[1:], shapes[1:], strict=True):
            yield (name[0].upper() + name[1:] if config.capitals else name), float(amount)
        yield ("TongueOut" if config.capitals else "tongueOut"), 0.0
    if config.shapes != "arkit":
        yield from presets(shapes, rig.expression).items()


def _connected(host: str, port: int) -> socket.socket:
    """Raises MienError where there is no such host."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)[
            0
        ]
        made = socket.socket(family, kind, protocol)
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise MienError(f"--vmc {host}:{port}: there is no such host ({reason})") from None
    try:
        made.connect(address)
        made.setblocking(False)
    except OSError as error:
        made.close()
        raise MienError(f"--vmc {host}:{port} can't be reached: {error.strerror}") from None
    return made
