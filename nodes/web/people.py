"""Who is enrolled on this machine, for the page: by name alone, never by a path."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from engine.errors import MienError
from face.render import person_file


def people() -> list[str]:
    """Everybody's names."""
    return person_file.names()


def person_rename(name: str, to: str) -> list[str]:
    """Give somebody another name; everybody's names. Raises MienError."""
    person_file.rename(_known(name), _word(to))
    return people()


def person_forget(name: str) -> list[str]:
    """Remove somebody; everybody's names. Raises MienError."""
    person_file.forget(_known(name))
    return people()


def _known(name: str) -> str:
    if name not in people():
        raise MienError(f"nobody called {name} is enrolled here")
    return name


def _word(name: str) -> str:
    if not isinstance(name, str) or name.endswith(person_file.SUFFIX):
        raise MienError(f"{name} can't be a person's name")
    return name


OPS: Final[Mapping[str, Callable[..., list[str]]]] = {
    "people": people,
    "person_rename": person_rename,
    "person_forget": person_forget,
}
