"""Sessions of a card that isn't here: their calls to its networks simulated, by measured times.

What is simulated is `inference.owner`: one batch at a time on the card, the oldest call first, 2 ms
of waiting for more. How long a batch takes isn't in the figures of `bench models`, so there are two
predictions: nothing is gained by a batch (each call costs its full time), and a batch costs no more
than a call. Processor cores, which sessions need besides, aren't simulated.
"""

from __future__ import annotations

import argparse
import heapq
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np

from commands.bench.report import console, write_json
from engine.errors import MienError
from inference.owner import WAIT_S
from inference.profiles import SIZES

SIMULATED_S: Final = 1.5
IN_TIME: Final = 0.95
"""share of calls that are answered before the network is asked again"""
MOST: Final = 512
VOICE_HZ: Final = 25.0


def rates(fps: float) -> dict[str, float]:
    """Calls a second of one session, as `serve`'s graph asks."""
    return {
        "visual": fps / 3, "skin": fps / 5, "intensity": fps, "speech": VOICE_HZ,
        "activity": VOICE_HZ,
    }  # fmt: skip


def in_time(
    sessions: int, ms: Mapping[str, float], per_s: Mapping[str, float], growth: float
) -> float:
    """The share of calls that are answered in time. ``growth``: what each further call of a batch
    adds, as a share of one call's time."""
    rng = np.random.default_rng(0)
    coming: list[tuple[float, str, int]] = []
    for name, hz in per_s.items():
        for session in range(sessions):
            times = rng.uniform(0, 1 / hz) + np.arange(int(SIMULATED_S * hz)) / hz
            coming += [(float(at_s), name, session) for at_s in times]
    heapq.heapify(coming)
    waiting: dict[str, list[tuple[float, int]]] = {name: [] for name in per_s}
    asked: set[tuple[str, int]] = set()
    now_s, good, bad = 0.0, 0, 0

    def arrive(until_s: float) -> None:
        nonlocal bad
        while coming and coming[0][0] <= until_s:
            at_s, name, session = heapq.heappop(coming)
            if (name, session) in asked:
                bad += 1  # it still waits for its last answer: this one is left out
            else:
                asked.add((name, session))
                waiting[name].append((at_s, session))

    while coming or any(waiting.values()):
        arrive(now_s)
        ready = [(calls[0][0], name) for name, calls in waiting.items() if calls]
        if not ready:
            now_s = coming[0][0]
            continue
        first_s, name = min(ready)
        if len(waiting[name]) < min(SIZES[-1], sessions) and now_s < first_s + WAIT_S:
            now_s = min(first_s + WAIT_S, coming[0][0] if coming else first_s + WAIT_S)
            continue
        taken, waiting[name] = waiting[name][: SIZES[-1]], waiting[name][SIZES[-1] :]
        size = next(size for size in SIZES if size >= len(taken))
        now_s += ms[name] / 1000 * (1 + growth * (size - 1))
        late = sum(now_s - at_s > 1 / per_s[name] for at_s, _ in taken)
        asked.difference_update((name, session) for _, session in taken)
        bad, good = bad + late, good + len(taken) - late
    return good / max(1, good + bad)


def sessions_of(ms: Mapping[str, float], fps: float, growth: float) -> int:
    """How many keep their rate."""
    per_s = {name: hz for name, hz in rates(fps).items() if name in ms}
    low, high = 0, 1
    while high < MOST and in_time(high, ms, per_s, growth) >= IN_TIME:
        low, high = high, high * 2
    while high - low > 1:
        middle = (low + high) // 2
        if in_time(middle, ms, per_s, growth) >= IN_TIME:
            low = middle
        else:
            high = middle
    return low


def times_of(path: Path) -> dict[str, tuple[float, str]]:
    """Milliseconds of each network, and what ran it: TensorRT where it did. Raises MienError."""
    try:
        rows = json.loads(path.read_text(encoding="utf-8"))["networks"]
        found: dict[str, tuple[float, str]] = {}
        for row in sorted(rows, key=lambda row: "tensorrt" not in row["runtime"].lower()):
            found.setdefault(row["network"], (float(row["p50_ms"]), str(row["runtime"])))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        raise MienError(f"{path} holds no figures of `bench models --json`") from None
    missing = sorted(rates(1).keys() - found.keys())
    if missing:
        raise MienError(f"{path} says nothing of {', '.join(missing)}; run bench models anew")
    return {name: found[name] for name in rates(1)}


def run(options: argparse.Namespace) -> int:
    """Print and write the prediction."""
    times = times_of(options.predict)
    ms = {name: each for name, (each, _) in times.items()}
    least, most = (sessions_of(ms, options.fps, growth) for growth in (1.0, 0.0))
    for name, (each, runtime) in times.items():
        console.print(f"{name}: {each:.2f} ms ({runtime})", highlight=False)
    console.print(
        f"prediction, not a measurement: {least} sessions at {options.fps} fps where a batch gains "
        f"nothing, {most} where it costs no more than a call; cores of the processor not reckoned"
    )
    if options.json:
        report: dict[str, Any] = {
            "benchmark": "sessions", "prediction": True, "fps": options.fps, "ms": ms,
            "sessions": {"batches_gain_nothing": least, "batches_are_free": most},
            "from": str(options.predict),
        }  # fmt: skip
        write_json(options.json, report)
    return 0
