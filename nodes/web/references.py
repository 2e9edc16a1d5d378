"""References that pages send: each is read once and goes; what was read is worn by share."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Final, Literal
from urllib.parse import unquote

from aiohttp import web

from engine.errors import MienError
from engine.node import LoopNode
from engine.parameters import parameter
from engine.types import Message
from face.types import EMOTIONS, ReferenceTrack
from nodes import parameters
from nodes.web.operations import Wear, Worn
from nodes.web.options import WEB_SERVER
from nodes.web.security import refuse

if TYPE_CHECKING:
    from face.reference import Reference, ReferenceReader
    from nodes.web.server import WebServer

UPLOAD_MOST: Final = 32 << 20
UPLOAD_S: Final = 30.0
KNOWN_MOST: Final = 32
"""references that are remembered, as numbers; the one that was sent longest ago goes"""
BLENDED_MOST: Final = 4
AT_ONCE_MOST: Final = 4
"""uploads"""
AGAIN_S: Final = 1.0
"""so often what is worn is said again, for who was started again"""


@dataclass(frozen=True, eq=False)
class Known:
    """What was read of one that was sent."""

    name: str
    rows: list[Reference]


class References(LoopNode):
    """Take references from pages. -> reference: what they show, blended; nothing where there are
    none, and no network is loaded before the first."""

    outputs: ClassVar[Mapping[str, type[Message]]] = {"reference": ReferenceTrack}
    together = WEB_SERVER

    @dataclass(frozen=True, kw_only=True, slots=True)
    class Config:
        path: str = parameter(
            "",
            "what is worn from the start: a picture or a clip; several on a line each, FILE or "
            "FILE:SHARE, are blended",
            live=False,
        )
        clip: Literal["loop", "mean"] = parameter(
            "loop", "a clip is played over and over in its own time, or worn as its mean"
        )
        weights: str = parameters.weights()
        landmarker: str = parameters.landmarker()

    config: Config
    _reader: ReferenceReader | None = None
    _again: asyncio.Task[None] | None = None
    _server: WebServer | None = None

    async def start(self) -> None:
        """Raises MienError where what is worn from the start can't be read."""
        from nodes.web.server import join

        self._known: dict[str, Known] = {}
        self._shares: dict[str, float] = {}
        self._track: ReferenceTrack | None = None
        self._count = self._coming = 0
        self._reading = asyncio.Lock()
        self._server = await join(self.context)
        self._server.references = self
        self._server.page.on(Worn, lambda _: self._told())
        self._server.page.on(Wear, self._wear)
        if self.config.path:
            await self._wear_files()

    async def stop(self) -> None:
        from nodes.web.server import leave

        if self._again is not None:
            self._again.cancel()
            await asyncio.gather(self._again, return_exceptions=True)
            self._again = None
        if self._server is not None:
            self._server.references = None
            await leave(self._server, self.context)
            self._server = None
        async with self._reading:  # what is being read ends first
            if self._reader is not None:
                self._reader.close()
                self._reader = None

    def reconfigure(self, config: Any) -> None:
        anew = config.clip != self.config.clip
        super().reconfigure(config)
        if anew and self._shares:
            self._show()

    async def upload(self, request: web.Request) -> web.Response:
        """POST /reference: a picture or a clip, whose file name is the header X-Name; what was read
        of it. It is kept as a file only while it is read."""
        if self._coming >= AT_ONCE_MOST:
            return refuse(503, f"{AT_ONCE_MOST} references are on their way; send it again then",
                          {"Retry-After": "5", "Connection": "close"})  # fmt: skip
        self._coming += 1
        try:
            return await self._taken(request)
        finally:
            self._coming -= 1

    async def _taken(self, request: web.Request) -> web.Response:
        name = _short(unquote(request.headers.get("X-Name", ""))) or "the picture"
        with tempfile.TemporaryDirectory(prefix="mien-") as folder:
            path = Path(folder) / f"reference{Path(name).suffix[:8]}"
            try:
                await _take(request, path)
                key, notes = await self._read(path, name)
            except MienError as error:
                return refuse(422, str(error))
            except TooLargeError:
                return refuse(
                    413, f"{name} has over {UPLOAD_MOST >> 20} MB; a shorter or smaller one does",
                    {"Connection": "close"},
                )  # fmt: skip
        return web.json_response({**self._told_of(key), "notes": notes})

    async def _wear_files(self) -> None:
        from face.reference_file import shared

        for line in self.config.path.splitlines():
            path, share = shared(line)
            key, notes = await self._read(path, path.name)
            if notes:
                self.context.status("degraded", "; ".join(notes))
            self._shares[key] = share
        self._show()

    async def _read(self, path: Path, name: str) -> tuple[str, list[str]]:
        """Its id from here on, and what is to be said of it. Raises MienError."""
        async with self._reading:  # its networks serve one at a time
            rows, notes = await asyncio.to_thread(self._rows, path, name)
        self._count += 1
        key = f"r{self._count}"
        self._known[key] = Known(name, rows)
        for old in list(self._known):
            if len(self._known) > KNOWN_MOST and old not in self._shares:
                del self._known[old]
        return key, notes

    def _rows(self, path: Path, name: str) -> tuple[list[Reference], list[str]]:
        from face.reference import ReferenceReader
        from face.reference_file import read_file

        if self._reader is None:
            self._reader = ReferenceReader(self.config.weights, self.config.landmarker)
        try:
            return read_file(path, self._reader, name)
        except MienError as error:
            raise MienError(str(error).replace(str(path), name).replace(path.name, name)) from None

    def _wear(self, asked: Wear) -> list[dict[str, Any]]:
        """Raises MienError."""
        if len(asked.shares) > BLENDED_MOST:
            raise MienError(f"{BLENDED_MOST} references at most are blended; leave one out")
        if unknown := [key for key in asked.shares if key not in self._known]:
            raise MienError(f"reference {unknown[0][:20]} isn't known any more; choose it again")
        if any(not 0 < share <= 1 for share in asked.shares.values()):
            raise MienError("a share of a reference is above 0, and 1 at most")
        self._shares = dict(asked.shares)
        self._show()
        return self._told()

    def _show(self) -> None:
        from face.reference_file import track_of

        self._track = track_of(
            [self._known[key].rows for key in self._shares],
            list(self._shares.values()),
            self.context.clock.now_ns(),
            self.config.clip,
        )
        self.context.emit("reference", self._track)
        self.context.gauge("worn", len(self._shares))
        if self._again is None:
            self._again = asyncio.create_task(self._say_again())

    async def _say_again(self) -> None:
        """Whoever wears it may be started again meanwhile."""
        while True:
            await asyncio.sleep(AGAIN_S)
            if self._shares and self._track is not None:
                self.context.emit("reference", self._track)

    def _told(self) -> list[dict[str, Any]]:
        return [{**self._told_of(key), "share": share} for key, share in self._shares.items()]

    def _told_of(self, key: str) -> dict[str, Any]:
        from face.reference import blended

        known = self._known[key]
        mean = blended(known.rows, [1.0] * len(known.rows))
        return {
            "id": key,
            "name": known.name,
            "steps": len(known.rows),
            "emotion": EMOTIONS[int(mean.probabilities.argmax())],
            "valence": round(mean.valence, 3),
            "arousal": round(mean.arousal, 3),
            "intensity": round(mean.intensity, 3),
        }


class TooLargeError(Exception):
    """A body of over ``UPLOAD_MOST`` bytes."""


async def _take(request: web.Request, path: Path) -> None:
    """The body into a file, a piece after the other. Raises TooLargeError, TimeoutError where it
    doesn't come, and MienError where it is empty."""
    if (request.content_length or 0) > UPLOAD_MOST:
        raise TooLargeError
    size = 0
    async with asyncio.timeout(UPLOAD_S):
        with path.open("wb") as file:
            async for piece in request.content.iter_chunked(1 << 16):
                size += len(piece)
                if size > UPLOAD_MOST:
                    raise TooLargeError
                file.write(piece)
    if not size:
        raise MienError("that was empty; send a picture or a clip of a face")


def _short(name: str) -> str:
    """A file's name as it may stand in a line."""
    kept = "".join(letter for letter in name if letter.isprintable() and letter not in "/\\")
    return kept[-80:].strip(" .")
