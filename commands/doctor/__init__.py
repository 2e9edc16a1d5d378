"""Say what works on this machine and what doesn't, and how to fix it.

A cross marks something that live needs and that doesn't work, a dash something optional.
The exit code is 0 if everything that live needs works, 1 otherwise.

examples:
  run_engine.py doctor
  run_engine.py doctor --json
  run_engine.py doctor --port 9000 --no-speed
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import platform
import shutil
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from commands.devices import camera_devices, microphones
from commands.doctor.network import describe
from commands.doctor.speed import measure_face_ms
from commands.numbers import within
from commands.weights import add_weights, use_weights
from engine import terminal
from engine.errors import MienError
from engine.program import program
from inference.assets import FACE_LANDMARKER, locate
from inference.weight_sets import left_out
from nodes.sinks.virtual_camera import missing as virtual_camera_missing
from training import recipes

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome", "msedge", "firefox")
_SHM_BYTES = 64 << 20


@dataclass(frozen=True)
class Check:
    """One line. ``works`` False matters to the exit code only where ``needed``."""

    name: str
    works: bool
    fact: str
    hint: str = ""
    needed: bool = False


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="as JSON")
    parser.add_argument(
        "--port", type=within(int, 1, 65_535), default=8080, help="the page's port (8080)"
    )
    add_weights(parser)
    parser.add_argument("--no-speed", action="store_true", help="don't measure the frame rate")


def run(options: argparse.Namespace) -> int:
    name, _, permits = use_weights(options).partition(": ")
    checks = [
        python(),
        *packages(),
        landmarker(),
        Check(name, True, permits),
        *networks(),
        *([] if options.no_speed else [speed()]),
        gpu(),
        *codecs(),
        port(options.port),
        shared_memory(),
        clock(),
        browser(),
        cameras(),
        microphone(),
        virtual_camera(),
    ]
    healthy = all(check.works for check in checks if check.needed)
    if options.json:
        rows = [dataclasses.asdict(check) for check in checks]
        print(json.dumps({"healthy": healthy, "checks": rows}, indent=1))
    else:
        _show(checks, healthy)
    return 0 if healthy else 1


def _show(checks: list[Check], healthy: bool) -> None:
    from rich.text import Text

    console = terminal.console()
    right, open_, wrong = "✓–✗" if terminal.sayable("✓–✗") else "+-x"
    for check in checks:
        sign, colour = (right, "green") if check.works else (open_, "yellow")
        if check.needed and not check.works:
            sign, colour = wrong, "red"
        hint = f"; {check.hint}" if check.hint else ""
        console.print(Text(sign, colour), Text(f"{check.name}: {check.fact}{hint}"))
    console.print(
        "live works here" if healthy else f"live does not work here yet: see {wrong} above"
    )


def python() -> Check:
    version = platform.python_version()
    system = f"{version} on {platform.system()} {platform.machine()}"
    return Check("python", sys.version_info >= (3, 11), system, needed=True)


def packages() -> list[Check]:
    """The runtimes of networks: the tracker's, that of the others, and what may replace it."""
    checks = []
    for name, needed, wanted in (
        ("ai-edge-litert", True, True),
        ("openvino", False, True),
        ("onnxruntime", False, False),
        ("tensorrt-rtx-cu13", False, False),
    ):
        try:
            checks.append(Check(name, True, metadata.version(name), needed=needed))
        except metadata.PackageNotFoundError:
            fact = "not installed" if wanted else "not installed: not needed"
            hint = f"pip install {name}" if wanted else ""
            checks.append(Check(name, False, fact, hint, needed))
    return checks


def landmarker() -> Check:
    """The face landmarker's file, fetched if need be."""
    try:
        path = locate(FACE_LANDMARKER)
    except MienError as error:
        return Check("face landmarker", False, str(error), needed=True)
    return Check("face landmarker", True, str(path), needed=True)


def networks() -> list[Check]:
    """The learned face; where a network is missing, live reads or paints less and says so."""
    checks = []
    for name in recipes.shipped():
        if without := left_out(name):
            fact = f"not in {without}: not needed, light and shade stay as they are"
            checks.append(Check(f"network {name}", False, fact))
            continue
        try:
            checks.append(Check(f"network {name}", True, describe(name)))
        except MienError as error:
            checks.append(Check(f"network {name}", False, str(error)))
    return checks


