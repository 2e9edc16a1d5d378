"""Nodes of other packages: by the name they are installed under, or beside the graph file."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from importlib.metadata import entry_points
from pathlib import Path
from typing import Final

from engine.errors import UsageError

GROUP: Final = "mien.nodes"
"""the group of entry points; each is NAME = "module:Class" """


def class_of(name: str) -> str:
    """The "module:Class" that a package here calls ``name``. Raises UsageError where none or
    several do."""
    known = entry_points(group=GROUP)
    classes = sorted({entry.value for entry in known.select(name=name)})
    if len(classes) == 1:
        return classes[0]
    if classes:
        raise UsageError(f"several nodes here are called '{name}'; write which: {_all(classes)}")
    others = f"; there is {_all(known.names)}" if known else ""
    raise UsageError(f"no node is installed as '{name}'{others}; else write it as \"module:Class\"")


def look_beside(graph_file: Path) -> None:
    """Let modules in the folder of a graph file be imported from here on, after all others."""
    folder = str(graph_file.resolve().parent)
    if folder not in sys.path:
        sys.path.append(folder)


def look_where(paths: list[str]) -> None:
    """Let modules be imported from where another process finds them, after this one's own."""
    sys.path.extend(path for path in paths if path not in sys.path)


def _all(names: Iterable[str]) -> str:
    return ", ".join(sorted(names))
