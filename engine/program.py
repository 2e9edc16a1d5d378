"""What this program is called here, and how more of it is installed: for help and messages."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[1]
"""the folder of Mien's packages, graphs and weights: a checkout, or ``mien/_packages``"""
INSTALLED: Final = ROOT.name == "_packages"
SCRIPT: Final = "run_engine.py"
COMMAND: Final = "mien"
AS_COMMANDS: Final = {"training.train": "train", "export": "export"}
"""modules that ``mien`` has as commands"""
VARIABLE: Final = "MIEN_PROGRAM"
"""what started this run, for the processes that it starts"""


def program() -> str:
    """``mien`` or ``run_engine.py``, whichever was called."""
    return os.environ.get(VARIABLE) or (COMMAND if INSTALLED else SCRIPT)


def start_line() -> str:
    """How a person starts Mien in a shell."""
    return program() if program() == COMMAND else f"python {program()}"


def tool(module: str) -> str:
    """How a person runs a module of training or export: by ``python -m`` in a checkout; installed,
    as a command of ``mien``, or by ``mien tool``."""
    if program() != COMMAND:
        return f"python -m {module}"
    return f"{COMMAND} {AS_COMMANDS.get(module, f'tool {module}')}"


def as_called(text: str | None) -> str:
    """A help text that speaks of ``run_engine.py``, for whichever was called."""
    return (text or "").replace(SCRIPT, program())


def extra(name: str) -> str:
    """The command that installs an optional part."""
    return f"pip install 'mien[{name}]'" if INSTALLED else f"pip install -e '.[{name}]'"


def launcher() -> list[str]:
    """How another process runs this program; commands follow."""
    return [sys.executable, *(("-P", "-m", COMMAND) if INSTALLED else (str(ROOT / SCRIPT),))]
