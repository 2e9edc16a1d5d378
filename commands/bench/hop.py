"""Pictures between two processes: latency, throughput, CPU.

1280x720x3 uint8 pictures go from one process to another over the engine's own edge, a ZeroMQ
header with the pixels in shared memory. Latency counts from right before the picture is emitted
to the first line of the consumer's handler, at a steady rate; throughput is taken without a
rate, nothing dropped. --peers times multiprocessing.Queue, pyzmq with the pixels inside the
message, and ezmsg the same way, in turns within the same run.

Examples:
  run_engine.py bench hop
  run_engine.py bench hop --peers --json hop.json
  run_engine.py bench hop --size 640x480 --rate 60
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import os
import re
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from commands.bench.report import (
    check_writable,
    console,
    environment,
    print_environment,
    write_json,
)
from commands.bench.stats import percentiles
from commands.numbers import within
from commands.paths import GRAPHS
from engine.errors import MienError, UsageError
from engine.program import ROOT, extra, launcher

SECONDS = 12.0
ENGINE = "mien"
PEERS = ("multiprocessing_queue", "pyzmq_copy", "ezmsg")
SETTLE_S = 0.5
EXTRA_S = 30.0

Rows = NDArray[np.int64]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--peers", action="store_true", help="compare with three other ways")
    parser.add_argument("--size", default="1280x720", help="of the picture (default 1280x720)")
    parser.add_argument(
        "--rate",
        type=within(float, 1.0, 1000.0),
        default=60.0,
        help="pictures per second (default 60)",
    )
    parser.add_argument(
        "--rounds", type=within(int, 1, 1000), default=3, help="turns for each way (default 3)"
    )


def run(options: argparse.Namespace) -> int:
    width, height = _size(options.size)
    if not 1 <= options.rounds <= 100:
        raise UsageError(f"--rounds {options.rounds}: from 1 to 100")
    if not 1 <= options.rate <= 1000:
        raise UsageError(f"--rate {options.rate:g}: from 1 to 1000 pictures per second")
    check_writable(options.json)
    if options.peers and importlib.util.find_spec("ezmsg") is None:
        raise MienError(f"--peers needs ezmsg: {extra('bench')}")
    names = (ENGINE, *PEERS) if options.peers else (ENGINE,)
    settings = {
        "size": f"{width}x{height}x3",
        "rate_hz": options.rate,
        "seconds": options.seconds,
        "rounds": options.rounds,
    }
    about = environment()
    print_environment(about, settings)
    # Two thirds of the time for latency, one third for throughput.
    piece_s = options.seconds / options.rounds
    parts = {"latency": (options.rate, piece_s * 2 / 3), "throughput": (0.0, piece_s / 3)}
    measured: dict[str, dict[str, list[Rows]]] = {
        name: {part: [] for part in parts} for name in names
    }
    columns = (TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn())
    with (
        Progress(*columns, console=console, transient=True) as progress,
        tempfile.TemporaryDirectory(prefix="mienbench-") as folder,
    ):
        task = progress.add_task("measuring", total=options.rounds * len(parts) * len(names))
        for _ in range(options.rounds):
            for part, (rate_hz, seconds) in parts.items():
                for name in names:
                    progress.update(task, description=f"{part} of {name}")
                    path = Path(folder) / "rows.npy"
                    size = (width, height)
                    rows = _measure(name, size, rate_hz, seconds + SETTLE_S, path)
                    measured[name][part].append(rows)
                    progress.advance(task)
    figures = {name: _figures(measured[name]) for name in names}
    report: dict[str, Any] = {"benchmark": "hop", **about, "settings": settings, **figures[ENGINE]}
    if options.peers:
        report["peers"] = {name: figures[name] for name in PEERS}
        own_ms = report["hop_ms"]["p50"]
        report["times_faster"] = {
            name: round(figures[name]["hop_ms"]["p50"] / own_ms, 2) for name in PEERS
        }
    _print(figures)
    if options.json:
        write_json(options.json, report)
    return 0


def _measure(name: str, size: tuple[int, int], rate_hz: float, seconds: float, path: Path) -> Rows:
    """One turn in processes of its own: int64 [N, 4]: sent, arrived, CPU of both sides [ns]."""
    path.unlink(missing_ok=True)
    width, height = size
    if name == ENGINE:
        graph = path.with_name("hop.toml")
        text = (GRAPHS / "hop.toml").read_text()
        graph.write_text(text if rate_hz else text.replace('"live"', '"lossless"'))
        command = [*launcher(), "graph", str(graph)]
        for key, value in (
            ("pattern.width", width),
            ("pattern.height", height),
            ("pattern.fps", rate_hz),
            ("pattern.seconds", seconds),
            ("stopwatch.path", path),
        ):
            command += ["--set", f"{key}={value}"]
    else:
        command = [sys.executable, "-m", "commands.bench.hop_peers", name]
        command += [str(value) for value in (width, height, rate_hz, seconds, path)]
    with subprocess.Popen(
        command,
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        start_new_session=True,
    ) as process:
        try:
            _, said = process.communicate(timeout=seconds + EXTRA_S)
        except subprocess.TimeoutExpired:
            _end(process)
            words = (process.communicate()[1] or b"").decode(errors="replace").split()
            raise MienError(
                f"{name} didn't end within {seconds + EXTRA_S:.0f} s: {' '.join(words[-20:])}"
            ) from None
        finally:
            _end(process)
    if not path.is_file():
        lines = said.decode(errors="replace").strip().splitlines()
        raise MienError(f"{name} failed: {lines[-1] if lines else 'it said nothing'}")
    rows: Rows = np.load(path, allow_pickle=False)
    return rows


def _end(process: subprocess.Popen[bytes]) -> None:
    """Ctrl-C and time-outs leave nothing: whatever lives in the group is ended."""
    with contextlib.suppress(subprocess.TimeoutExpired):
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
            process.wait(3)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def _figures(parts: dict[str, list[Rows]]) -> dict[str, Any]:
    """Latency and CPU of the paced rows, throughput of the others; each turn's start left out."""
    paced = [_settled(rows) for rows in parts["latency"]]
    free = [_settled(rows) for rows in parts["throughput"]]
    latency_ms = np.concatenate([(rows[:, 1] - rows[:, 0]) / 1e6 for rows in paced])
    span_s = sum((rows[-1, 1] - rows[0, 1]) / 1e9 for rows in free)
    pictures = sum(len(rows) - 1 for rows in free)
    return {
        "hop_ms": percentiles(latency_ms, 3),
        "hop_max_ms": round(float(latency_ms.max()), 3),
        "samples": int(latency_ms.size),
        "rounds_p50_ms": [percentiles((rows[:, 1] - rows[:, 0]) / 1e6, 3)["p50"] for rows in paced],
        "throughput_fps": round(float(pictures / span_s), 1),
        "cpu_ms_per_picture": round(_cpu_ms(paced), 3),
        "cpu_percent_at_rate": round(_cpu_share(paced), 1),
    }


