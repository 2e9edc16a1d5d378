"""`file VOICE OUT`: a voice as a talking portrait, or as numbers for animation programs."""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections import Counter
from pathlib import Path
from typing import Any

from commands.consent import ask_consent
from commands.file.progress import Progress
from commands.live import face_settings
from commands.paths import GRAPHS
from commands.tally import times
from engine import files, signals
from engine import graph as graphs
from engine.errors import MienError, UsageError
from engine.local import run_local
from engine.roles import Roles
from face.affect.speech_steps import STEP_NS
from media.local_file import open_alone
from media.probing import audio_stream
from nodes.sinks.media_writer import CONTAINERS
from nodes.sinks.rig_writer import SUFFIXES


def wanted(options: argparse.Namespace) -> bool:
    """Whether a voice is to be turned into a face, rather than a face edited."""
    return options.portrait is not None or Path(options.output).suffix.lower() in SUFFIXES


def convert(options: argparse.Namespace) -> int:
    """Raises MienError."""
    voice, goal = Path(options.input), Path(options.output)
    seconds = _check(voice, goal, options)
    plan = _plan(voice, goal, options)
    roles = Roles(plan)
    graph = graphs.load(plan, [*face_settings(options, roles), *options.settings])
    if options.portrait is not None:
        ask_consent(Path(options.portrait), options.consent)
    warnings: list[str] = []
    expected = round(seconds * 1e9 / STEP_NS)
    watched = "compositor" if options.portrait is not None else "editor"
    with Progress(goal.name, expected, roles, made_by=watched) as progress:
        stop = asyncio.Event()
        snapshot = asyncio.run(_run(graph, progress, warnings, stop))
    if stop.is_set():
        raise KeyboardInterrupt
    for text, count in Counter(warnings).items():
        print(f"mien: {times(text, count)}", file=sys.stderr)
    made = snapshot["nodes"]["rig_writer"]["counters"].get("rigs", 0)
    if not made:
        raise _too_short(voice)
    rate = snapshot["nodes"][roles[watched]]["fps_out"]
    print(
        f"{goal}: {made} frames, {made * STEP_NS / 1e9:.1f} s of voice, {rate:.0f} frames a second"
    )
    return 0


async def _run(
    graph: Any, progress: Progress, warnings: list[str], stop: asyncio.Event
) -> dict[str, Any]:
    with signals.told(stop.set):
        return await run_local(
            graph, progress.tick, stop=stop, on_event=lambda _, text: warnings.append(text)
        )


def _check(voice: Path, goal: Path, options: argparse.Namespace) -> float:
    """How many seconds of voice there are. Raises MienError and UsageError."""
    if not voice.exists():
        raise MienError(f"no such file: {voice}")
    if goal.exists() and voice.samefile(goal):
        raise UsageError(f"VOICE and OUT are the same, {voice}; name another output")
    with open_alone(voice) as container:
        if audio_stream(container) is None:
            raise MienError(f"{voice} has no sound; a voice is needed")
        seconds = (container.duration or 0) / 1_000_000
    if 0 < seconds < STEP_NS / 1e9:
        raise _too_short(voice)
    suffix = goal.suffix.lower()
    if options.portrait is None:
        if options.person is not None:
            raise UsageError("--person needs --portrait, a picture that is theirs")
        if options.badge or options.mark != "none":
            raise UsageError("--badge and --mark are for pictures; numbers carry neither")
    elif suffix not in CONTAINERS:
        raise UsageError(
            f"a portrait that talks is a video: OUT should end in {' '.join(CONTAINERS)}"
        )
    if options.plot is not None:
        raise UsageError("--plot draws a face that was filmed; leave it out, or use --report")
    files.check(goal)
    if options.report is not None:
        files.check(Path(options.report))
        if Path(options.report).suffix.lower() not in SUFFIXES:
            raise UsageError(f"--report of a voice ends in {' or '.join(SUFFIXES)}")
    return seconds


def _too_short(voice: Path) -> MienError:
    return MienError(f"{voice} is shorter than {STEP_NS // 1_000_000} ms; nothing was written")


def _plan(voice: Path, goal: Path, options: argparse.Namespace) -> dict[str, Any]:
    plan = graphs.read(GRAPHS / "voice.toml")
    nodes, roles = plan["nodes"], Roles(plan)
    nodes[roles["source"]]["parameters"]["path"] = str(voice)
    if options.portrait is None:
        del nodes[plan["roles"].pop("compositor")], nodes[plan["roles"].pop("writer")]
        nodes[roles["rig_writer"]]["parameters"] = {"path": str(goal)}
        return plan
    nodes[roles["compositor"]]["parameters"] = {"path": str(options.portrait)}
    nodes[roles["writer"]]["parameters"] |= {"path": str(goal), "mark": options.mark}
    if options.report is not None:
        nodes[roles["rig_writer"]]["parameters"] = {"path": str(options.report)}
    return plan
