"""A file through the graph: real-time factor, cost per node.

A clip of a moving face is made in code (512x512, 30 pictures a second, --seconds long), or
--input is taken, and `run_engine.py file` gives it an emotion. The real-time factor is the clip's
duration over the time that the engine took, reading, tracking, editing, encoding and writing;
the start of Python and the loading of models is told apart. --peers decodes and encodes the same
clip with nothing between, in the same run.

Examples:
  run_engine.py bench file
  run_engine.py bench file --input talk.mp4 --emotion surprised --json file.json
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import tempfile
import time
from fractions import Fraction
from pathlib import Path
from typing import Any

from rich.table import Table

from commands.bench.clip import moving_face
from commands.bench.report import (
    check_writable,
    console,
    environment,
    print_environment,
    write_json,
)
from commands.numbers import INTENSITY
from engine.errors import MienError
from engine.program import launcher
from face.types import EMOTIONS

SECONDS = 10.0
FPS = 30
SIDE_PX = 512


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--peers", action="store_true", help="compare with decoding and encoding only"
    )
    parser.add_argument("--input", type=Path, help="a video instead of the generated one")
    parser.add_argument(
        "--emotion", choices=EMOTIONS, default="happy", help="what the face wears (default happy)"
    )
    parser.add_argument("--intensity", type=INTENSITY, default=0.8, help="0 to 1 (default 0.8)")


def run(options: argparse.Namespace) -> int:
    check_writable(options.json)
    about = environment()
    settings = {
        "clip": str(options.input) if options.input else f"made, {SIDE_PX}x{SIDE_PX}, {FPS} fps",
        "seconds": None if options.input else options.seconds,
        "emotion": options.emotion,
        "intensity": options.intensity,
    }
    with tempfile.TemporaryDirectory(prefix="mienbench-") as scratch:
        folder = Path(scratch)
        clip = options.input or make_video(folder / "clip.mp4", options.seconds)
        print_environment(about, settings)
        report: dict[str, Any] = {"benchmark": "file", **about, "settings": settings}
        report |= _through_engine(clip, folder, options)
        if options.peers:
            took_s = transcode(clip, folder / "plain.mp4")
            report["peers"] = {
                "plain_transcode": {
                    "seconds": round(took_s, 2),
                    "real_time_factor": round(report["clip_s"] / took_s, 2),
                }
            }
    _print(report)
    if options.json:
        write_json(options.json, report)
    return 0


def make_video(path: Path, seconds: float) -> Path:
    """A moving face as H.264, SIDE_PX square."""
    import av

    face = moving_face(SIDE_PX, SIDE_PX)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=FPS, options={"preset": "veryfast"})
        stream.width = stream.height = SIDE_PX
        stream.pix_fmt = "yuv420p"
        for number in range(max(2, round(seconds * FPS))):
            picture = av.VideoFrame.from_ndarray(face(number / (10 * FPS) % 1), format="bgr24")
            picture.pts, picture.time_base = number, Fraction(1, FPS)
            container.mux(stream.encode(picture))
        container.mux(stream.encode())
    return path


def transcode(source: Path, goal: Path) -> float:
    """Seconds to decode, to pass through BGR and to encode again. Raises MienError."""
    import av

    began = time.perf_counter()
    try:
        with av.open(str(source)) as before, av.open(str(goal), "w") as after:
            origin = before.streams.video[0]
            stream = after.add_stream("libx264", rate=origin.average_rate or FPS)
            stream.width, stream.height = origin.width, origin.height
            stream.pix_fmt = "yuv420p"
            for frame in before.decode(origin):
                pixels_HWC = frame.to_ndarray(format="bgr24")
                picture = av.VideoFrame.from_ndarray(pixels_HWC, format="bgr24")
                picture.pts, picture.time_base = frame.pts, frame.time_base
                after.mux(stream.encode(picture))
            after.mux(stream.encode())
    except (OSError, av.error.FFmpegError, IndexError) as error:
        raise MienError(f"{source} can't be transcoded: {error}") from None
    return time.perf_counter() - began


def _through_engine(clip: Path, folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    goal, rows = folder / "out.mp4", folder / "report.json"
    command = [*launcher(), "file", str(clip), str(goal)]
    command += ["--emotion", options.emotion, "--intensity", str(options.intensity)]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    began = time.perf_counter()
    ended = subprocess.run(
        [*command, "--report", str(rows)], cwd=Path.cwd(), stdin=subprocess.DEVNULL,
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    wall_s = time.perf_counter() - began
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if ended.returncode != 0:
        lines = ended.stderr.strip().splitlines()
        raise MienError(lines[-1].removeprefix("mien: ") if lines else "the engine failed")
    told: dict[str, Any] = json.loads(rows.read_text())
    clip_s = float(told["duration_in_s"])
    cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {
        "clip_s": round(clip_s, 2),
        "real_time_factor": told["real_time_factor"],
        "real_time_factor_with_start": round(clip_s / wall_s, 2),
        "wall_s": round(wall_s, 2),
        "cpu_s": round(cpu_s, 2),
        **{
            key: told[key]
            for key in ("frames_in", "frames_out", "dropped", "fps", "latency_ms", "nodes")
        },
        "backends": told["backends"],
    }


def _print(report: dict[str, Any]) -> None:
    table = Table(title="per picture, ms", title_justify="left")
    table.add_column("node")
    for heading in ("p50", "p95", "p99"):
        table.add_column(heading, justify="right")
    for name, node in report["nodes"].items():
        if figures := node["process_ms"]:
            table.add_row(name, *(f"{figures[key]:.2f}" for key in ("p50", "p95", "p99")))
    console.print(table)
    console.print(
        f"{report['clip_s']} s of video at {report['real_time_factor']} times real time "
        f"({report['fps']:.1f} fps), {report['real_time_factor_with_start']} with Python's start; "
        f"{report['frames_out']} of {report['frames_in']} pictures, {report['cpu_s']} s of CPU"
    )
    for name, peer in report.get("peers", {}).items():
        console.print(f"{name}: {peer['real_time_factor']} times real time")
