"""The command `mien`, also as `python -m mien`: the program of run_engine.py, installed."""

from __future__ import annotations

import os

import mien  # noqa: F401 - its packages are on the import path from here on
from engine import program, signals


def main() -> int:
    """Run the command line; its exit code."""
    signals.end_at_once(program.COMMAND)  # first, or what follows could still be torn apart
    os.environ[program.VARIABLE] = program.COMMAND
    from commands.line import start

    return start()


if __name__ == "__main__":
    raise SystemExit(main())
