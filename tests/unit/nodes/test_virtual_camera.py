"""VirtualCamera: pictures of any size into one camera, and what is said where there is none."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from engine.errors import MienError
from engine.harness import run_node
from engine.types import VideoFrame
from nodes.sinks import virtual_camera
from nodes.sinks.virtual_camera import VirtualCamera

pyvirtualcam = pytest.importorskip(
    "pyvirtualcam", reason="a virtual camera needs pip install -e '.[camera]'"
)


class Camera:
    """What the node uses of pyvirtualcam's."""

    made: list[Camera]

    def __init__(self, width: int, height: int, fps: float, *, fmt: Any, device: Any) -> None:
        self.width, self.height = width, height
        self.backend, self.device = "fake", device or "/dev/video9"
        self.shapes: list[tuple[int, ...]] = []
        self.closed = False
        Camera.made.append(self)

    def send(self, pixels: Any) -> None:
        assert pixels.shape == (self.height, self.width, 3)
        self.shapes.append(pixels.shape)

    def close(self) -> None:
        self.closed = True


def show(sizes: list[tuple[int, int]]) -> None:
    frames = [
        {"video": VideoFrame(capture_ns=i, pixels=np.zeros((height, width, 3), np.uint8))}
        for i, (width, height) in enumerate(sizes)
    ]
    run_node(VirtualCamera, frames)


def test_every_picture_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    Camera.made = []
    monkeypatch.setattr(pyvirtualcam, "Camera", Camera)
    monkeypatch.setattr(virtual_camera, "missing", lambda device="": None)
    show([(641, 481), (320, 240), (100, 900), (641, 481)])
    (camera,) = Camera.made
    assert (camera.width, camera.height) == (640, 480)
    assert len(camera.shapes) == 4
    assert camera.closed


@pytest.mark.parametrize(
    ("platform", "words"),
    [("linux", "sudo modprobe v4l2loopback"), ("win32", "OBS Studio"), ("darwin", "OBS Studio")],
)
def test_none_is_said_with_the_fix(
    monkeypatch: pytest.MonkeyPatch, platform: str, words: str
) -> None:
    def none(*arguments: Any, **more: Any) -> None:
        raise RuntimeError("no backend\nfound")

    monkeypatch.setattr(virtual_camera, "sys", SimpleNamespace(platform=platform))
    monkeypatch.setattr(virtual_camera, "loopbacks", lambda: [])
    monkeypatch.setattr(pyvirtualcam, "Camera", none)
    with pytest.raises(MienError, match=words) as caught:
        show([(640, 480)])
    assert "\n" not in str(caught.value)


def test_a_device_that_is_not_there() -> None:
    with pytest.raises(MienError, match="no virtual camera at /dev/video77"):
        run_node(VirtualCamera, [], config={"device": "/dev/video77"})


def test_its_package_is_an_extra_that_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(
        MienError, match=r"pyvirtualcam \(GPL-2.*: pip install -e '.\[camera\]'"
    ) as no:
        show([(640, 480)])
    assert "\n" not in str(no.value)
