"""A small graph in two processes, and what came out of it."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]


def graph(tmp_path: Path, **changes: Any) -> dict[str, Any]:
    raw: dict[str, Any] = {
        "name": "test",
        "nodes": {
            "numbers": {
                "type": "tests.small_nodes:Numbers",
                "parameters": {"period_ms": 10, "width": 320, "height": 240},
            },
            "add": {"type": "tests.small_nodes:Add", "inputs": {"frame": "numbers.video"}},
            "pair": {
                "type": "tests.small_nodes:Pair",
                "inputs": {"left": "numbers.video", "right": "add.video"},
            },
            "collect": {
                "type": "tests.small_nodes:Collect",
                "inputs": {"video": "pair.video", "audio": "numbers.audio"},
                "parameters": {"path": str(tmp_path / "out.txt")},
            },
        },
        "processes": {
            "ends": {"nodes": ["numbers", "collect"]},
            "middle": {"nodes": ["add", "pair"]},
        },
    }
    return raw | changes


def lines(tmp_path: Path, kind: str = "video") -> list[tuple[int, int, int]]:
    path = tmp_path / "out.txt"
    rows = [line.split() for line in path.read_text().splitlines()] if path.exists() else []
    return [(int(row[1]), int(row[2]), int(row[3])) for row in rows if row[0] == kind]


async def until(condition: Callable[[], bool], within_s: float = 30.0) -> float:
    started = time.monotonic()
    while not condition():
        assert time.monotonic() - started < within_s, "it never came true"
        await asyncio.sleep(0.02)
    return time.monotonic() - started


def command(tmp_path: Path, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, str(ROOT / "run_engine.py"), *arguments],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def write_toml(tmp_path: Path) -> Path:
    path = tmp_path / "graph.toml"
    path.write_text(
        f"""
[nodes.numbers]
type = "tests.small_nodes:Numbers"
parameters = {{ period_ms = 10, width = 640, height = 480 }}
[nodes.add]
type = "tests.small_nodes:Add"
inputs = {{ frame = "numbers.video" }}
[nodes.collect]
type = "tests.small_nodes:Collect"
inputs = {{ video = "add.video" }}
parameters = {{ path = "{tmp_path}/out.txt" }}
[processes.first]
nodes = ["numbers"]
[processes.second]
nodes = ["add", "collect"]
"""
    )
    return path
