"""Bring what others wrote for the page into nodes/web/static/vendor/, with its licences.

    python -m docs.vendor

It asks npm (Node.js) for the packages below, which checks them by their registry's hashes. Browsers
find a module by its path: a bare name in an import (`from "three"`) becomes one.
"""

from __future__ import annotations

import re
import subprocess
import tarfile
import tempfile
from pathlib import Path
from typing import Final

VENDOR: Final = Path(__file__).parents[1] / "nodes/web/static/vendor"
# What is taken of each package, and the names that its files have here.
PACKAGES: Final[dict[str, dict[str, str]]] = {
    "three@0.180.0": {
        "LICENSE": "LICENSE-three",
        "build/three.core.min.js": "three.core.min.js",
        "build/three.module.min.js": "three.module.min.js",
        "examples/jsm/loaders/GLTFLoader.js": "GLTFLoader.js",
        "examples/jsm/utils/BufferGeometryUtils.js": "BufferGeometryUtils.js",
        "examples/jsm/utils/SkeletonUtils.js": "SkeletonUtils.js",
    },
    "@pixiv/three-vrm@3.5.5": {
        "LICENSE": "LICENSE-three-vrm",
        "lib/three-vrm.module.min.js": "three-vrm.module.min.js",
    },
}
_IMPORT: Final = re.compile(r"""(\bfrom\s*)(["'])(three(?=["'])|\.\./utils/)""")
_PATHS: Final = {"three": "./three.module.min.js", "../utils/": "./"}


def main() -> None:
    VENDOR.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        for package, files in PACKAGES.items():
            packed = subprocess.run(
                ["npm", "pack", "--silent", package],
                cwd=folder, check=True, capture_output=True, text=True,
            ).stdout.strip()  # fmt: skip
            with tarfile.open(Path(folder, packed)) as archive:
                for inside, name in files.items():
                    member = archive.extractfile(f"package/{inside}")
                    assert member is not None, f"{package} has no {inside}"
                    text = member.read().decode()
                    (VENDOR / name).write_text(by_path(text) if name.endswith(".js") else text)
                    print(f"{package}: {name}")


def by_path(text: str) -> str:
    """A module's text with imports that a browser finds."""
    return _IMPORT.sub(lambda found: found[1] + found[2] + _PATHS[found[3]], text)


if __name__ == "__main__":
    main()
