"""`devices`: what really opens, in a table and as JSON; and none of it is no error."""

from __future__ import annotations

import json
import sys
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest

from commands import devices
from engine.errors import MienError
from run_engine import main


class Webcam:
    """Gives at most 640x480, whatever is asked for; 15 fps."""

    clock_s = 0.0

    def __init__(self, name: object, backend: int) -> None:
        self.size = [640, 480]

    def isOpened(self) -> bool:  # noqa: N802
        return True

    def set(self, key: int, value: float) -> bool:
        if key == cv2.CAP_PROP_FRAME_WIDTH:
            self.size[0] = min(640, int(value))
        if key == cv2.CAP_PROP_FRAME_HEIGHT:
            self.size[1] = min(480, int(value))
        return True

    def get(self, key: int) -> float:
        return {
            cv2.CAP_PROP_FRAME_WIDTH: self.size[0],
            cv2.CAP_PROP_FRAME_HEIGHT: self.size[1],
            cv2.CAP_PROP_FOURCC: cv2.VideoWriter.fourcc(*"MJPG"),
            cv2.CAP_PROP_FPS: 30.0,
        }[key]

    def read(self) -> tuple[bool, Any]:
        Webcam.clock_s += 1 / 15
        return True, np.zeros((self.size[1], self.size[0], 3), np.uint8)

    def release(self) -> None:
        pass


def sound(entries: list[dict[str, Any]]) -> Any:
    def check(*, device: int, channels: int, dtype: str, samplerate: int) -> None:
        if samplerate == 16_000:
            raise ValueError("Invalid sample rate")

    return SimpleNamespace(
        default=SimpleNamespace(device=(1, 0)),
        query_hostapis=lambda: [{"name": "ALSA"}],
        query_devices=lambda: entries,
        check_input_settings=check,
        PortAudioError=RuntimeError,
    )


MICROPHONES = [
    {"index": 0, "name": "Speaker", "max_input_channels": 0, "hostapi": 0},
    {
        "index": 1,
        "name": "USB Mic",
        "max_input_channels": 2,
        "hostapi": 0,
        "default_samplerate": 44100.0,
    },
]


@pytest.fixture
def one_of_each(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cv2, "VideoCapture", Webcam)
    monkeypatch.setattr(devices, "camera_devices", lambda: [("/dev/video0", "Webcam [C270]")])
    monkeypatch.setattr(devices, "load_portaudio", lambda: sound(MICROPHONES))
    monkeypatch.setattr(devices, "time", SimpleNamespace(monotonic=lambda: Webcam.clock_s))


def test_modes_are_those_that_open(one_of_each: None, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["devices", "--json", "--measure"]) == 0
    found = json.loads(capsys.readouterr().out)
    (camera,) = found["cameras"]["found"]
    sizes = [(mode["width_px"], mode["height_px"]) for mode in camera["modes"]]
    assert sizes == [(320, 240), (640, 480)]  # larger ones were asked for and not given
    assert {mode["format"] for mode in camera["modes"]} == {"MJPG"}
    assert camera["modes"][0]["claimed_hz"] == 30
    assert camera["modes"][0]["measured_hz"] == pytest.approx(15, abs=0.1)
    (microphone,) = found["microphones"]["found"]
    assert microphone["name"] == "USB Mic"
    assert microphone["default"] is True
    assert microphone["works_at_hz"] == [44_100, 48_000]


def test_the_table(one_of_each: None, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["devices"]) == 0
    printed = capsys.readouterr().out
    for word in ("/dev/video0", "Webcam [C270]", "640x480", "MJPG", "30 fps", "USB Mic"):
        assert word in printed, word


def test_nothing_there(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def no_portaudio() -> None:
        raise MienError("PortAudio is not installed; apt install libportaudio2")

    monkeypatch.setattr(devices, "camera_devices", lambda: [])
    monkeypatch.setattr(devices, "load_portaudio", no_portaudio)
    assert main(["devices"]) == 0
    printed = capsys.readouterr().out
    assert "no camera; plug one in" in printed
    assert "apt install libportaudio2" in printed


@pytest.mark.skipif(sys.platform != "linux", reason="V4L2")
def test_what_is_no_camera_is_left_out() -> None:
    from pathlib import Path

    assert not devices._captures(Path("/dev/null"))
    assert not devices._captures(Path("/dev/video-none"))
