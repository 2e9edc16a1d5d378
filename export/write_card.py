"""Write a weight's card: TOML of plain values, in a fixed order."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import tomli_w

from engine.files import atomic_write
from inference.card import CARD, Tensor
from inference.terms import nc_of, together

if TYPE_CHECKING:
    from export.networks import Network


TERMS: Final = {"nc": "licences", "calibration_nc": "calibration_licences"}
"""what a card says of data, and by which licences"""
Files = dict[str, tuple[str, str]]
"""by role: a file's name, and its second file's or "\""""


def write_card(
    folder: Path,
    network: Network,
    files: Files,
    openvino: tuple[str, str],
    data: Mapping[str, Any],
    metrics: Mapping[str, Any],
    command: str,
) -> None:
    """Write ``folder``/card.toml; its files are there already. ``openvino``: the precision on a
    CPU, and why. Raises MienError."""
    run, data = network.run, with_terms(data)
    head = {
        "name": network.name,
        "task": network.task,
        "nc": together(data[name] for name in TERMS if name in data),
        "seed": run["seed"],
        "steps": run["step"],
        "gflop": network.gflop,
        "training": run["training"],
        "export": command,
        "openvino": openvino[0],
        "openvino_because": openvino[1],
    }
    head |= {"recipe": run["recipe"]} if "recipe" in run else {}
    origins = {"weights_of_others": list(network.origins)} if network.origins else {}
    card = {
        **head,
        "inputs": [tensor_table(spec) for spec in network.inputs],
        "outputs": [tensor_table(spec) for spec in network.outputs],
        **({"state": dict(network.state)} if network.state else {}),
        "files": {role: _file(folder, *names) for role, names in files.items()},
        "size": run["size"],
        "data": {**data, **origins},
        "metrics": metrics,
    }
    write(folder, f"{network.name}: {network.task}.", card)


def with_terms(data: Mapping[str, Any]) -> dict[str, Any]:
    """The same, where each nc is yes, no or unknown, as the licences beside it permit."""
    said = dict(data)
    for name, licences in TERMS.items():
        if name in said:
            beside = said.get(licences, said)
            said[name] = nc_of(said[name], str(beside))
    return said


def write(folder: Path, says: str, card: Mapping[str, Any]) -> None:
    """Write ``folder``/card.toml under a line that ``says`` what it is of. Raises MienError."""
    with atomic_write(folder / CARD) as part:
        part.write_text(f"# {says}\n{tomli_w.dumps(card)}", encoding="utf-8")


def tensor_table(spec: Tensor) -> dict[str, Any]:
    """An input or an output, as a card has it."""
    return {
        "name": spec.name,
        "shape": list(spec.shape),
        "dtype": spec.dtype,
        "range": [float(spec.low), float(spec.high)],
        "meaning": spec.meaning,
    }


def _file(folder: Path, name: str, extra: str) -> dict[str, str]:
    row = {"file": name, "sha256": sha256_of(folder / name)}
    return row | ({"extra": extra, "extra_sha256": sha256_of(folder / extra)} if extra else {})


def sha256_of(path: Path) -> str:
    """Of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()
