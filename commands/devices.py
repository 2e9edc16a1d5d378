"""List cameras and microphones, with the modes that really work.

Every camera is opened in the usual sizes. The list has what it really delivers, not what its
driver claims. --measure also counts its pictures for a second in each mode.

examples:
  run_engine.py devices
  run_engine.py devices --measure
  run_engine.py devices --json
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any, Final

from engine import terminal
from engine.errors import MienError
from engine.program import program
from nodes.sources.camera import open_camera, why_not
from nodes.sources.microphone import load_portaudio, opens

_SIZES_PX: Final = ((320, 240), (640, 480), (1280, 720), (1920, 1080))
_ASKED_HZ: Final = 30.0
_MEASURE_S: Final = 1.0
_VIDIOC_QUERYCAP: Final = 0x80685600
_CAN_CAPTURE: Final = 0x1


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="as JSON")
    parser.add_argument(
        "--measure", action="store_true", help="count each mode's pictures for a second"
    )


def run(options: argparse.Namespace) -> int:
    found = {"cameras": cameras(measure=options.measure), "microphones": microphones()}
    if options.json:
        print(json.dumps(found, indent=1))
    else:
        _show(found)
    return 0


def cameras(*, measure: bool = False) -> dict[str, Any]:
    """{"found": a row per camera, "problem": why there is none, or ""}."""
    rows = [_describe(device, name, measure) for device, name in camera_devices()]
    problem = "" if rows else f"no camera; plug one in, or use the browser's ({program()} live)"
    return {"found": rows, "problem": problem}


def camera_devices() -> list[tuple[str, str]]:
    """(device, name) of what could be a camera; nothing is opened for pictures yet."""
    if sys.platform != "linux":
        return [(str(number), f"camera {number}") for number in range(4) if _opens(str(number))]
    found = []
    for path in sorted(Path("/dev").glob("video*"), key=lambda item: (len(item.name), item.name)):
        if path.name.removeprefix("video").isdigit() and _captures(path):
            name = Path(f"/sys/class/video4linux/{path.name}/name")
            found.append((str(path), name.read_text().strip() if name.exists() else path.name))
    return found


def _opens(device: str) -> bool:
    capture = open_camera(device, 640, 480, _ASKED_HZ)
    if capture is not None:
        capture.release()
    return capture is not None


def _captures(path: Path) -> bool:
    """Whether a V4L2 device gives pictures; one that we may not open could."""
    import fcntl

    answer = bytearray(104)
    try:
        with path.open("rb", buffering=0) as device:
            fcntl.ioctl(device, _VIDIOC_QUERYCAP, answer)
    except PermissionError:
        return True
    except OSError:
        return False
    return bool(int.from_bytes(answer[88:92], sys.byteorder) & _CAN_CAPTURE)


def _describe(device: str, name: str, measure: bool) -> dict[str, Any]:
    import cv2

    modes: dict[tuple[int, int, str], dict[str, Any]] = {}
    for width_px, height_px in _SIZES_PX:
        capture = open_camera(device, width_px, height_px, _ASKED_HZ)
        if capture is None:
            continue
        try:
            code = int(capture.get(cv2.CAP_PROP_FOURCC))
            mode: dict[str, Any] = {
                "width_px": int(capture.get(cv2.CAP_PROP_FRAME_WIDTH)),
                "height_px": int(capture.get(cv2.CAP_PROP_FRAME_HEIGHT)),
                "format": code.to_bytes(4, "little", signed=code < 0).decode("ascii", "replace"),
                "claimed_hz": round(float(capture.get(cv2.CAP_PROP_FPS)), 2),
                "measured_hz": round(_count(capture), 1) if measure else None,
            }
        finally:
            capture.release()
        modes[mode["width_px"], mode["height_px"], mode["format"]] = mode
    problem = "" if modes else why_not(device)
    return {"device": device, "name": name, "modes": list(modes.values()), "problem": problem}


def _count(capture: Any) -> float:
    """Pictures a second, over about a second."""
    capture.read()
    began_s = now_s = time.monotonic()
    pictures = 0
    while now_s - began_s < _MEASURE_S:
        if not capture.read()[0]:
            break
        pictures += 1
        now_s = time.monotonic()
    return pictures / max(now_s - began_s, 1e-9)


def microphones() -> dict[str, Any]:
    """{"found": a row per microphone, "problem": why there is none, or ""}."""
    try:
        sound = load_portaudio()
    except MienError as error:
        return {"found": [], "problem": str(error)}
    default = sound.default.device[0]
    hosts = [host["name"] for host in sound.query_hostapis()]
    rows = []
    for entry in sound.query_devices():
        if entry["max_input_channels"] < 1:
            continue
        most = entry["max_input_channels"]
        rates_hz = [
            rate_hz
            for rate_hz in (16_000, 44_100, 48_000)
            if any(opens(sound, entry["index"], rate_hz, width) for width in {1, most})
        ]
        rows.append(
            {
                "device": str(entry["index"]),
                "name": entry["name"],
                "host": hosts[entry["hostapi"]],
                "channels": entry["max_input_channels"],
                "default_hz": int(entry["default_samplerate"]),
                "works_at_hz": rates_hz,
                "default": entry["index"] == default,
            }
        )
    problem = "" if rows else f"no microphone; plug one in, or use the browser's ({program()})"
    return {"found": rows, "problem": problem}


def _show(found: dict[str, Any]) -> None:
    from rich.table import Table

    console = terminal.console()
    if found["cameras"]["found"]:
        table = Table("camera", "name", "size", "format", "claims", "measured")
        for camera in found["cameras"]["found"]:
            for mode in camera["modes"]:
                measured = mode["measured_hz"]
                table.add_row(
                    camera["device"],
                    camera["name"],
                    f"{mode['width_px']}x{mode['height_px']}",
                    mode["format"],
                    f"{mode['claimed_hz']:g} fps",
                    "-" if measured is None else f"{measured:g} fps",
                )
            if camera["problem"]:
                table.add_row(camera["device"], camera["name"], camera["problem"], "", "", "")
        console.print(table)
    else:
        console.print(f"cameras: {found['cameras']['problem']}")
    if found["microphones"]["found"]:
        table = Table("mic", "name", "system", "channels", "works at")
        for row in found["microphones"]["found"]:
            table.add_row(
                row["device"] + (" (default)" if row["default"] else ""),
                row["name"],
                row["host"],
                str(row["channels"]),
                ", ".join(f"{rate / 1000:g}" for rate in row["works_at_hz"]) + " kHz",
            )
        console.print(table)
    else:
        console.print(f"microphones: {found['microphones']['problem']}")
