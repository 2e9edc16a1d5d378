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
    from training.data.clip import Clips


def write_card(
    folder: Path,
    network: Network,
    files: Mapping[str, tuple[str, str]],
    openvino: str,
    data: Mapping[str, Any],
    metrics: Mapping[str, Any],
    command: str,
) -> None:
    """``files`` by role: a file's name and its second file's, or "". Raises MienError."""
    run = network.run
    head = {
        "name": network.name,
        "task": network.task,
        "nc": data["nc"],
        "seed": run["seed"],
        "steps": run["step"],
        "gflop": round(network.gflop(), 4),
        "training": run["command"],
        "export": command,
        "openvino": openvino,
    }
    parts = [f"# {network.name}: {network.task}."]
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


def describe_data(clips: Clips) -> dict[str, Any]:
    """Sources, licences and sizes of what a training could see; ``nc`` where any forbids trade."""
    seen = [info for info in clips.infos if info.split == "train"]
    return {
        "nc": any(info.nc for info in seen),
        "clips": len(seen),
        "people": len({info.subject for info in seen}),
        "synthetic_clips": sum(info.synthetic for info in seen),
        "sources": sorted({info.source for info in seen}),
        "licences": sorted({info.licence or "unknown" for info in seen}),
    }


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
