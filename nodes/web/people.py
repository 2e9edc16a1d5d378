"""Who is enrolled on this machine, for the page: by name alone, never by a path."""

from __future__ import annotations

import asyncio

from engine.dispatch import Dispatcher
from engine.errors import MienError
from face.render import person_file
from nodes.web.operations import People, PersonForget, PersonRename


def serve(dispatcher: Dispatcher) -> None:
    """Answer what a page asks of people, beside the event loop."""
    dispatcher.on(People, lambda _: asyncio.to_thread(person_file.names))
    dispatcher.on(PersonRename, lambda asked: asyncio.to_thread(rename, asked))
    dispatcher.on(PersonForget, lambda asked: asyncio.to_thread(forget, asked))


def rename(asked: PersonRename) -> list[str]:
    """Everybody's names. Raises MienError."""
    if asked.to.endswith(person_file.SUFFIX):
        raise MienError(f"{asked.to} can't be a person's name")
    person_file.rename(_known(asked.name), asked.to)
    return person_file.names()


def forget(asked: PersonForget) -> list[str]:
    """Everybody's names. Raises MienError."""
    person_file.forget(_known(asked.name))
    return person_file.names()


def _known(name: str) -> str:
    if name not in person_file.names():
        raise MienError(f"nobody called {name} is enrolled here")
    return name