def speed() -> Check:
    """How fast a face is tracked and redrawn here."""
    try:
        took_ms = measure_face_ms()
    except (MienError, ImportError) as error:
        return Check("speed", False, f"could not be measured: {error}", needed=True)
    fps = 1000 / took_ms
    fact = f"{took_ms:.1f} ms for a face at 640x480 on the CPU: expect up to {min(fps, 60):.0f} fps"
    fast = fps >= 20
    hint = "" if fast else "close other programs, or choose a smaller picture on the page"
    return Check("speed", fast, fact, hint, needed=False)


def gpu() -> Check:
    """The graphics card; nothing needs one."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return Check("gpu", False, "no NVIDIA driver found: everything runs on the CPU")
    command = [program, "--query-gpu=name,driver_version,memory.total", "--format=csv,noheader"]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError) as error:
        return Check("gpu", False, f"nvidia-smi fails: {error}", "reinstall the NVIDIA driver")
    return Check("gpu", True, "; ".join(answer.stdout.strip().splitlines()))


def codecs() -> list[Check]:
    """What PyAV can encode; the hardware encoder counts only if it opens."""
    import av

    checks = []
    for name, purpose, needed in (
        ("libx264", "H.264, to the page and into mp4", True),
        ("libvpx", "VP8, to the page", True),
        ("libopus", "sound to the page", True),
        ("aac", "sound into mp4", False),
        ("libvpx-vp9", "webm", False),
    ):
        there = name in av.codecs_available
        hint = "" if there else "pip install --force-reinstall av"
        checks.append(Check(name, there, purpose, hint, needed))
    opens = _nvenc_opens()
    fact = "H.264 on the NVIDIA card" if opens else "does not open here: not needed now"
    checks.append(Check("h264_nvenc", opens, fact))
    return checks


def _nvenc_opens() -> bool:
    import av

    if "h264_nvenc" not in av.codecs_available:
        return False
    try:
        encoder = av.CodecContext.create("h264_nvenc", "w")
        encoder.width, encoder.height, encoder.pix_fmt = 256, 256, "yuv420p"
        encoder.open()
    except (av.FFmpegError, OSError, ValueError):
        return False
    return True


def port(number: int) -> Check:
    """Whether the page can be served."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", number))
        except OSError as error:
            fact = f"taken ({error.strerror})"
            hint = f"end the other program, or: {program()} live --port {number + 1}"
            return Check(f"port {number}", False, fact, hint, needed=True)
    return Check(f"port {number}", True, "free", needed=True)


def shared_memory() -> Check:
    """Room for pictures between processes."""
    folder = Path("/dev/shm")
    if not folder.is_dir():
        return Check("shared memory", True, "kept by the system, without a limit", needed=True)
    usage = shutil.disk_usage(folder)
    fact = f"{usage.free >> 20} of {usage.total >> 20} MB free in {folder}"
    enough = usage.free >= _SHM_BYTES
    hint = "" if enough else "free some, or give the container more (docker run --shm-size=1g)"
    return Check("shared memory", enough, fact, hint, needed=True)


def clock() -> Check:
    """The smallest step of the clock that stamps frames."""
    steps = []
    for _ in range(100):
        began_ns = now_ns = time.monotonic_ns()
        while now_ns == began_ns:
            now_ns = time.monotonic_ns()
        steps.append(now_ns - began_ns)
    step_ns = min(steps)
    fine = step_ns <= 1_000_000
    return Check("clock", fine, f"steps of {step_ns} ns", "" if fine else "expect jitter")


def browser() -> Check:
    """A browser for the page."""
    for name in BROWSERS:
        if (path := shutil.which(name)) is not None:
            return Check("browser", True, path)
    mac = Path("/Applications/Google Chrome.app")
    if sys.platform == "darwin" and (mac.exists() or Path("/Applications/Safari.app").exists()):
        return Check("browser", True, "in /Applications")
    hint = "install Chromium or Firefox, or open the page from another machine (live --address)"
    return Check("browser", False, "none found", hint)


def cameras() -> Check:
    """This machine's own cameras; the page brings the browser's."""
    found = camera_devices()
    if not found:
        return Check("camera", False, "none here; the browser's can still be used")
    fact = ", ".join(f"{device} ({name})" for device, name in found)
    return Check("camera", True, f"{fact}; {program()} devices tries their modes")


def microphone() -> Check:
    """This machine's own microphones; the page brings the browser's."""
    found = microphones()
    if found["found"]:
        return Check("microphone", True, ", ".join(row["name"] for row in found["found"]))
    return Check("microphone", False, found["problem"])


def virtual_camera() -> Check:
    """Whether other programs can see the result as a camera."""
    problem = virtual_camera_missing()
    if problem is None:
        return Check("virtual camera", True, "there (--virtual-camera uses it)")
    return Check("virtual camera", False, problem)
