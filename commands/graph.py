"""Run, check or draw a graph file.

Examples:
  run_engine.py graph my.toml                           run it
  run_engine.py graph live                              run one that ships, by its name
  run_engine.py graph my.toml --check                   only say whether it is right
  run_engine.py graph live --draw live.svg              draw it
  run_engine.py graph live --set editor.emotion=sad     with another parameter
  run_engine.py graph live --record browser.video=in.mrec
  run_engine.py graph live --replay browser.video=in.mrec
  run_engine.py graph both.toml --host studio           this machine's part of a graph
  run_engine.py graph --key                             this machine's public key

A graph file imports code: node modules may also lie beside it. Trust it like a script.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from commands.numbers import SECONDS
from commands.paths import GRAPHS
from commands.running import console, run_supervised
from commands.weights import add_weights, use_weights
from engine.draw import draw
from engine.errors import UsageError, suggestion
from engine.files import atomic_write
from engine.graph import load, read
from engine.operations import Record
from engine.plugins import look_beside
from engine.run import host_key
from engine.supervisor import Supervisor


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "graph", nargs="?", help="a graph file (TOML), or the name of a shipped graph"
    )
    add_settings(parser)
    add_weights(parser)
    parser.add_argument("--check", action="store_true", help="check the graph, don't run it")
    parser.add_argument("--json", action="store_true", help="describe the graph, don't run it")
    parser.add_argument("--draw", metavar="FILE.svg", help="draw the graph, don't run it")
    parser.add_argument(
        "--record",
        metavar="NODE.PORT=FILE",
        action="append",
        default=[],
        help="record the messages of a port in a file; may be given several times",
    )
    parser.add_argument(
        "--replay",
        metavar="NODE.PORT=FILE",
        action="append",
        default=[],
        help="play recordings instead of a node, with their timing",
    )
    parser.add_argument("--host", default="", help="which host of the graph this machine is")
    parser.add_argument("--seconds", type=SECONDS, default=0, help="end after so many seconds")
    parser.add_argument("--key", action="store_true", help="print this machine's public key")


def add_settings(parser: argparse.ArgumentParser) -> None:
    """The --set option, for every command that runs a graph."""
    parser.add_argument(
        "--set",
        metavar="NODE.PARAMETER=VALUE",
        dest="settings",
        action="append",
        default=[],
        help="set a parameter of a node; may be given several times",
    )


def run(options: argparse.Namespace) -> int:
    if options.key:
        print(host_key()[0])
        return 0
    if not options.graph:
        raise UsageError(f"name a graph file, or one that ships: {', '.join(shipped())}")
    use_weights(options)
    path = file_of(options.graph)
    raw = read(path)
    if options.replay:
        look_beside(path)
        graph = load(replayed(raw, pairs(options.replay, "--replay")), options.settings)
    else:
        graph = load(path, options.settings)
    if options.draw:
        with atomic_write(Path(options.draw)) as part:
            part.write_text(draw(graph), encoding="utf-8")
    if options.draw or options.check or options.json:
        count = len(graph.nodes)
        console.print(f"{path}: {count} nodes in {len(graph.processes)} processes, no mistakes")
        if options.draw:
            console.print(f"drawn: {options.draw}")
        if options.json:
            print(json.dumps(graph.describe(), indent=1))
        return 0
    records = {
        edge: str(Path(file).resolve()) for edge, file in pairs(options.record, "--record").items()
    }

    async def start_recording(supervisor: Supervisor) -> None:
        for edge, file in records.items():
            await supervisor.call(Record(edge, file))

    return run_supervised(
        graph, host=options.host, seconds=options.seconds, on_ready=start_recording
    )


def shipped() -> list[str]:
    """The names of the graphs that ship."""
    return sorted(path.stem for path in GRAPHS.glob("*.toml"))


def file_of(graph: str) -> Path:
    """The graph's file, which may not be there: as it is named, else one that ships."""
    path = Path(graph)
    return GRAPHS / f"{graph}.toml" if graph in shipped() and not path.exists() else path


def pairs(texts: list[str], option: str) -> dict[str, str]:
    """NODE.PORT=FILE texts as a dictionary. Raises UsageError."""
    result = {}
    for text in texts:
        edge, equals, file = text.partition("=")
        if not equals or "." not in edge or not file:
            raise UsageError(f"{option} {text}: write it as node.port=FILE")
        result[edge] = file
    return result


def replayed(raw: dict[str, Any], recordings: dict[str, str]) -> dict[str, Any]:
    """The graph with the recorded nodes replaced by players of their recordings."""
    nodes = raw.get("nodes", {})
    files: dict[str, list[str]] = {}
    for edge, file in recordings.items():
        node, _, port = edge.partition(".")
        if node not in nodes:
            raise UsageError(f"--replay {edge}: no node '{node}'{suggestion(node, nodes)}")
        files.setdefault(node, []).append(f"{port}={file}")
    for node, items in files.items():
        nodes[node] = {"type": "engine.record:Replay", "parameters": {"files": ",".join(items)}}
        played = {item.partition("=")[0] for item in items}
        for other in nodes.values():
            inputs = other.get("inputs", {})
            for name in [
                name
                for name, source in inputs.items()
                if source.partition(".")[0] == node and source.partition(".")[2] not in played
            ]:
                del inputs[name]
    return raw
