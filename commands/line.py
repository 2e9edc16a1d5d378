"""Mien's command line: parse, hand over to one module of `commands`, turn errors into one line."""

from __future__ import annotations

import argparse
import importlib
import os
import sys

from engine import __version__, signals, terminal
from engine.errors import MienError
from engine.program import COMMAND, as_called, program

COMMANDS = {
    "live": "a camera and a microphone in, an avatar out, on a page (the default)",
    "serve": "a separate session for each visitor",
    "file": "edit a video, a picture or a folder of pictures",
    "enrol": "learn a person's faces once, to know them from the first picture on",
    "graph": "run, check or draw a graph file",
    "set": "change a parameter of a running engine",
    "study": "ask people which of several methods edits a face best",
    "bench": "measure speed: hop, live, file, voice, governor, sessions, models",
    "doctor": "what works on this machine, and what doesn't",
    "devices": "cameras and microphones, with the modes that really work",
}

TRAINING = {
    "train": ("training.train", "train one of the networks"),
    "export": ("export.__main__", "a trained network into a folder of weights"),
    "tool": ("commands.tool", "any other module of training or export, by its name"),
}
"""programs of their own, which a checkout runs as ``python -m``"""

# OpenCV's threads spin while they wait: on few cores, which the graph's own threads fill, that
# wastes a sixth of them. It reads this as it loads, here and in every process started from here.
os.environ.setdefault("OPENCV_FOR_THREADS_NUM", str(max(1, min(4, (os.cpu_count() or 1) // 4))))


def main(argv: list[str] | None = None) -> int:
    """Run one command; the exit code: 0 done, 1 failed, 2 wrong use."""
    arguments = sys.argv[1:] if argv is None else argv
    tools = TRAINING if program() == COMMAND else {}
    if arguments and arguments[0] in tools:
        return int(importlib.import_module(tools[arguments[0]][0]).main(arguments[1:]))
    if not arguments or arguments[0] not in (*COMMANDS, "-h", "--help", "--version"):
        if arguments and not arguments[0].startswith("-"):
            known = ", ".join([*COMMANDS, *tools])
            print(f"mien: unknown command '{arguments[0]}'; it is one of {known}", file=sys.stderr)
            return 2
        arguments = ["live", *arguments]
    parser = argparse.ArgumentParser(
        prog=program(),
        description="Mien, a real-time avatar engine. Without a command it runs live.",
        epilog=f"{program()} COMMAND --help explains a command with examples.",
    )
    parser.add_argument("--version", action="version", version=f"mien {__version__}")
    subparsers = parser.add_subparsers(dest="command", metavar="COMMAND")
    for name, summary in COMMANDS.items():
        subparser = subparsers.add_parser(
            name, help=summary, formatter_class=argparse.RawDescriptionHelpFormatter
        )
        if arguments[0] == name:
            module = importlib.import_module(f"commands.{name}")
            subparser.description = as_called(module.__doc__)
            module.add_arguments(subparser)
    for name, (_, summary) in tools.items():
        subparsers.add_parser(name, help=summary)
    options = parser.parse_args(arguments)
    try:
        with signals.as_interrupt():
            return int(module.run(options))
    except MienError as error:
        print(f"mien: {error}", file=sys.stderr)
        return error.exit_code


def start() -> int:
    """The whole program: `main` with this process's streams and signals; its exit code."""
    terminal.prepare()
    try:
        code = main()
        sys.stdout.flush()
    except KeyboardInterrupt:
        print("mien: interrupted", file=sys.stderr)
        return signals.INTERRUPTED
    except OSError as error:
        print(f"mien: what it says cannot be written: {error.strerror}", file=sys.stderr)
        return 1
    return code
