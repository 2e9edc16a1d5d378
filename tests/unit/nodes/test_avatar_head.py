"""The head that ships is a whole VRM: read by another's reader, and drawn shape by shape."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from pygltflib import GLTF2, Accessor

from face.types import BLENDSHAPES
from nodes.web.avatar_file import HEAD

SHAPES = {*BLENDSHAPES[1:], "tongueOut"}
TYPES: dict[int, Any] = {
    5120: np.int8,
    5121: np.uint8,
    5122: np.int16,
    5123: np.uint16,
    5126: np.float32,
}
SIZES = {"SCALAR": 1, "VEC2": 2, "VEC3": 3, "VEC4": 4, "MAT4": 16}
PRESETS = {
    "happy", "angry", "sad", "surprised", "aa", "ih", "ou", "ee", "oh", "blink", "blinkLeft",
    "blinkRight",
}  # fmt: skip
BONES = {
    "hips", "spine", "head", "leftUpperLeg", "leftLowerLeg", "leftFoot", "rightUpperLeg",
    "rightLowerLeg", "rightFoot", "leftUpperArm", "leftLowerArm", "leftHand", "rightUpperArm",
    "rightLowerArm", "rightHand",
}  # fmt: skip


@pytest.fixture(scope="module")
def head() -> GLTF2:
    loaded = GLTF2.load_binary(str(HEAD))
    assert loaded is not None
    return loaded


@pytest.fixture(scope="module")
def vrm(head: GLTF2) -> dict[str, Any]:
    said: dict[str, Any] = head.extensions["VRMC_vrm"]
    return said


def block(head: GLTF2, view: int, dtype: Any, count: int, width: int, offset: int = 0) -> Any:
    """Numbers [count, width] of a buffer view."""
    place, data = head.bufferViews[view], head.binary_blob()
    size = np.dtype(dtype).itemsize * width
    stride = place.byteStride or size
    start = (place.byteOffset or 0) + offset
    rows = [data[start + i * stride :][:size] for i in range(count)]
    return np.frombuffer(b"".join(rows), dtype).reshape(count, width)


def values(head: GLTF2, number: int) -> NDArray[np.float32]:
    """An accessor's values [N, C] as they are meant."""
    accessor: Accessor = head.accessors[number]
    dtype, width = TYPES[accessor.componentType], SIZES[accessor.type]
    out = np.zeros((accessor.count, width), np.float64)
    if accessor.bufferView is not None:
        out[:] = block(
            head, accessor.bufferView, dtype, accessor.count, width, accessor.byteOffset or 0
        )
    if (sparse := accessor.sparse) is not None:
        indices = TYPES[sparse.indices.componentType]
        where = block(head, sparse.indices.bufferView, indices, sparse.count, 1)[:, 0]
        assert (np.diff(where.astype(int)) > 0).all() and where.max() < accessor.count
        out[where] = block(head, sparse.values.bufferView, dtype, sparse.count, width)
    if accessor.normalized:
        out = np.maximum(out / np.iinfo(dtype).max, -1)
    return out.astype(np.float32)


def test_small_free_and_a_whole_person(head: GLTF2, vrm: dict[str, Any]) -> None:
    assert HEAD.stat().st_size < 1_200_000
    assert vrm["specVersion"] == "1.0" and "publicdomain/zero" in vrm["meta"]["otherLicenseUrl"]
    bones = {name: bone["node"] for name, bone in vrm["humanoid"]["humanBones"].items()}
    assert {"neck", "leftEye", "rightEye"} | BONES <= bones.keys()
    assert len(set(bones.values())) == len(bones)
    for side in ("leftEye", "rightEye"):  # each turns about its own middle, under the head
        assert bones[side] in head.nodes[bones["head"]].children
        mesh = head.meshes[head.nodes[bones[side]].mesh]
        ball = values(head, mesh.primitives[0].attributes.POSITION)
        assert np.linalg.norm(ball, axis=1).std() < 1e-4


def test_expressions(head: GLTF2, vrm: dict[str, Any]) -> None:
    expressions = vrm["expressions"]
    assert set(expressions["custom"]) == SHAPES
    assert set(expressions["preset"]) == PRESETS
    names = head.meshes[0].extras["targetNames"]
    for name, said in expressions["custom"].items():
        (bind,) = said["morphTargetBinds"]
        assert names[bind["index"]] == name and bind["weight"] == 1
    for name, said in expressions["preset"].items():
        assert said["morphTargetBinds"], name
        for bind in said["morphTargetBinds"]:
            assert head.nodes[bind["node"]].mesh == 0 and 0 < bind["weight"] <= 1


def test_shapes_move_what_they_say(head: GLTF2) -> None:
    primitive = head.meshes[0].primitives[0]
    points = values(head, primitive.attributes.POSITION)
    normals = values(head, primitive.attributes.NORMAL)
    assert np.abs(np.linalg.norm(normals, axis=1) - 1).max() < 0.03
    weights = values(head, primitive.attributes.WEIGHTS_0)
    np.testing.assert_allclose(weights.sum(axis=1), 1, atol=1e-5)
    moves = {
        name: values(head, target["POSITION"])
        for name, target in zip(
            head.meshes[0].extras["targetNames"], primitive.targets, strict=True
        )
    }
    for name, target in zip(moves, primitive.targets, strict=True):
        assert np.abs(moves[name]).max() > 5e-4, name  # half a millimetre
        assert len(values(head, target["NORMAL"])) == len(points)

    def middle(name: str) -> Any:
        """Where a shape moves most, in cm from between the eyes."""
        size = np.linalg.norm(moves[name], axis=1)
        return ((points * size[:, None]).sum(axis=0) / size.sum() - [0, 1.6, 0]) * 100

    assert moves["jawOpen"][:, 1].min() < -0.01 and middle("jawOpen")[1] < -6
    assert middle("eyeBlinkLeft")[0] > 2 > -2 > middle("eyeBlinkRight")[0]
    assert middle("browInnerUp")[1] > 0.5 and moves["browInnerUp"][:, 1].max() > 0.003
    corner = np.argmax(moves["mouthSmileLeft"][:, 1])
    assert points[corner, 0] > 0.01 and moves["mouthSmileLeft"][corner, 1] > 0.004


def test_its_scene_is_plain_json() -> None:
    data = HEAD.read_bytes()
    size = int.from_bytes(data[12:16], "little")
    assert json.loads(data[20 : 20 + size])["asset"]["version"] == "2.0"
