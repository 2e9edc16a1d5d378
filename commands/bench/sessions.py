"""How many people fit on this machine: sessions of `serve`, called by synthetic people over WebRTC.

Each caller sends numbered pictures and reads the numbers in the pictures that come back. This gives
frame rate, latency, drops, and whether a picture of another caller ever came. The rounds go through
--counts, in each of --modes, in turns: networks `shared` by one process per device, each session
with its `own`, and `separate`, one `live` per caller without `serve`. A mode ends with the
first round in which a caller, twice, gets less than 95 % of the camera's pictures; the round before
is the knee. Pictures keep their full quality (the governor is fixed).

--predict simulates the calls of sessions to a card's networks, by the times that `bench models
--json` wrote on a machine with that card: a prediction, and it says so.

Examples:
  run_engine.py bench sessions --predict models.json --fps 25
  run_engine.py bench sessions --counts 1,2,4,8 --json sessions.json
  run_engine.py bench sessions --counts 2,3,4 --modes shared own --voice talk.wav
"""

from __future__ import annotations

import argparse
import time
import urllib.request
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

import psutil
from rich.table import Table

from commands.bench import predict
from commands.bench.cards import Cards
from commands.bench.live import _flag_of_interrupt, _size
from commands.bench.report import (
    check_writable,
    console,
    environment,
    print_environment,
    write_json,
)
from commands.bench.served import Callers, Serve
from commands.bench.server import EngineServer, Server
from commands.numbers import within
from engine.errors import UsageError
from serving.device import device_of
from serving.sessions import usage

SECONDS: Final = 15.0
MODES: Final = ("shared", "own", "separate")
HELD: Final = 0.95
"""share of the camera's pictures that a session returns where it keeps its rate"""
TRIES: Final = 2
"""of a round that isn't held: something else may have come up on the machine"""
CONNECTED_WITHIN_S: Final = 60.0
KNOCKING: Final = 5
"""how many want to come in where there is no place"""
KNOCK_EVERY_S: Final = 0.5
IDLE_S: Final = 4.0
SETTLED_S: Final = 2.0
LINGER_S: Final = 30
"""more than what passes before its visitor comes"""
WEARS: Final = ("--emotion", "happy", "--intensity", "0.8")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--counts", type=_counts, default=[1, 2, 4, 8], metavar="N,N,...",
        help="how many callers in each round (default 1,2,4,8)",
    )  # fmt: skip
    parser.add_argument("--modes", nargs="+", choices=MODES, default=list(MODES[:2]))
    parser.add_argument(
        "--device", choices=("auto", "cpu", "gpu"), default="auto",
        help="what runs shared networks (default auto: a GPU where there is one)",
    )  # fmt: skip
    parser.add_argument("--size", default="320x240", help="of each camera (default 320x240)")
    parser.add_argument(
        "--fps", type=within(int, 1, 60), default=15, help="of each camera (default 15)"
    )
    parser.add_argument(
        "--warmup", type=within(float, 0.0, 600.0), default=5.0, help="seconds left out (default 5)"
    )
    parser.add_argument(
        "--admission", action="store_true",
        help="fill the last of --counts places, then let more callers try: what changes for the "
        "others",
    )  # fmt: skip
    parser.add_argument(
        "--predict", type=Path, metavar="FILE",
        help="estimate a card's sessions from what `bench models --json` wrote on another machine",
    )  # fmt: skip
    parser.add_argument("--input", default="", help="a video to take the face from")
    parser.add_argument("--voice", default="", help="a file whose sound is the callers' voice")


def _counts(text: str) -> list[int]:
    try:
        counts = sorted({int(item) for item in text.split(",")})
    except ValueError:
        counts = []
    if not counts or not 1 <= counts[0] <= counts[-1] <= 64:
        raise argparse.ArgumentTypeError(f"{text!r}: numbers from 1 to 64 with commas between")
    return counts


def run(options: argparse.Namespace) -> int:
    size = _size(options.size)
    check_writable(options.json)
    if options.predict:
        return predict.run(options)
    for path in filter(None, (options.input, options.voice)):
        if not Path(path).is_file():
            raise UsageError(f"{path}: there is no such file")
    device_of(options.device)  # says now what is missing
    about = environment()
    settings = {
        "size": options.size, "camera_fps": options.fps, "seconds": options.seconds,
        "warmup_s": options.warmup, "counts": options.counts, "modes": options.modes,
        "device": options.device, "voice": options.voice or "a made voice",
        "wears": " ".join(WEARS),
        "input": options.input or "scikit-image's astronaut, moved in code",
    }  # fmt: skip
    print_environment(about, settings)
    if options.admission:
        return _admission(options, size, {"benchmark": "admission", **about, "settings": settings})
    rounds: list[dict[str, Any]] = []
    over: set[str] = set()
    with _flag_of_interrupt() as interrupted:
        for count in options.counts:
            for mode in options.modes:
                if mode in over or interrupted():
                    continue
                for _ in range(TRIES):
                    row = _round(mode, count, options, size)
                    rounds.append(row)
                    _tell(row)
                    if row["held"] or interrupted():
                        break
                if not row["held"]:
                    over.add(mode)
    knees = {mode: _knee(rounds, mode) for mode in options.modes}
    report = {
        "benchmark": "sessions", **about, "settings": settings, "rounds": rounds, "knee": knees,
        "interrupted": interrupted(),
    }  # fmt: skip
    if knees.get("shared") and knees.get("own"):
        report["shared_to_own"] = round(knees["shared"] / knees["own"], 2)
    _print(report)
    if options.json:
        write_json(options.json, report)
    return 0


