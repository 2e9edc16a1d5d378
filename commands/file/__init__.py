"""Give the face in a video, or in a folder of pictures, another expression.

examples:
  run_engine.py file talk.mp4 neutral.mp4
  run_engine.py file talk.mp4 happy.mp4 --emotion happy --intensity 0.8
  run_engine.py file talk.mp4 happy.mp4 --emotion happy --person anna
  run_engine.py file talk.mp4 alike.mp4 --reference smile.jpg --intensity 1.2
  run_engine.py file talk.mov out.webm --report report.json --set writer.quality=23
  run_engine.py file talk.mp4 calm.mp4 --plot feelings.svg
  run_engine.py file portraits/ edited/ --emotion sad
  run_engine.py file talk.mp4 more.mp4 --set editor.mode=scale --set editor.scale=1.6
  run_engine.py file talk.mp4 voice.mp4 --set editor.mode=voice
  run_engine.py file voice.wav talk.mp4 --portrait face.jpg
  run_engine.py file voice.wav talk.mp4 --portrait face.jpg --emotion happy --intensity 0.6
  run_engine.py file voice.wav shapes.csv
  run_engine.py file --cluster auto clips/ happy/ --emotion happy
  run_engine.py file talk.mp4 happy.mp4 --emotion happy --mark c2pa

A video becomes .mp4 .m4v .mov .mkv (H.264) or .webm (VP9): every frame keeps its time, colours,
size and pixel shape; the sound is copied bit for bit where the new file can hold it, encoded as
AAC (mp4, mov) or Opus (mkv, webm) where it can't or with --set writer.sound=encode. A folder of
pictures (jpg, png, webp, bmp, tiff, avif) becomes a folder with the same names; a picture without a
face is copied as it is. A line names what can't be kept.

With --portrait, a voice (any file with sound) becomes a talking picture; the face shows the emotion
of the voice, or --emotion. OUT.json gets fps, ARKit's names and 52 weights a frame instead, OUT.csv
the same in the format of Live Link Face.

With --cluster, a folder of films (with --portrait, of voices) becomes a folder with the same names,
on all processors of a machine or of a cluster; --report and --plot then name folders. The same
command continues where it was stopped, and OUT/mien-bulk.json names each clip that failed.

The output is written under a hidden name and renamed when it is complete; only then does it replace
what was there. Ctrl-C leaves no output and ends with 130. Pictures that can't be read are named,
the others are edited, and the exit code is 1.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

from commands.file import many, voice
from commands.file.left_out import left_out
from commands.file.plot import write_plot
from commands.file.progress import Progress
from commands.file.report import Outcome, measure, summary, write_report
from commands.graph import add_settings
from commands.live import add_face_arguments, face_settings
from commands.paths import GRAPHS
from commands.talking import add_portrait_arguments
from commands.tally import times
from commands.weights import add_weights, use_weights
from engine import files, signals
from engine import graph as graphs
from engine.errors import MienError, UsageError
from engine.local import run_local
from engine.roles import Roles
from media.image_file import SUFFIXES, is_picture
from media.probing import probe
from nodes.sinks.media_writer import CONTAINERS
from nodes.sources.image_folder import pictures_in

_NAMED_BY = {
    ("source", "path"): "IN",
    ("writer", "path"): "OUT",
    ("writer", "like"): "IN",
    ("writer", "originals"): "IN",
    ("report", "path"): "--report",
}
"""parameters that say which files, by role, and what says so here"""
_READERS = ("face_reader", "voice_reader", "feeling")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("input", metavar="IN", help="a video, a picture or a folder of pictures")
    parser.add_argument("output", metavar="OUT", help="where to write the same kind of thing")
    add_face_arguments(parser)
    add_weights(parser)
    parser.add_argument(
        "--report", metavar="JSON", help="write frames, timings, edits and emotions to this file"
    )
    parser.add_argument(
        "--plot", metavar="SVG", help="draw the emotions of face and voice over time"
    )
    parser.add_argument(
        "--mark", choices=["none", "c2pa"], default="none",
        help="c2pa: sign a note into OUT that it was generated (Content Credentials)",
    )  # fmt: skip
    talk = parser.add_argument_group("a voice becomes a face")
    add_portrait_arguments(talk)
    many.add_arguments(parser)
    add_settings(parser)


def run(options: argparse.Namespace) -> int:
    try:
        if options.cluster is not None:
            return many.convert_all(options, _convert)
        return _convert(options)
    except KeyboardInterrupt:  # before or after the graph ran; nodes have cleaned up
        left = (
            "the same command goes on" if options.cluster else f"{options.output} was not written"
        )
        print(f"mien: interrupted; {left}", file=sys.stderr)
        return signals.INTERRUPTED


def _convert(options: argparse.Namespace) -> int:
    source, goal = Path(options.input), Path(options.output)
    permits = use_weights(options)
    if voice.wanted(options):
        print(permits, file=sys.stderr)
        return voice.convert(options)
    pictures = _check(source, goal)
    plan = _pictures_graph(source, goal) if pictures else _video_graph(source, goal)
    roles = Roles(plan)
    plan["nodes"][roles["writer"]]["parameters"]["mark"] = options.mark
    _check_settings(options.settings, roles)
    for name, path in (("--report", options.report), ("--plot", options.plot)):
        _check_extra(source, goal, name, path)
    if options.plot is not None and pictures:
        raise UsageError("--plot draws a course of time; pictures have none")
    if options.plot is not None and Path(options.plot).suffix.lower() != ".svg":
        raise UsageError(f"--plot writes an SVG: {options.plot} should end in .svg")
    with tempfile.TemporaryDirectory(prefix="mien-") as scratch:
        rows = Path(scratch) / "rows.json"
        asked = bool(options.report or options.plot)
        if asked:
            plan["nodes"][roles["report"]]["parameters"] = {"path": str(rows)}
        graph = graphs.load(plan, [*face_settings(options, roles), *options.settings])
        expected = len(pictures_in(source)) if pictures else probe(str(source)).frames
        lost = left_out(source, goal_is_video=not pictures)
        warnings: list[str] = []
        print(permits, file=sys.stderr)
        with Progress(goal.name, expected, roles) as progress:
            snapshot = asyncio.run(_run(graph, progress, warnings))
        if snapshot is None:
            raise KeyboardInterrupt
        outcome = measure(snapshot, graph, source, goal, expected if pictures else None)
        outcome.plain["left_out"] = lost
        if options.report:
            write_report(Path(options.report), outcome, rows)
        if options.plot:
            write_plot(Path(options.plot), rows, source, goal)
    return _tell(outcome, warnings, goal, roles, reported=asked)


async def _run(graph: Any, progress: Progress, warnings: list[str]) -> dict[str, Any] | None:
    """The last figures, or None where the user stopped it."""
    stop = asyncio.Event()
    with signals.told(stop.set):
        snapshot = await run_local(
            graph, progress.tick, stop=stop, on_event=lambda _, text: warnings.append(text)
        )
    return None if stop.is_set() else snapshot


def _check(source: Path, goal: Path) -> bool:
    """Whether these are pictures rather than a video. Raises what can be said beforehand."""
    if not source.exists():
        raise MienError(f"no such file or folder: {source}")
    files.check_source(source)
    if goal.exists() and source.samefile(goal):
        raise UsageError(f"IN and OUT are the same, {source}; name another output")
    video = goal.suffix.lower() in CONTAINERS
    if source.is_dir():
        if video or goal.suffix.lower() in SUFFIXES or goal.is_file():
            raise UsageError(f"{source} is a folder, so OUT is a folder too, not {goal.name}")
        pictures_in(source)
        return True
    return is_picture(source) and not video


def _check_settings(settings: list[str], roles: Roles) -> None:
    """Raises UsageError where --set would lead a file elsewhere than what was checked."""
    named_by = {
        f"{roles[role]}.{name}": place for (role, name), place in _NAMED_BY.items() if role in roles
    }
    for text in settings:
        name = text.partition("=")[0].strip()
        if place := named_by.get(name):
            raise UsageError(f"--set {name}: {place} names that file; change it there")


def _check_extra(source: Path, goal: Path, option: str, path: str | None) -> None:
    """Raises MienError where what ``option`` asks for can't be written."""
    if path is None:
        return
    if Path(path).resolve() in (source.resolve(), goal.resolve()):
        raise UsageError(f"{option} {path} is also IN or OUT; name another file")
    files.check(Path(path))


