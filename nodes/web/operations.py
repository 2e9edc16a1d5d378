"""What a page can ask beside what it asks of the graph."""

from __future__ import annotations

from typing import Any, Final

from engine import operations as ops
from engine.operations import Operation

OF_THE_GRAPH: Final[tuple[type[Operation[Any]], ...]] = (
    ops.Parameters, ops.Set, ops.Graph, ops.Restart, ops.Govern, ops.Defaults, ops.Presets,
    ops.PresetSave, ops.PresetApply, ops.PresetDelete, ops.PresetImport,
)  # fmt: skip
"""what goes on to the supervisor; figures do, too, but come back with more"""


class Selftest(Operation[list[dict[str, Any]]]):
    """Is a connection possible: ``{"name", "ok", "text"}`` of each step."""


class People(Operation[list[str]]):
    """Who is enrolled on this machine."""


class PersonRename(Operation[list[str]]):
    """Give somebody another name; everybody's names."""

    name: str
    to: str


class PersonForget(Operation[list[str]]):
    """Remove somebody; everybody's names."""

    name: str


class Wear(Operation[list[dict[str, Any]]]):
    """Wear these references from here on, by id and share, blended; what is worn, as `Worn` says.

    A share is above 0; without any the face wears none.
    """

    shares: dict[str, float]


class Worn(Operation[list[dict[str, Any]]]):
    """What is worn: ``{"id", "name", "share", "emotion", "valence", "arousal", "intensity"}`` of
    each reference."""