def _round(
    mode: str, count: int, options: argparse.Namespace, size: tuple[int, int]
) -> dict[str, Any]:
    """So many callers at once in one mode; what each got and what it took."""
    wears = list(WEARS)
    with ExitStack() as stack:
        callers = stack.enter_context(Callers())
        _prepare(callers, options, size)
        servers: list[Server] = []
        if mode == "separate":
            for _ in range(count):
                servers.append(
                    stack.enter_context(EngineServer(["--no-settings", *wears], governed=True))
                )
            urls = [server.url for server in servers]
        else:
            arguments = ["--max-sessions", str(count), "--networks", mode, *wears]
            if mode == "shared":
                arguments += ["--device", options.device]
            servers.append(stack.enter_context(Serve(arguments)))
            urls = [f"{servers[0].url}/s/caller-number-{number:04d}/" for number in range(count)]
        refused = [text for text in callers.ask("call", urls=urls)["told"] if text]
        connected = callers.ask("connected", within_s=CONNECTED_WITHIN_S)["connected"]
        callers.ask("measure", seconds=options.warmup)
        trees = [server.pid for server in servers]
        before_s, began_s, busy_s = _cpu_s(trees), time.monotonic(), _busy_s()
        with Cards() as cards:
            measured = callers.ask("measure", seconds=options.seconds)
        passed_s = time.monotonic() - began_s
        spent_s, all_s = _cpu_s(trees) - before_s, _busy_s() - busy_s
        memory = _memory(trees)
        state = servers[0].state() if isinstance(servers[0], Serve) else {}
        callers.ask("leave")
    rows = measured["callers"]
    held = not refused and connected == count and all(
        row["fps"] >= HELD * row["sent_fps"] and row["sent_fps"] >= HELD * options.fps
        for row in rows
    )  # fmt: skip
    return {
        "mode": mode, "count": count, "held": held, "refused": refused, "connected": connected,
        "callers": rows, "cores_used": round(spent_s / passed_s, 3),
        "cores_of_callers": round(measured["cpu_s"] / passed_s, 3),
        "cores_of_others": round((all_s - spent_s - measured["cpu_s"]) / passed_s, 3),
        **memory, "cards": cards.figures(), "devices": state.get("devices", []),
        "sessions_own_mb": [one["own_mb"] for one in state.get("sessions", [])],
        "sessions_pss_mb": [one["pss_mb"] for one in state.get("sessions", [])],
    }  # fmt: skip


def _prepare(callers: Callers, options: argparse.Namespace, size: tuple[int, int]) -> None:
    callers.ask(
        "prepare", width=size[0], height=size[1], fps=options.fps, most=max(options.counts) + 1,
        input=options.input, voice=options.voice,
    )  # fmt: skip