def _video_graph(source: Path, goal: Path) -> dict[str, Any]:
    plan = graphs.read(GRAPHS / "file.toml")
    writer = {"path": str(goal), "like": str(source), "sound": "copy"}
    return _between(plan, source, writer)


def _pictures_graph(source: Path, goal: Path) -> dict[str, Any]:
    plan = graphs.read(GRAPHS / "images.toml")
    return _between(plan, source, {"path": str(goal), "originals": str(source)})


def _between(plan: dict[str, Any], source: Path, writer: dict[str, str]) -> dict[str, Any]:
    nodes, roles = plan["nodes"], Roles(plan)
    nodes[roles["source"]]["parameters"] = {"path": str(source)}
    nodes[roles["writer"]]["parameters"] = writer
    return plan


def _tell(outcome: Outcome, warnings: list[str], goal: Path, roles: Roles, reported: bool) -> int:
    readers = [roles.get(role) for role in _READERS]
    for text, count in Counter(warnings).items():
        node = text.partition(":")[0]
        if node == roles["tracker"]:  # a lost face is in the summary
            continue
        if node in readers and not reported:  # nobody asked what is felt
            continue
        if node == roles["compositor"] and not outcome.faces:  # it had nothing to do
            continue
        print(f"mien: {times(text, count)}", file=sys.stderr)
    for text in outcome.plain["left_out"]:
        print(f"mien: {text}", file=sys.stderr)
    if outcome.frames_out == 0:
        raise MienError(f"not one picture could be done; {goal} holds nothing new")
    print(summary(outcome, goal))
    if outcome.missing:
        raise MienError(
            f"{outcome.missing} of {outcome.expected} pictures could not be done; "
            "they are named above"
        )
    if outcome.frames_out != outcome.frames_in:
        raise MienError(
            f"{goal} has {outcome.frames_out} of {outcome.frames_in} frames; please report this"
        )
    return 0
