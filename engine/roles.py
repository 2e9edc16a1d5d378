"""Which node of a graph does what: a page and commands ask for a role, never for a node's name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from engine.errors import UsageError


class Roles(Mapping[str, str]):
    """Nodes by role, of a graph as its file has it: as [roles] says, else the node of that name."""

    def __init__(self, raw: Mapping[str, Any]) -> None:
        self._nodes: dict[str, str] = {name: name for name in raw["nodes"]} | raw.get("roles", {})

    def __getitem__(self, role: str) -> str:
        """Raises UsageError where there is none."""
        if role not in self._nodes:
            raise UsageError(f"no node of this graph is the {role}; name it in [roles]")
        return self._nodes[role]

    def get(self, role: str, default: Any = None) -> Any:
        return self._nodes.get(role, default)

    def __contains__(self, role: object) -> bool:
        return role in self._nodes

    def __iter__(self) -> Iterator[str]:
        return iter(self._nodes)

    def __len__(self) -> int:
        return len(self._nodes)
