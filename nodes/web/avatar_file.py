"""Which file is an avatar: checked before a page gets it."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any, Final

from engine.errors import MienError
from engine.files import check_source

HEAD: Final = Path(__file__).parent / "static/avatar/head.vrm"
MOST_MB: Final = 64
_MAGIC: Final = b"glTF"
_JSON: Final = 0x4E4F534A
_EXTENSIONS: Final = ("VRMC_vrm", "VRM")


def avatar_file(name: str) -> Path:
    """The default head for ``head``, else the VRM file of that path. Raises MienError."""
    path = HEAD if name == "head" else Path(name).absolute()
    check_source(path)
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            start = file.read(20)
            if len(start) < 20 or start[:4] != _MAGIC:
                raise MienError(f"{name} is no VRM avatar; give a .vrm file, or head")
            _, whole, scene_size, kind = struct.unpack("<4I", start[4:])
            if size > MOST_MB << 20:
                raise MienError(
                    f"{name} has {size / (1 << 20):.0f} MB; an avatar has {MOST_MB} at most: "
                    "make its pictures smaller"
                )
            if whole != size:
                raise MienError(f"{name} is cut off or damaged; copy or export it again")
            scene = _read(file.read(scene_size)) if kind == _JSON else {}
    except OSError as error:
        raise MienError(f"avatar {name} can't be read: {error.strerror}") from None
    if not any(key in scene for key in _EXTENSIONS):
        raise MienError(f"{name} is a 3D model, but no VRM avatar; export it as .vrm")
    return path


def _read(scene: bytes) -> dict[str, Any]:
    """The extensions that a scene has; none where it can't be read."""
    try:
        extensions = json.loads(scene)["extensions"]
    except (ValueError, LookupError, TypeError, RecursionError):
        return {}
    return extensions if isinstance(extensions, dict) else {}
