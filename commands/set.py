"""Change a parameter of a running engine, or list what can be changed.

Examples:
  run_engine.py set                          list the nodes' parameters and their values
  run_engine.py set editor.emotion happy
  run_engine.py set editor.intensity 0.5
  run_engine.py set --json                   all of it as JSON, with types and limits
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from rich.table import Table

from engine import terminal
from engine.control import ask
from engine.errors import MienError, UsageError
from engine.folders import running
from engine.operations import ParameterRow, Parameters, Set
from engine.program import start_line


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("target", nargs="?", metavar="NODE.PARAMETER", help="what to change")
    parser.add_argument("value", nargs="?", help="the new value")
    parser.add_argument("--pid", type=int, help="which engine, if several run")
    parser.add_argument("--json", action="store_true", help="as JSON")


def run(options: argparse.Namespace) -> int:
    endpoint = f"ipc://{find_run(options.pid)}/control.sock"
    if options.target is None:
        parameters = ask(endpoint, Parameters())
        if options.json:
            print(json.dumps(parameters, indent=1))
        else:
            _list(parameters)
        return 0
    node, dot, parameter = options.target.partition(".")
    if not dot or options.value is None:
        raise UsageError("write it as: set NODE.PARAMETER VALUE")
    taken = ask(endpoint, Set(node, parameter, options.value))
    print(json.dumps({options.target: taken}) if options.json else f"{options.target} = {taken}")
    return 0


def find_run(pid: int | None) -> Path:
    """The folder of the engine that is meant. Raises MienError."""
    folders = running(pid)
    if pid is not None and not folders:
        raise MienError(f"no engine with process number {pid} is running")
    if not folders:
        raise MienError(f"no engine is running; start one with: {start_line()}")
    if len(folders) > 1:
        pids = ", ".join(folder.name.partition("-")[0] for folder in folders)
        raise UsageError(f"several engines are running ({pids}); say which with --pid")
    return folders[0]


def _list(parameters: dict[str, list[ParameterRow]]) -> None:
    table = Table(box=None, pad_edge=False)
    for heading in ("parameter", "value", "allowed", "meaning"):
        table.add_column(heading, no_wrap=heading == "parameter", overflow="fold")
    for node, rows in parameters.items():
        for row in rows:
            table.add_row(f"{node}.{row['name']}", str(row["value"]), _allowed(row), row["doc"])
    terminal.console().print(table, soft_wrap=False)


def _allowed(row: ParameterRow) -> str:
    if row["choices"]:
        return " | ".join(str(choice) for choice in row["choices"])
    if row["low"] is not None or row["high"] is not None:
        low = "" if row["low"] is None else row["low"]
        high = "" if row["high"] is None else row["high"]
        return f"{low} .. {high} {row['unit']}".strip()
    return str(row["type"])
