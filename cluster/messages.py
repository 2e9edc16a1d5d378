"""What a front and the workers of its cluster say to each other, over an encrypted link."""

from __future__ import annotations

from typing import Any, Final

from engine.operations import Operation

BEAT_S: Final = 0.25
"""how often a worker says that it is alive"""
FIGURES_S: Final = 1.0
"""and how its sessions are"""
FILE_MOST: Final = 96 << 20
"""bytes of a file that travels"""


# -- from a worker to the front --------------------------------------------------------------------


class Hello(Operation[None]):
    """It is ready: at this address, under this certificate (SHA-256, hexadecimal, "" without TLS),
    for so many sessions."""

    url: str
    fingerprint: str
    most: int


class Beat(Operation[None]):
    """It is alive, and ``free`` more may come."""

    free: int


class Figures(Operation[None]):
    """What its sessions are doing, by name, and its owner of shared networks."""

    sessions: dict[str, dict[str, Any]]
    device: dict[str, Any]


class Keep(Operation[bool]):
    """A file of a session's visitor is now this one, by the SHA-256 of its content ("": it is no
    more); whether the content is wanted."""

    session: str
    path: str
    digest: str


class Store(Operation[None]):
    """The content that was wanted."""

    data: bytes


class Load(Operation[bytes]):
    """The content of a file."""

    digest: str


class News(Operation[None]):
    """Something that a person at the front should read."""

    level: str
    text: str


class Over(Operation[None]):
    """A session has ended."""

    session: str


# -- from the front to a worker --------------------------------------------------------------------


class Begin(Operation[None]):
    """Begin a session with these files (digests by path); answered once it is ready."""

    session: str
    files: dict[str, str]


class End(Operation[None]):
    """End a session."""

    session: str


class Ping(Operation[None]):
    """Are you there?"""


class Leave(Operation[None]):
    """End: nobody waits for you any more."""
