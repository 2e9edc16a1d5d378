"""One worker process as its supervisor sees it, through all its lives."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from typing import Any

import psutil


class Process:
    """One worker process, through all its lives."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.child: asyncio.subprocess.Process | None = None
        self.usage: psutil.Process | None = None
        self.identity: bytes | None = None
        self.ready = asyncio.Event()
        self.restarts = 0
        self.hangs = 0
        self.state = "starting"
        self.report: dict[str, Any] = {"nodes": {}, "edges": {}, "counts": {}}
        self.past_edges: dict[str, dict[str, int]] = {}
        self.past_counts: dict[str, int] = {}
        self.heard_s = 0.0
        """when it was started or last reported, in its supervisor's running time"""
        self.failure = ""
        self.finished = False
        self.started_s = 0.0

    def died(self) -> None:
        """Keep what the dead one had counted."""
        for name, figures in self.report["edges"].items():
            add_up(self.past_edges.setdefault(name, {}), figures)
        add_up(self.past_counts, self.report["counts"])
        self.report["edges"], self.report["counts"] = {}, {}
        self.identity = None
        self.child = None

    def add_edges(self, edges: dict[str, dict[str, int]]) -> None:
        """Add what all of its lives have counted."""
        for part in (self.past_edges, self.report["edges"]):
            for name, figures in part.items():
                add_up(edges.setdefault(name, {}), figures)

    def kill(self) -> None:
        """End it at once; its supervisor will notice."""
        if self.child is not None:
            with contextlib.suppress(ProcessLookupError):
                self.child.kill()

    def figures(self) -> dict[str, Any]:
        """For the metrics."""
        memory_mb, cpu_percent = 0.0, 0.0
        if self.usage is not None:
            with contextlib.suppress(psutil.Error):
                memory_mb = round(self.usage.memory_info().rss / 2**20, 1)
                cpu_percent = self.usage.cpu_percent()
        counts = dict(self.past_counts)
        add_up(counts, self.report["counts"])
        return {
            "pid": self.child.pid if self.child else None,
            "rss_mb": memory_mb,
            "cpu_percent": cpu_percent,
            "restarts": self.restarts,
            "hangs": self.hangs,
            **counts,
            "state": self.state,
        }


def add_up(total: dict[str, int], figures: dict[str, int]) -> None:
    """Add counters to counters."""
    for key, value in figures.items():
        total[key] = total.get(key, 0) + value


def how_it_ended(code: int) -> str:
    """An exit code in words."""
    if code < 0:
        with contextlib.suppress(ValueError):
            return f"was ended by {signal.Signals(-code).name}"
    return f"ended with code {code}"
