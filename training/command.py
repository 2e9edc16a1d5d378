"""What the commands of training and export have in common: their help, and how they end."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from typing import Final

from engine import signals, terminal
from engine.errors import MienError
from engine.program import extra, tool

EXTRAS: Final = extra("train")
"""what commands here need beyond the live half"""
_OWN: Final = (
    "cluster",
    "commands",
    "engine",
    "export",
    "face",
    "inference",
    "media",
    "nodes",
    "serving",
    "training",
)


def parser_of(module: str, text: str | None) -> argparse.ArgumentParser:
    """A parser for ``python -m module`` whose help is the module's own ``text``."""
    terminal.say_any_sign()
    return argparse.ArgumentParser(
        prog=called(module),
        description=(text or "").replace(f"python -m {module}", called(module)),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def called(module: str) -> str:
    """How a module here is run: ``python -m module``, or by ``mien``."""
    return tool(module)


def run(name: str, work: Callable[[], object], stopped: str = "stopped") -> int:
    """Do it; the exit code: 0 done, 1 failed, 2 wrong use, 130 interrupted.

    Whatever isn't 0 is one line on standard error; ``stopped`` says what to do after Ctrl-C.
    """
    try:
        with signals.as_interrupt():
            work()
    except MienError as error:
        print(f"{name}: {error}", file=sys.stderr)
        return error.exit_code
    except ModuleNotFoundError as error:
        missing = str(error.name).partition(".")[0]
        if missing in _OWN:
            raise
        print(f"{name}: it needs {missing}: {EXTRAS}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"{name}: {stopped}", file=sys.stderr)
        return signals.INTERRUPTED
    return 0
