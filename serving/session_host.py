"""The interface of sessions to the front, on this machine or on others."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, Protocol


class SessionHandle(Protocol):
    """A session, as the front needs it."""

    name: str
    number: int
    state: str
    sockets: int
    used_s: float

    @property
    def http(self) -> Any:
        """Asks it: as aiohttp.ClientSession does, at http://session/."""

    @property
    def over(self) -> asyncio.Event: ...

    async def ready(self) -> None:
        """Until it can be asked. Raises MienError where it can't be started."""


class SessionHost(Protocol):
    """All sessions: `Sessions` of this machine, or those of others."""

    @property
    def by_name(self) -> Mapping[str, SessionHandle]: ...

    @property
    def ended(self) -> Mapping[str, Any]: ...

    @property
    def now_s(self) -> float: ...

    def open(self, name: str) -> SessionHandle: ...

    async def end(self, name: str) -> None: ...

    def figures(self) -> list[dict[str, Any]]: ...