def _settled(rows: Rows) -> Rows:
    kept: Rows = rows[rows[:, 0] >= rows[0, 0] + int(SETTLE_S * 1e9)] if len(rows) else rows
    if len(kept) < 2:
        raise MienError("too few pictures arrived to measure; give it more --seconds")
    return kept


def _cpu_ms(pieces: list[Rows]) -> float:
    """CPU of producer and consumer per picture."""
    used = sum(int(np.sum(rows[-1, 2:] - rows[0, 2:])) for rows in pieces)
    return float(used / 1e6 / sum(len(rows) - 1 for rows in pieces))


def _cpu_share(pieces: list[Rows]) -> float:
    """CPU of both sides in percent of one core."""
    used = sum(int(np.sum(rows[-1, 2:] - rows[0, 2:])) for rows in pieces)
    return float(100 * used / sum(int(rows[-1, 1] - rows[0, 1]) for rows in pieces))


def _print(figures: dict[str, dict[str, Any]]) -> None:
    table = Table(title="one hop, ms", title_justify="left")
    table.add_column("", no_wrap=True)
    for heading in ("p50", "p95", "p99", "mien is", "per s", "CPU ms"):
        table.add_column(heading, justify="right")
    own_ms = figures[ENGINE]["hop_ms"]["p50"]
    for name, row in figures.items():
        table.add_row(
            name,
            *(f"{row['hop_ms'][key]:.3f}" for key in ("p50", "p95", "p99")),
            f"{row['hop_ms']['p50'] / own_ms:.1f} x" if name != ENGINE else "",
            f"{row['throughput_fps']:.0f}",
            f"{row['cpu_ms_per_picture']:.2f}",
        )
    console.print(table)


def _size(text: str) -> tuple[int, int]:
    found = re.fullmatch(r"(\d+)x(\d+)", text)
    if not found or not all(16 <= int(side) <= 4096 for side in found.groups()):
        raise UsageError(f"--size {text}: write it as 1280x720, sides from 16 to 4096")
    return int(found[1]), int(found[2])
