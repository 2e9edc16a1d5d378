"""The head that ships is what its command makes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nodes.web.avatar_file import HEAD, avatar_file

pytest.importorskip("anny", reason="needs anny: pip install -e '.[heads]'")

from training.data.heads import avatar


def scene_of(path: Path) -> tuple[dict[str, Any], bytes]:
    data = path.read_bytes()
    size = int.from_bytes(data[12:16], "little")
    return json.loads(data[20 : 20 + size]), data[28 + size :]


def test_the_command_makes_the_head_that_ships(tmp_path: Path) -> None:
    assert avatar.main([str(tmp_path / "head.vrm")]) == 0
    made, ours = scene_of(avatar_file(str(tmp_path / "head.vrm"))), scene_of(HEAD)
    for key in ("nodes", "extensions", "meshes"):
        assert made[0][key] == ours[0][key]
    place = made[0]["meshes"][0]["primitives"][0]["attributes"]["POSITION"]
    points = []
    for scene, data in (made, ours):
        accessor = scene["accessors"][place]
        view = scene["bufferViews"][accessor["bufferView"]]
        points.append(np.frombuffer(data, "<f4", accessor["count"] * 3, view["byteOffset"]))
    np.testing.assert_allclose(points[0], points[1], atol=1e-5)


def test_no_folder_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert avatar.main([str(tmp_path / "none" / "head.vrm")]) == 1
    assert "make it first" in capsys.readouterr().err
