"""aiortc's private attributes: the few that are taken over, found by name, missed in words."""

from __future__ import annotations

from typing import Any


def private(owner: Any, name: str) -> str:
    """The attribute behind ``owner``'s double-underscore ``name``."""
    for kind in type(owner).__mro__:
        mangled = f"_{kind.__name__}__{name}"
        if hasattr(owner, mangled):
            return mangled
    raise AttributeError(
        f"aiortc's {type(owner).__name__} has no '{name}': install aiortc 1.14 to 1.16"
    )


def set_private(owner: Any, name: str, value: Any) -> None:
    setattr(owner, private(owner, name), value)


def get_private(owner: Any, name: str) -> Any:
    return getattr(owner, private(owner, name))
