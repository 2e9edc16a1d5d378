"""Load the cores in steps and watch the governor hold rate and age.

A headless Chromium is the user of `run_engine.py live`, as in `bench live`; beside them run as many
processes that only compute as --loads says, one step after the other, --seconds each. Once a second
are noted: pictures from the camera and of the avatar, their age when they are sent (p50), and the
level. --plot draws them over time.

Examples:
  run_engine.py bench governor --plot governor.svg
  run_engine.py bench governor --loads 0,2,6,0 --seconds 30 --json governor.json
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any, Final

from rich.table import Table

from commands.bench.browser import BrowserUser, find_chromium, need_playwright
from commands.bench.clip import make_clip
from commands.bench.report import (
    check_writable,
    console,
    environment,
    print_environment,
    write_json,
)
from commands.bench.server import EngineServer, temporary_folder
from engine import files
from engine.draw import escape
from engine.errors import MienError

SECONDS: Final = 20.0
FPS: Final = 30
BURN: Final = "while True: pass"
FIRST_WITHIN_S: Final = 60.0
CURVES: Final = (
    ("fps", "avatar [/s]", "#5b4bb5"),
    ("camera_fps", "camera [/s]", "#94a3b8"),
    ("age_ms", "age p50 [ms]", "#b3560f"),
    ("level", "level", "#0f766e"),
    ("load", "processes that compute", "#64748b"),
)
_LEFT, _WIDTH, _HEIGHT, _GAP = 190, 900, 90, 18

Row = dict[str, float]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--loads", type=_loads, default=[0, 1, 2, 4, 0], metavar="N,N,...",
        help="busy processes beside the engine, step by step (default 0,1,2,4,0)",
    )  # fmt: skip
    parser.add_argument("--plot", type=Path, metavar="FILE.svg", help="draw it over time")


def run(options: argparse.Namespace) -> int:
    for path in (options.json, options.plot):
        check_writable(path)
    need_playwright()
    find_chromium()
    about = environment()
    settings = {"loads": options.loads, "seconds": options.seconds, "size": "640x480", "fps": FPS}
    with temporary_folder() as folder:
        clip = make_clip(Path(folder), 640, 480, FPS, None)
        print_environment(about, settings)
        with EngineServer(["--no-settings"], governed=True) as server, BrowserUser(clip) as browser:
            browser.connect(server.url)
            with ThreadPoolExecutor(1) as thread:  # the browser's driver has this one's event loop
                measured = thread.submit(_measure, server, options.loads, options.seconds)
                rows = measured.result()
    _print(rows, options.loads)
    if options.plot:
        with files.atomic_write(options.plot) as part:
            part.write_text(draw(rows), encoding="utf-8")
    if options.json:
        write_json(
            options.json, {"benchmark": "governor", **about, "settings": settings, "rows": rows}
        )
    return 0


def row_of(
    metrics: dict[str, Any],
    roles: Mapping[str, str],
    before: Row | None,
    step: int,
    load: int,
    at_s: float,
) -> Row:
    """What is noted of a snapshot; rates are those since the row ``before``."""
    sink = f"->{roles['out']}.video"
    arrived = sum(
        edge["received"] for name, edge in metrics["edges"].items() if name.endswith(sink)
    )
    passed_s = at_s - before["at_s"] if before else 0.0
    nodes = metrics["nodes"]
    return {
        "at_s": at_s,
        "step": step,
        "load": load,
        "arrived": arrived,
        "fps": (arrived - before["arrived"]) / passed_s if before and passed_s > 0 else 0.0,
        "camera_fps": float(nodes[roles["browser"]]["gauges"].get("input_fps", 0.0)),
        "age_ms": float(nodes[roles["out"]]["observed"].get("capture_to_send", {}).get("p50", 0.0)),
        "level": metrics["governor"]["level"],
    }


def draw(rows: Sequence[Row]) -> str:
    """An SVG: each figure over time, steps of the load as lines."""
    span = max(rows[-1]["at_s"], 1e-3)
    height = len(CURVES) * (_HEIGHT + _GAP) + 40
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_LEFT + _WIDTH + 20} {height}" '
        'font-family="sans-serif" font-size="14">',
        '<rect width="100%" height="100%" fill="#fff"/>',
    ]
    for number, (key, label, colour) in enumerate(CURVES):
        top = 16 + number * (_HEIGHT + _GAP)
        most = max(max(row[key] for row in rows), 1.0)
        points = " ".join(
            f"{_LEFT + row['at_s'] / span * _WIDTH:.1f},{top + _HEIGHT * (1 - row[key] / most):.1f}"
            for row in rows
        )
        parts += [
            f'<text x="8" y="{top + _HEIGHT / 2}">{escape(label)}</text>',
            f'<text x="{_LEFT - 8}" y="{top + 12}" text-anchor="end" fill="#666">{most:.0f}</text>',
            f'<text x="{_LEFT - 8}" y="{top + _HEIGHT}" text-anchor="end" fill="#666">0</text>',
            f'<path d="M{_LEFT} {top + _HEIGHT}h{_WIDTH}" stroke="#ccc"/>',
            f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2"/>',
        ]
    for before, row in pairwise(rows):
        if before["step"] != row["step"]:
            x = _LEFT + row["at_s"] / span * _WIDTH
            parts.append(
                f'<path d="M{x:.1f} 10V{height - 30}" stroke="#bbb" stroke-dasharray="4"/>'
            )
    parts.append(f'<text x="{_LEFT}" y="{height - 10}">0 to {span:.0f} s</text>')
    return "\n".join([*parts, "</svg>\n"])


def _loads(text: str) -> list[int]:
    try:
        loads = [int(part) for part in text.split(",")]
    except ValueError:
        loads = [-1]
    if not loads or min(loads) < 0 or max(loads) > 64:
        raise argparse.ArgumentTypeError(f"{text!r}: numbers from 0 to 64 with commas between")
    return loads


def _first(server: EngineServer) -> None:
    """Wait until pictures go out. Raises MienError."""
    deadline_s = time.monotonic() + FIRST_WITHIN_S
    while time.monotonic() < deadline_s:
        out = server.metrics()["nodes"].get(server.roles()["out"], {})
        if out.get("observed", {}).get("capture_to_send"):
            return
        time.sleep(0.2)
    raise MienError("no picture came out of the engine")


def _measure(server: EngineServer, loads: Sequence[int], seconds: float) -> list[Row]:
    _first(server)
    return list(_rows(server, loads, seconds))


def _rows(server: EngineServer, loads: Sequence[int], seconds: float) -> Iterator[Row]:
    began_s, roles = time.monotonic(), server.roles()
    before: Row | None = None
    for step, load in enumerate(loads):
        with _burning(load):
            until_s = began_s + (step + 1) * seconds
            while time.monotonic() < until_s:
                time.sleep(min(1.0, max(0.0, until_s - time.monotonic())))
                metrics = server.metrics()
                row = row_of(metrics, roles, before, step, load, time.monotonic() - began_s)
                if before is not None:
                    yield row
                before = row


@contextmanager
def _burning(count: int) -> Iterator[None]:
    burners = [subprocess.Popen([sys.executable, "-c", BURN]) for _ in range(count)]
    try:
        yield
    finally:
        for burner in burners:
            burner.kill()
            burner.wait()


def _print(rows: Sequence[Row], loads: Sequence[int]) -> None:
    table = Table()
    headings = ("processes", "camera fps", "avatar fps", "age p50 ms", "at most", "levels")
    for heading in headings:
        table.add_column(heading, justify="right")
    for step, load in enumerate(loads):
        if part := [row for row in rows if row["step"] == step]:
            levels = [int(row["level"]) for row in part]
            table.add_row(
                str(load),
                f"{median(row['camera_fps'] for row in part):.1f}",
                f"{median(row['fps'] for row in part):.1f}",
                f"{median(row['age_ms'] for row in part):.0f}",
                f"{max(row['age_ms'] for row in part):.0f}",
                f"{levels[0]} to {levels[-1]}",
            )
    console.print(table)