def _admission(options: argparse.Namespace, size: tuple[int, int], report: dict[str, Any]) -> int:
    """As many as there are places, then one too many, who knocks for as long as it is measured; and
    what a session costs in which nothing happens."""
    count = options.counts[-1]
    arguments = ["--max-sessions", str(count), "--linger", str(LINGER_S)]
    arguments += ["--device", options.device, *WEARS]
    with Callers() as callers, Serve(arguments) as server:
        _prepare(callers, options, size)
        urls = [f"{server.url}/s/caller-number-{number:04d}/" for number in range(count)]
        nobody = _idle_cores(server)
        for url in urls:
            urllib.request.urlopen(f"{url}seat", timeout=60).close()
        time.sleep(SETTLED_S)
        idle = max(0.0, _idle_cores(server) - nobody) / count
        report["refused_before"] = [text for text in callers.ask("call", urls=urls)["told"] if text]
        callers.ask("connected", within_s=CONNECTED_WITHIN_S)
        callers.ask("measure", seconds=options.warmup)
        first = callers.ask("measure", seconds=options.seconds)["callers"]
        late = [f"{server.url}/s/one-too-many-{number:04d}/" for number in range(KNOCKING)]
        knocks = late * max(1, int(options.seconds / KNOCK_EVERY_S / KNOCKING))
        before_s = usage(server.pid)["cpu_s"]
        measured = callers.ask(
            "measure", seconds=options.seconds, knock=knocks, every_s=KNOCK_EVERY_S
        )
        spent_s = usage(server.pid)["cpu_s"] - before_s
        second, told = measured["callers"], measured["told"]
        callers.ask("leave")
    rates = [[row["fps"] for row in rows] for rows in (first, second)]
    report |= {
        "cores_of_nobody": round(nobody, 4), "cores_of_an_idle_session": round(idle, 4),
        "told": sorted(set(told)), "knocks": len(told),
        "front_ms_of_a_knock": round(1000 * spent_s / len(told), 2),
        "fps_before": rates[0], "fps_after": rates[1],
        "worst_change_percent": round(
            100 * min(after / before - 1 for before, after in zip(*rates, strict=True)), 2
        ),
    }  # fmt: skip
    console.print(f"{count} sessions: {rates[0]} fps; one too many is told: {report['told'][0]}")
    console.print(
        f"while {KNOCKING} knock ({len(told)} times, {report['front_ms_of_a_knock']} ms each): "
        f"{rates[1]} fps, at worst {report['worst_change_percent']:+.1f} %"
    )
    console.print(
        f"serve with nobody there takes {nobody:.3f} cores, a session in which nothing happens "
        f"{idle:.3f} more"
    )
    if options.json:
        write_json(options.json, report)
    return 0


def _idle_cores(server: Serve) -> float:
    before_s, began_s = _cpu_s([server.pid]), time.monotonic()
    time.sleep(IDLE_S)
    return (_cpu_s([server.pid]) - before_s) / (time.monotonic() - began_s)


def _tree(roots: list[int]) -> list[int]:
    found = []
    for root in roots:
        process = psutil.Process(root)
        found += [root, *(child.pid for child in process.children(recursive=True))]
    return found


def _cpu_s(roots: list[int]) -> float:
    return sum(usage(pid)["cpu_s"] or 0.0 for pid in _tree(roots))


def _memory(roots: list[int]) -> dict[str, float]:
    """``pss_mb``: what is shared is divided among those that share it, so that sums are true."""
    return {"pss_mb": round(sum(usage(pid)["pss_mb"] or 0.0 for pid in _tree(roots)), 1)}


def _busy_s() -> float:
    times = psutil.cpu_times()
    return float(sum(times) - times.idle - getattr(times, "iowait", 0.0))


def _knee(rounds: list[dict[str, Any]], mode: str) -> int:
    return max((row["count"] for row in rounds if row["mode"] == mode and row["held"]), default=0)


def _tell(row: dict[str, Any]) -> None:
    rates = [caller["fps"] for caller in row["callers"]]
    console.print(
        f"{row['count']} {row['mode']}: {min(rates, default=0):.1f} to {max(rates, default=0):.1f} "
        f"fps, {row['cores_used']:.2f} cores, {row['pss_mb']:.0f} MB"
        + "".join(
            f", {card['name']} {card['percent']:.0f} % and {card['memory_mb']:.0f} MB"
            for card in row["cards"]
        )
        + ("" if row["held"] else ": too many")
        + "".join(f"; {text}" for text in row["refused"])
    )


def _print(report: dict[str, Any]) -> None:
    table = Table()
    for heading in (
        "mode", "sessions", "fps least", "p50 ms", "p95 ms", "drops", "foreign", "cores",
        "MB", "MB a session more", "batches",
    ):  # fmt: skip
        table.add_column(heading, justify="left" if heading == "mode" else "right")
    first: dict[str, dict[str, Any]] = {}
    for row in report["rounds"]:
        callers = row["callers"]
        base = first.setdefault(row["mode"], row)
        more = row["count"] - base["count"]
        sent = max(1, sum(one["sent"] for one in callers))
        late = [max((one["latency_ms"][key] or 0) for one in callers) for key in ("p50", "p95")]
        networks = [item for device in row["devices"] for item in device["networks"].items()]
        table.add_row(
            row["mode"] + ("" if row["held"] else " *"),
            str(row["count"]),
            f"{min(one['fps'] for one in callers):.1f}",
            *(f"{ms:.0f}" for ms in late),
            f"{100 * sum(one['drops'] for one in callers) / sent:.1f} %",
            str(sum(one["foreign"] for one in callers)),
            f"{row['cores_used']:.2f}",
            f"{row['pss_mb']:.0f}",
            f"{(row['pss_mb'] - base['pss_mb']) / more:.0f}" if more else "",
            " ".join(f"{name} {one['mean_batch']:.1f}" for name, one in networks),
        )
    console.print(table)
    console.print("* less than 95 % of the camera's pictures came back to somebody")
    for mode, knee in report["knee"].items():
        console.print(f"knee, {mode}: {knee} sessions at {report['settings']['camera_fps']} fps")
