"""Mien, a real-time avatar engine: ``from mien import Node, Graph, run``.

The names of `mien.api` are here, loaded when they are first used. Importing this package also puts
the folder of Mien's own packages (``engine``, ``nodes`` ...) on the import path, before others.
"""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mien.api import *  # noqa: F403

_HERE = Path(__file__).resolve().parent
PACKAGES = _HERE / "_packages" if (_HERE / "_packages").is_dir() else _HERE.parent
"""where they lie: beside this file where Mien is installed, else the checkout"""
if str(PACKAGES) not in sys.path:
    sys.path.insert(0, str(PACKAGES))


def __getattr__(name: str) -> Any:
    api = importlib.import_module("mien.api")
    if name in api.__all__:
        return getattr(api, name)
    raise AttributeError(f"module 'mien' has no attribute '{name}'")
