"""VMC as an independent OSC library reads it."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from oscpy.parser import read_packet

from engine.errors import UsageError
from engine.node import Context
from face.emotions import sides
from face.rotations import from_angles, part, quaternion
from face.types import BLENDSHAPES, EMOTIONS, FaceRig
from face.vrm_presets import presets
from nodes.sinks.vmc import Vmc, bones, bundle, told_of

POSE_TYPES = "sfffffff"


def rig(**shapes: float) -> FaceRig:
    """A face whose named shapes, both sides of each, are so."""
    values = np.zeros(len(BLENDSHAPES), np.float32)
    for name, amount in shapes.items():
        values[sides(name)] = amount
    return FaceRig(capture_ns=0, found=True, blendshapes=values, pose=np.eye(4, dtype=np.float32))


def parsed(packet: bytes) -> list[tuple[str, str, list[Any]]]:
    """Address, types and values of each message of a bundle."""
    found = []
    for address, tags, values, _ in read_packet(packet):
        words = [value.decode() if isinstance(value, bytes) else value for value in values]
        found.append((address.decode(), tags.decode().lstrip(","), words))
    return found


def said(face: FaceRig, **config: Any) -> dict[str, float]:
    """The shapes that are told of a face."""
    packet = bundle(told_of(face, Vmc.Config(**config)), 1.0)
    return {v[0]: v[1] for a, _, v in parsed(packet) if a == "/VMC/Ext/Blend/Val"}


def test_a_bundle_is_what_the_protocol_has() -> None:
    messages = parsed(bundle(told_of(rig(jawOpen=0.5), Vmc.Config()), 2.5))
    addresses = [address.removeprefix("/VMC/Ext/") for address, _, _ in messages]
    assert addresses[:3] == ["OK", "T", "Root/Pos"] and addresses[-1] == "Blend/Apply"
    types = {address: tags for address, tags, _ in messages}
    assert types == {
        "/VMC/Ext/OK": "i",
        "/VMC/Ext/T": "f",
        "/VMC/Ext/Root/Pos": POSE_TYPES,
        "/VMC/Ext/Bone/Pos": POSE_TYPES,
        "/VMC/Ext/Blend/Val": "sf",
        "/VMC/Ext/Blend/Apply": "",
    }
    assert [v[0] for a, _, v in messages if a.endswith("Bone/Pos")] == [
        "Neck", "Head", "LeftEye", "RightEye"
    ]  # fmt: skip
    assert messages[0][2] == [1] and messages[1][2] == [2.5]
    for address, _, values in messages:
        if address.endswith("/Pos"):
            assert np.linalg.norm(values[4:]) == pytest.approx(1, abs=1e-5)


def test_every_shape_is_told_by_its_name() -> None:
    told = said(rig(jawOpen=0.5))
    assert told["jawOpen"] == pytest.approx(0.5)
    assert len(told) == 52 + 11 and "_neutral" not in told
    assert len(said(rig(), shapes="arkit")) == 52
    assert "JawOpen" in said(rig(), capitals=True)
    assert set(said(rig(), shapes="presets")) == {
        "A", "I", "U", "E", "O", "Blink_L", "Blink_R", "Joy", "Angry", "Sorrow", "Fun"
    }  # fmt: skip


def test_presets_follow_mouth_lids_and_emotion() -> None:
    expression = np.zeros(len(EMOTIONS), np.float32)
    expression[EMOTIONS.index("happy")] = 0.8
    assert presets(rig().blendshapes, expression)["Joy"] == pytest.approx(0.8)
    vowels = {
        "A": rig(jawOpen=0.6),
        "O": rig(jawOpen=0.6, mouthFunnel=1),
        "U": rig(mouthPucker=1),
        "E": rig(jawOpen=0.6, mouthStretch=1),
        "I": rig(jawOpen=0.15, mouthStretch=1),
    }
    for vowel, face in vowels.items():
        found = presets(face.blendshapes, np.zeros(8, np.float32))
        assert max("AIUEO", key=lambda one: found[one]) == vowel
    shut = rig().blendshapes.copy()
    shut[BLENDSHAPES.index("eyeBlinkLeft")] = 1
    found = presets(shut, expression)
    assert (found["Blink_L"], found["Blink_R"]) == (1, 0)


def test_heads_turn_in_the_avatars_own_axes() -> None:
    # To the picture's right is to the person's left: about Unity's y, up, that is negative.
    pose = np.eye(4, dtype=np.float32)
    pose[:3, :3] = from_angles(20, 0)
    face = FaceRig(capture_ns=0, found=True, blendshapes=rig().blendshapes, pose=pose)
    found = dict(bones(face))
    half = np.degrees(2 * np.arcsin([found["Neck"][1], found["Head"][1]]))
    assert half == pytest.approx([-8, -12], abs=0.01)
    assert dict(bones(face, mirror=True))["Head"][1] == pytest.approx(-found["Head"][1])
    pose[:3, :3] = from_angles(0, 20)  # down: forward, z, falls
    x, y, z, w = dict(bones(face))["Head"]
    assert 2 * (y * z - w * x) < 0


def test_eyes_look_where_the_shapes_say() -> None:
    face = rig()
    face.blendshapes[BLENDSHAPES.index("eyeLookOutLeft")] = 1
    face.blendshapes[BLENDSHAPES.index("eyeLookInRight")] = 1
    found = dict(bones(face))
    assert found["LeftEye"][1] < -0.2 and found["RightEye"][1] < -0.2
    mirrored = dict(bones(face, mirror=True))
    assert mirrored["LeftEye"][1] > 0.2


@pytest.mark.parametrize("angles", [(0, 0, 0), (170, 10, 5), (30, -80, 120), (-90, 0, 0)])
def test_quaternions_turn_as_their_matrix_does(angles: tuple[float, float, float]) -> None:
    turn = from_angles(*angles)
    x, y, z, w = quaternion(turn)
    vector = np.array([x, y, z])
    for axis in np.eye(3):
        turned = axis + 2 * np.cross(vector, np.cross(vector, axis) + w * axis)
        assert turned == pytest.approx(turn @ axis, abs=1e-5)
    assert part(quaternion(turn), 1) == pytest.approx(quaternion(turn), abs=1e-5)


@pytest.fixture
def receiver() -> Iterator[socket.socket]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as made:
        made.bind(("127.0.0.1", 0))
        made.settimeout(5)
        yield made


def test_bundles_come_at_their_rate(receiver: socket.socket) -> None:
    node = Vmc(Vmc.Config(port=receiver.getsockname()[1], rate_hz=100))
    node.setup()
    try:
        node.process(rig(jawOpen=0.25))
        times = [parsed(receiver.recv(65536))[1][2][0] for _ in range(40)]
    finally:
        node.close()
    assert np.median(np.diff(times)) == pytest.approx(0.01, abs=0.002)
    assert node._thread is None


def test_a_port_that_nobody_listens_on_is_said_and_waited_for() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    statuses: list[tuple[str, str]] = []
    heard = threading.Event()

    def status(condition: str, text: str) -> None:
        statuses.append((condition, text))
        heard.set()

    node = Vmc(Vmc.Config(port=port), Context(status=status))
    node.setup()
    node.process(rig())
    try:
        assert heard.wait(5)
        assert statuses[0][0] == "degraded" and f"127.0.0.1:{port}" in statuses[0][1]
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as late:
            late.bind(("127.0.0.1", port))
            late.settimeout(5)
            assert parsed(late.recv(65536))[0][0] == "/VMC/Ext/OK"
    finally:
        node.close()


def test_an_address_that_is_none_is_refused() -> None:
    from commands.live import _receiver

    assert _receiver("--vmc", "[::1]:39539", 39539) == ("::1", 39539)
    for text in ("nowhere", "host:", ":1", "h:70000"):
        with pytest.raises(UsageError, match="HOST:PORT"):
            _receiver("--vmc", text, 39539)
