"""What every benchmark prints and writes: the machine, versions, settings, tables, JSON."""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import psutil
from rich.table import Table

from engine import files, terminal

PACKAGES = (
    "mien", "aiortc", "av", "numpy", "opencv-python-headless", "pyzmq", "ai-edge-litert",
    "uvloop", "ezmsg", "playwright",
)  # fmt: skip

console = terminal.console(stderr=True)


def environment() -> dict[str, Any]:
    """The hardware, the versions and how busy the machine was before the run."""
    return {
        "hardware": {
            "cpu": _cpu_name(),
            "cores": os.cpu_count(),
            "usable_cores": len(psutil.Process().cpu_affinity())
            if hasattr(psutil.Process, "cpu_affinity")
            else os.cpu_count(),
            "memory_gb": round(psutil.virtual_memory().total / 1e9, 1),
            "system": platform.platform(),
            "load_before": [round(value, 2) for value in psutil.getloadavg()],
        },
        "versions": {"python": platform.python_version(), **_versions()},
        "at": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
    }


def print_environment(about: Mapping[str, Any], settings: Mapping[str, Any]) -> None:
    """One block that says on what and how it was measured."""
    hardware = about["hardware"]
    console.print(
        f"on {hardware['cpu']}, {hardware['usable_cores']} cores, "
        f"{hardware['memory_gb']:.0f} GB, {hardware['system']}, "
        f"load before {hardware['load_before'][0]}"
    )
    if hardware["load_before"][0] > 0.5 * hardware["usable_cores"]:
        console.print(
            "the machine is busy with something else: figures will be worse", style="yellow"
        )
    versions = ", ".join(f"{name} {version}" for name, version in about["versions"].items())
    console.print(f"with {versions}")
    console.print("set " + ", ".join(f"{key} {value}" for key, value in settings.items()))


def latency_table(title: str, rows: Mapping[str, Mapping[str, Any]]) -> Table:
    """A table of percentiles: name -> {p50, p95, p99}."""
    table = Table(title=title, title_justify="left")
    table.add_column("")
    for heading in ("p50", "p95", "p99"):
        table.add_column(heading, justify="right")
    for name, values in rows.items():
        table.add_row(name, *(_figure(values.get(key)) for key in ("p50", "p95", "p99")))
    return table


def check_writable(path: Path | None) -> None:
    """Refuse at the start what would fail after minutes of measuring. Raises MienError."""
    if path is not None:
        files.check(path)


def write_json(path: Path, report: Mapping[str, Any]) -> None:
    """Write the whole report or none of it. Raises MienError."""
    with files.atomic_write(path) as part:
        part.write_text(json.dumps(report, indent=2, allow_nan=False) + "\n", encoding="utf-8")
    console.print(f"written: {path}")


def _figure(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.3f}"


def _cpu_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _versions() -> dict[str, str]:
    found = {}
    for name in PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found
