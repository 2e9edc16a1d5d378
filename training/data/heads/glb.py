"""Write glTF binary files: accessors as small as their values allow, sparse where most are zero."""

from __future__ import annotations

import json
import struct
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

_COMPONENTS: Final = {"int8": 5120, "uint8": 5121, "int16": 5122, "uint16": 5123, "float32": 5126}
_KINDS: Final = {1: "SCALAR", 2: "VEC2", 3: "VEC3", 4: "VEC4", 16: "MAT4"}
VERTICES: Final = 34962
TRIANGLES: Final = 34963
_JSON, _BIN = 0x4E4F534A, 0x004E4942

Numbers = NDArray[np.generic]


class Glb:
    """A file that is put together; ``json`` is its scene, without what the methods here add."""

    def __init__(self) -> None:
        self.json: dict[str, Any] = {
            "asset": {"version": "2.0"},
            "accessors": [],
            "bufferViews": [],
        }
        self._data = bytearray()

    def view(self, data: bytes, **more: int) -> int:
        """Bytes as a buffer view, aligned to four; its number."""
        self._data += bytes(-len(self._data) % 4)
        views: list[dict[str, int]] = self.json["bufferViews"]
        views.append({"buffer": 0, "byteOffset": len(self._data), "byteLength": len(data), **more})
        self._data += data
        return len(views) - 1

    def accessor(self, values: Numbers, target: int | None = None, **more: Any) -> int:
        """Values [N, C] or [N]; whole numbers that stand for fractions say ``normalized=True``."""
        rows = values.reshape(len(values), -1)
        size = rows.dtype.itemsize * rows.shape[1]
        layout: dict[str, int] = {} if target is None else {"target": target}
        if target == VERTICES and size % 4:  # every vertex begins at a multiple of four
            size += -size % 4
            padded = np.zeros((len(rows), size // rows.dtype.itemsize), rows.dtype)
            padded[:, : rows.shape[1]] = rows
            layout["byteStride"] = size
            data = padded.tobytes()
        else:
            data = rows.tobytes()
        return self._add(rows, {"bufferView": self.view(data, **layout), **more})

    def sparse(self, places: NDArray[np.uint16], values: Numbers, count: int, **more: Any) -> int:
        """``count`` rows of zeros, but for values [N, C] at ``places`` [N], which rise."""
        if not len(places):  # a sparse accessor holds one value at least
            places, values = np.zeros(1, np.uint16), np.zeros((1, 3), values.dtype)
        indices = {"bufferView": self.view(places.tobytes()), "componentType": 5123}
        held = {"bufferView": self.view(values.tobytes())}
        sparse = {"count": len(places), "indices": indices, "values": held}
        return self._add(values, {"sparse": sparse, **more}, count)

    def picture(self, data: bytes, mime: str) -> int:
        """A texture of an encoded picture; its number."""
        for kind in ("images", "textures"):
            self.json.setdefault(kind, [])
        self.json["images"].append({"bufferView": self.view(data), "mimeType": mime})
        self.json["textures"].append({"source": len(self.json["images"]) - 1})
        return len(self.json["textures"]) - 1

    def packed(self) -> bytes:
        """The whole file."""
        self._data += bytes(-len(self._data) % 4)
        self.json["buffers"] = [{"byteLength": len(self._data)}]
        scene = json.dumps(self.json, separators=(",", ":")).encode()
        scene += b" " * (-len(scene) % 4)
        length = 12 + 8 + len(scene) + 8 + len(self._data)
        return b"".join(
            (
                struct.pack("<4sII", b"glTF", 2, length),
                struct.pack("<II", len(scene), _JSON), scene,
                struct.pack("<II", len(self._data), _BIN), self._data,
            )
        )  # fmt: skip

    def _add(self, rows: Numbers, what: dict[str, Any], count: int | None = None) -> int:
        accessors: list[dict[str, Any]] = self.json["accessors"]
        component = _COMPONENTS[rows.dtype.name]
        kind = _KINDS[rows.shape[1]]
        count = len(rows) if count is None else count
        accessors.append({"componentType": component, "type": kind, "count": count, **what})
        return len(accessors) - 1


def extent(rows: Numbers, zeros: bool = False) -> dict[str, list[float]]:
    """``min`` and ``max`` of rows [N, C], as positions must say; with the ``zeros`` beside them."""
    low, high = rows.min(axis=0), rows.max(axis=0)
    if zeros:
        low, high = np.minimum(low, 0), np.maximum(high, 0)
    return {"min": low.tolist(), "max": high.tolist()}
