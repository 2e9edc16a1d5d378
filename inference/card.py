"""Read a weight's card: what the network does, its tensors by name, its files and their hashes."""

from __future__ import annotations

import hashlib
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from engine.errors import MienError
from engine.program import tool

CARD: Final = "card.toml"
PRECISIONS: Final = ("f32", "bf16", "f16", "int8")


@dataclass(frozen=True)
class Tensor:
    """One input or output. ``low`` and ``high`` bound its values, ``meaning`` says their unit."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    low: float
    high: float
    meaning: str


@dataclass(frozen=True)
class WeightFile:
    """A file of the weight; ``extra`` is a second one that belongs to it (OpenVINO's .bin)."""

    path: Path
    sha256: str
    extra: Path | None = None
    extra_sha256: str = ""

    def read(self) -> bytes:
        """The file, once its hash is right. Raises MienError."""
        data = _read(self.path)
        _check(self.path, data, self.sha256)
        return data

    def read_extra(self) -> bytes:
        """The second file, once its hash is right. Raises MienError."""
        assert self.extra is not None
        data = _read(self.extra)
        _check(self.extra, data, self.extra_sha256)
        return data


@dataclass(frozen=True)
class Card:
    """``files`` by role: onnx (float32, the reference), onnx_f16, openvino_int8.

    ``state`` names outputs by the input that takes them at the next step. ``openvino`` is the
    precision that was found good enough on a CPU. ``text`` is the whole card.
    """

    name: str
    task: str
    folder: Path
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    state: Mapping[str, str]
    files: Mapping[str, WeightFile]
    openvino: str
    text: Mapping[str, Any]


def read_card(folder: Path) -> Card:
    """The card of a weight's folder. Raises MienError with one line where it is none."""
    path = folder / CARD
    try:
        text = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise MienError(f"no weight in {folder} (no {CARD}); make one: {tool('export')}") from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise MienError(f"{path} cannot be read ({error}); export the weight again") from None
    try:
        return Card(
            name=str(text["name"]),
            task=str(text["task"]),
            folder=folder,
            inputs=tuple(_tensor(row) for row in text["inputs"]),
            outputs=tuple(_tensor(row) for row in text["outputs"]),
            state=MappingProxyType({str(k): str(v) for k, v in text.get("state", {}).items()}),
            files=MappingProxyType(
                {role: _file(folder, row) for role, row in text["files"].items()}
            ),
            openvino=_one_of(text.get("openvino", "f32"), PRECISIONS),
            text=MappingProxyType(text),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        lacks = f"lacks {error}" if isinstance(error, KeyError) else str(error)
        raise MienError(f"{path} is no card of a weight ({lacks}); export it again") from None


def _tensor(row: Mapping[str, Any]) -> Tensor:
    low, high = row["range"]
    shape = tuple(int(size) for size in row["shape"])
    if not shape or min(shape) < 1 or row["dtype"] != "float32":
        raise ValueError(f"{row['name']}: a tensor is float32 of a fixed shape")
    return Tensor(row["name"], shape, row["dtype"], float(low), float(high), row["meaning"])


def _file(folder: Path, row: Mapping[str, Any]) -> WeightFile:
    names = [str(row["file"]), str(row.get("extra", ""))]
    if any(Path(name).name != name for name in names):
        raise ValueError(f"{names[0]}: a weight's files lie beside its card")
    extra = folder / names[1] if names[1] else None
    return WeightFile(folder / names[0], row["sha256"], extra, row.get("extra_sha256", ""))


def _one_of(value: Any, choices: tuple[str, ...]) -> str:
    if value not in choices:
        raise ValueError(f"openvino is one of {', '.join(choices)}, not {value!r}")
    return str(value)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise MienError(
            f"the weight {path} cannot be read ({error.strerror}); export or fetch it again"
        ) from None


def _check(path: Path, data: bytes, sha256: str) -> None:
    if hashlib.sha256(data).hexdigest() != sha256:
        raise MienError(
            f"the weight {path} is damaged: its SHA-256 isn't the card's; export or fetch it again"
        )
