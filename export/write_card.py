"""Write a weight's card: TOML of plain values, in a fixed order."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.files import whole
from nodes.card import CARD, Tensor

if TYPE_CHECKING:
    from export.networks import Network


Files = dict[str, tuple[str, str]]
"""by role: a file's name, and its second file's or "\""""


def write_card(
    folder: Path,
    network: Network,
    files: Files,
    openvino: str,
    data: Mapping[str, Any],
    metrics: Mapping[str, Any],
    command: str,
) -> None:
    """Write ``folder``/card.toml; its files are there already. Raises MienError."""
    run = network.run
    head = {
        "name": network.name,
        "task": network.task,
        "nc": bool(data["nc"] or data.get("calibration_nc")),
        "seed": run["seed"],
        "steps": run["step"],
        "gflop": network.gflop,
        "training": run["training"],
        "export": command,
        "openvino": openvino,
    }
    parts = [f"# {network.name}: {network.task}."]
    head |= {"recipe": run["recipe"]} if "recipe" in run else {}
    parts.append(section("", head))
    parts += [tensor_section("inputs", spec) for spec in network.inputs]
    parts += [tensor_section("outputs", spec) for spec in network.outputs]
    if network.state:
        parts.append(section("state", network.state))
    for role, (name, extra) in files.items():
        row = {"file": name, "sha256": sha256_of(folder / name)}
        if extra:
            row |= {"extra": extra, "extra_sha256": sha256_of(folder / extra)}
        parts.append(section(f"files.{role}", row))
    parts.append(section("size", run["size"]))
    origins = {"weights_of_others": list(network.origins)} if network.origins else {}
    parts.append(section("data", {**data, **origins}))
    parts += [section(f"metrics.{name}", row) for name, row in metrics.items()]
    with whole(folder / CARD) as part:
        part.write_text("\n".join(parts), encoding="utf-8")


def tensor_section(kind: str, spec: Tensor) -> str:
    """``kind`` is inputs or outputs."""
    row = {
        "name": spec.name,
        "shape": list(spec.shape),
        "dtype": spec.dtype,
        "range": [float(spec.low), float(spec.high)],
        "meaning": spec.meaning,
    }
    return f"[[{kind}]]\n{_rows(row)}"


def section(name: str, row: Mapping[str, Any]) -> str:
    """A table of plain values; without a ``name`` they stand at the top."""
    return (f"[{name}]\n" if name else "") + _rows(row)


def _rows(row: Mapping[str, Any]) -> str:
    return "".join(f"{name} = {_value(value)}\n" for name, value in row.items())


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return repr(value)
    if isinstance(value, int):
        return str(value)
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, Sequence):
        return "[" + ", ".join(_value(item) for item in value) + "]"
    raise TypeError(f"a card has no place for {type(value)}")


def sha256_of(path: Path) -> str:
    """Of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()
