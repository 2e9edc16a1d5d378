"""Stubs in the wheel: type checkers don't follow the import path that `import mien` makes.

Beside each module of `engine`, and beside `mien/api.py`, lies a copy of it as a stub, in which the
modules are called by where they lie in the wheel.
"""

from __future__ import annotations

import re
import shutil
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

PACKAGES = "mien._packages"
STUBBED = ("engine/**/*.py", "mien/api.py")
_IMPORT = re.compile(r"^(\s*from )(engine\b)", re.MULTILINE)


class Stubs(BuildHookInterface[Any]):
    """Adds them to a wheel; an editable install needs none."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if version == "editable":
            return
        root = Path(self.root)
        self.made = Path(tempfile.mkdtemp())
        for path in sorted(path for pattern in STUBBED for path in root.glob(pattern)):
            place = path.relative_to(root).with_suffix(".pyi")
            stub = self.made / place
            stub.parent.mkdir(parents=True, exist_ok=True)
            stub.write_text(_IMPORT.sub(rf"\1{PACKAGES}.\2", path.read_text("utf-8")), "utf-8")
            build_data["force_include"][str(stub)] = str(place)

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        if version != "editable":
            shutil.rmtree(self.made)
