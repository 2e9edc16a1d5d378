"""A voice that makes a picture talk: voice to picture, frame rate, CPU.

The voice (--voice, or a hum that is made in code) is played in its own time into the portrait
(--portrait, or a drawn head), as live does, without a browser: what is measured ends where a
picture is handed to viewers. Voice to picture is from the beginning of the sound that a picture
shows to that picture; 40 ms of sound and 80 ms of look-ahead are part of it.

Examples:
  run_engine.py bench voice --portrait face.jpg --voice talk.wav --seconds 60
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
import wave
from pathlib import Path
from typing import Any

import numpy as np
from rich.table import Table

from commands.bench.clip import moving_face
from commands.bench.report import (
    check_writable,
    console,
    environment,
    print_environment,
    write_json,
)
from commands.talking import portrait_graph
from engine.errors import MienError
from engine.graph import load
from engine.supervisor import Supervisor

SECONDS = 20.0
WARM_UP_S = 3.0
FIRST_WITHIN_S = 30.0
RATE_HZ = 16_000


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--voice", type=Path, help="a file with sound instead of the generated one")
    parser.add_argument("--portrait", type=Path, help="a picture instead of the drawn head")


def run(options: argparse.Namespace) -> int:
    check_writable(options.json)
    about = environment()
    with tempfile.TemporaryDirectory(prefix="mienbench-") as scratch:
        voice = options.voice or _hum(Path(scratch) / "hum.wav")
        portrait = options.portrait or _head(Path(scratch) / "head.png")
        settings = {
            "voice": str(options.voice or "made"), "portrait": str(options.portrait or "drawn"),
            "seconds": options.seconds,
        }  # fmt: skip
        print_environment(about, settings)
        figures = asyncio.run(_measure(voice, portrait, options.seconds))
    _print(figures)
    if options.json:
        write_json(options.json, {"benchmark": "voice", **about, "settings": settings, **figures})
    return 0


async def _measure(voice: Path, portrait: Path, seconds: float) -> dict[str, Any]:
    raw = portrait_graph(argparse.Namespace(camera=None, portrait=[str(portrait)], mic=str(voice)))
    raw["nodes"]["out"] = {
        "type": "nodes.sinks.stopwatch:Stopwatch", "inputs": {"frame": "portrait.video"}
    }  # fmt: skip
    async with Supervisor(load(raw), "", lambda level, text: None, None) as supervisor:
        deadline_s = asyncio.get_running_loop().time() + FIRST_WITHIN_S
        while not _arrived(supervisor.metrics()):
            if asyncio.get_running_loop().time() > deadline_s:
                raise MienError("no picture came; try live --portrait, which says why")
            await asyncio.sleep(0.1)
        await asyncio.sleep(WARM_UP_S)
        before = supervisor.metrics()
        await asyncio.sleep(seconds)
        after = supervisor.metrics()
    pictures = _arrived(after) - _arrived(before)
    return {
        "fps": round(pictures / seconds, 2),
        "voice_to_picture_ms": after["nodes"]["out"]["observed"]["hop"],
        "nodes": {
            name: node["process_ms"] for name, node in after["nodes"].items() if node["process_ms"]
        },
        "cpu_percent": {
            name: round(each["cpu_percent"], 1) for name, each in after["processes"].items()
        },
        "backends": {
            name: node["gauges"]["backend"]
            for name, node in after["nodes"].items()
            if "backend" in node["gauges"]
        },
    }


def _arrived(metrics: dict[str, Any]) -> int:
    return int(metrics["nodes"]["out"]["count_in"])


def _hum(path: Path) -> Path:
    """Ten seconds of vowels, said and paused."""
    t = np.arange(10 * RATE_HZ) / RATE_HZ
    tone = sum(np.sin(2 * np.pi * 120 * k * t) / k for k in range(1, 9))
    said = (np.sin(2 * np.pi * 2.5 * t) > 0) & (t % 4 < 3)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE_HZ)
        file.writeframes(np.rint(8000 * np.asarray(tone) * said).astype("<i2").tobytes())
    return path


def _head(path: Path) -> Path:
    import cv2

    cv2.imwrite(str(path), moving_face(512, 512)(0.0))
    return path


def _print(figures: dict[str, Any]) -> None:
    table = Table(title="ms", title_justify="left")
    table.add_column("")
    for heading in ("p50", "p95", "p99"):
        table.add_column(heading, justify="right")
    rows = {"voice to picture": figures["voice_to_picture_ms"], **figures["nodes"]}
    for name, row in rows.items():
        table.add_row(name, *(f"{row[key]:.2f}" for key in ("p50", "p95", "p99")))
    console.print(table)
    cpu = ", ".join(f"{name} {share:.0f} %" for name, share in figures["cpu_percent"].items())
    console.print(f"{figures['fps']:.1f} pictures a second; of one core: {cpu}")
