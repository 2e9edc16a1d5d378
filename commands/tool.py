"""Run a module of training or export by its name: `mien tool` is `python -m` of a checkout."""

from __future__ import annotations

import ast
import runpy
import sys
from pathlib import Path
from typing import Final

from engine.errors import suggestion
from engine.program import ROOT, tool

PACKAGES: Final = ("training", "export")
_RUNS: Final = 'if __name__ == "__main__":'
"""in a module that can be run"""


def main(argv: list[str]) -> int:
    """Run it with its arguments, in the place of this program; the exit code."""
    if not argv or argv[0] in ("-h", "--help"):
        lines = [f"  {name}: {about(path)}" for name, path in sorted(known().items())]
        print("\n".join([f"usage: {tool('MODULE')} [OPTIONS]\n", *lines]))
        return 0 if argv else 2
    name, modules = argv[0], known()
    if name not in modules:
        print(f"mien: no tool '{name}'{suggestion(name, modules)}; mien tool --help lists them",
              file=sys.stderr)  # fmt: skip
        return 2
    sys.argv = [name, *argv[1:]]
    runpy.run_module(name, run_name="__main__", alter_sys=True)
    return 0


def known() -> dict[str, Path]:
    """The modules that can be run, and their files."""
    return {
        ".".join(path.relative_to(ROOT).with_suffix("").parts): path
        for package in PACKAGES
        for path in (ROOT / package).rglob("*.py")
        if path.name != "__main__.py" and _RUNS in path.read_text("utf-8")
    }


def about(path: Path) -> str:
    """The first line of a module's docstring."""
    return (ast.get_docstring(ast.parse(path.read_text("utf-8"))) or "").partition("\n")[0]
