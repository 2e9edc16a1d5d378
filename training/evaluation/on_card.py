"""Figures of an evaluation on the card of the weight that was asked, with all that it takes to have
them again: the command, the seed, hashes of the data and of the network."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import tomli_w

from engine.errors import MienError, UsageError
from engine.files import atomic_write
from inference.card import CARD, Card, read_card
from inference.weight_sets import weight_folder
from training.evaluation.protocols import Row
from training.provenance import sha256_of

READ_BY: Final = {"face": "visual", "voice": "speech"}
"""the weights that the readers of `read` are"""
_DIGITS: Final = 4


def figures_of(rows: list[Row], folder: Path, weights: str) -> Mapping[str, float]:
    """The figures of a weight's own reader. Raises UsageError where ``folder`` isn't one that was
    asked."""
    for reader, name in READ_BY.items():
        used = weight_folder(name, weights)
        if folder.resolve() == used.resolve():
            for row in rows:
                if row.method == reader:
                    return {key: value for key, value in row.figures.items() if value is not None}
    raise UsageError(
        f"{folder} wasn't asked; --card is for the {' or '.join(READ_BY.values())} of --weights"
    )


@dataclass
class Findings:
    """What an evaluation found: ``lines`` to read, and figures for a card, by table and name."""

    lines: list[str] = field(default_factory=list)
    tables: dict[str, dict[str, float]] = field(default_factory=lambda: defaultdict(dict))


def of(folder: Path, name: str) -> Card:
    """The card of a weight called ``name``. Raises MienError, UsageError where it is another's."""
    card = read_card(folder)
    if card.name != name:
        raise UsageError(f"{folder} is the card of {card.name}, not of {name}")
    return card


def put(
    folder: Path, table: str, figures: Mapping[str, float], command: str, seed: int, data: Path
) -> None:
    """Write figures as metrics.``table`` of a weight's card. Raises MienError."""
    card, path = read_card(folder), folder / CARD
    row = {
        "command": command,
        "seed": seed,
        "data_sha256": hash_of(data),
        "model_sha256": card.files["onnx"].sha256,
        **{name: round(float(value), _DIGITS) for name, value in sorted(figures.items())},
    }
    text = _without(path.read_text(encoding="utf-8"), f"[metrics.{table}]")
    with atomic_write(path) as part:
        added: dict[str, Any] = {"metrics": {table: row}}
        part.write_text(f"{text.rstrip()}\n\n{tomli_w.dumps(added)}", encoding="utf-8")


def hash_of(data: Path) -> str:
    """Of all files in a folder, by what they hold and in the order of their names."""
    files = [path for path in sorted(data.rglob("*")) if path.is_file()]
    if not files:
        raise MienError(f"{data} holds no file")
    return hashlib.sha256("\n".join(map(sha256_of, files)).encode()).hexdigest()


def _without(text: str, header: str) -> str:
    """A card without one of its tables."""
    kept, inside = [], False
    for line in text.splitlines():
        inside = line == header if line.startswith("[") else inside
        if not inside:
            kept.append(line)
    return "\n".join(kept) + "\n"
