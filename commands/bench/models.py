"""Measure the networks: ms for each on every runtime that is here, cold and warm.

Cold is from the file on disk to the first answer; warm is a call after that: the quickest, the
median and the 95th percentile, and what share of the CPU's time it took. GFLOP/s are those of the
quickest call. On a machine that does other things too, the quickest is the one to compare.

Examples:
  run_engine.py bench models
  run_engine.py bench models --only skin --threads 1 --json models.json
  run_engine.py bench models --weights build/weights --seconds 2
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import time
from pathlib import Path
from typing import Any, Final

import numpy as np

from commands.numbers import THREADS
from engine import terminal
from engine.errors import MienError
from engine.program import tool
from engine.types import F32
from inference.card import Card, read_card
from inference.model import Backend, Model, missing
from inference.weight_sets import folder_of, weights_in_use

SECONDS: Final = 1.0
"""how long each network is called, warm"""
WAYS: Final[tuple[tuple[Backend, str], ...]] = (
    ("tensorrt", "auto"),
    ("openvino", "int8"),
    ("openvino", "bf16"),
    ("openvino", "f32"),
    ("onnxruntime", "auto"),
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--only", nargs="+", metavar="NAME", help="measure these networks only")
    parser.add_argument("--threads", type=THREADS, default=2, help="of the CPU's runtimes (2)")


def run(options: argparse.Namespace) -> int:
    cards = find(options.only)
    rows: list[dict[str, Any]] = []
    reasons: dict[str, str] = {}
    for backend in dict.fromkeys(backend for backend, _ in WAYS):
        if (reason := missing(backend)) is not None:
            reasons[backend] = reason
    for card in cards:
        for backend, precision in WAYS:
            if {backend, f"{backend} in {precision}"} & reasons.keys():
                continue
            if precision == "int8" and "openvino_int8" not in card.files:
                continue
            row = measure(card, backend, precision, options.threads, options.seconds)
            # What a CPU can't do, OpenVINO does in float32, which has a row of its own.
            if backend == "openvino" and f", {precision}" not in row["runtime"]:
                reasons[f"openvino in {precision}"] = "this CPU lacks it"
                continue
            rows.append(row)
    found = {
        "machine": machine(),
        "threads": options.threads,
        "left_out": reasons,
        "networks": rows,
    }
    _show(found)
    if options.json:
        _write(options.json, found)
    return 0


def find(only: list[str] | None) -> list[Card]:
    """The networks' cards of the weights in use. Raises MienError where there are none."""
    cards = []
    for name, folder in weights_in_use().items():
        if only and name not in only:
            continue
        if only or (folder / "model.onnx").is_file():
            cards.append(read_card(folder))
    if not cards:
        raise MienError(f"no networks in {folder_of()}; export some: {tool('export')} --help")
    return cards


def measure(
    card: Card, backend: Backend, precision: str, threads: int, seconds: float
) -> dict[str, Any]:
    """One network on one runtime."""
    began_s = time.perf_counter()
    model = Model(
        card.folder, backend=backend, precision=precision, threads=threads, log=lambda line: None
    )
    cold_ms = 1000 * (time.perf_counter() - began_s)
    try:
        call = made_up(card)
        for _ in range(3):
            model(**call)
        took_ms: list[float] = []
        began_s, busy_s = time.perf_counter(), time.process_time()
        while time.perf_counter() - began_s < seconds or len(took_ms) < 5:
            one_s = time.perf_counter()
            model(**call)
            took_ms.append(1000 * (time.perf_counter() - one_s))
        passed_s = time.perf_counter() - began_s
        busy_s = time.process_time() - busy_s
    finally:
        model.close()
    gflop = float(card.text.get("gflop", 0.0))
    quickest = min(took_ms)
    return {
        "network": card.name,
        "runtime": model.label,
        "calls": len(took_ms),
        "cold_ms": round(cold_ms, 1),
        "min_ms": round(quickest, 3),
        "p50_ms": round(float(np.percentile(took_ms, 50)), 3),
        "p95_ms": round(float(np.percentile(took_ms, 95)), 3),
        "cores_busy": round(busy_s / passed_s, 2),
        "gflop": gflop,
        "gflop_per_s": round(1000 * gflop / quickest, 1),
    }


def made_up(card: Card) -> dict[str, F32]:
    """A call of random numbers within the card's ranges."""
    rng = np.random.default_rng(0)
    call = {}
    for tensor in card.inputs:
        low, high = max(tensor.low, -1.0), min(tensor.high, 1.0)
        call[tensor.name] = rng.uniform(low, high, tensor.shape).astype(np.float32)
    return call


def machine() -> dict[str, Any]:
    """What this was measured on."""
    name = platform.processor() or platform.machine()
    cpus = Path("/proc/cpuinfo")
    if cpus.is_file():
        lines = cpus.read_text(encoding="utf-8", errors="replace").splitlines()
        models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
        name = models[0] if models else name
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    return {
        "cpu": name,
        "cores": os.cpu_count(),
        "system": platform.platform(),
        "python": platform.python_version(),
        "load_before": None if load is None else round(load, 2),
    }


def _show(found: dict[str, Any]) -> None:
    from rich.table import Table

    console = terminal.console()
    about = found["machine"]
    console.print(
        f"{about['cpu']}, {about['cores']} cores, load {about['load_before']}, "
        f"{found['threads']} threads"
    )
    table = Table(box=None, pad_edge=False)
    for heading in ("network", "runtime", "cold", "min", "p50", "p95 ms", "cores", "GFLOP/s"):
        table.add_column(heading, justify="left" if heading in ("network", "runtime") else "right")
    for row in found["networks"]:
        table.add_row(
            row["network"],
            row["runtime"],
            f"{row['cold_ms']:.0f}",
            f"{row['min_ms']:.2f}",
            f"{row['p50_ms']:.2f}",
            f"{row['p95_ms']:.2f}",
            f"{row['cores_busy']:.1f}",
            f"{row['gflop_per_s']:.0f}",
        )
    console.print(table)
    for backend, reason in found["left_out"].items():
        console.print(f"no {backend}: {reason}")


def _write(path: Path, found: dict[str, Any]) -> None:
    from engine.files import atomic_write

    with atomic_write(path) as part:
        part.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
