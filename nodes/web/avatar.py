"""A 3D avatar on the page: its file, and the rig that moves it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from engine.node import LoopNode
from engine.parameters import parameter
from engine.types import Input, Latest
from face.types import FaceRig
from nodes.web.options import WEB_SERVER

if TYPE_CHECKING:
    from nodes.web.server import WebServer


class Avatar(LoopNode):
    """Hand rigs to the pages that draw a 3D avatar. rig -> /rig."""

    inputs: ClassVar[dict[str, Input]] = {"rig": Latest(FaceRig)}
    together = WEB_SERVER

    @dataclass(frozen=True, kw_only=True, slots=True)
    class Config:
        file: str = parameter(
            "", "the avatar that pages show: head, or a .vrm file; empty: the picture", live=False
        )

    config: Config

    async def start(self) -> None:
        """Raises MienError where the file is no avatar."""
        from nodes.web.avatar_file import avatar_file
        from nodes.web.server import join

        file = avatar_file(self.config.file) if self.config.file else None
        self._server: WebServer = await join(self.context)
        self._server.rigs.file = file

    async def stop(self) -> None:
        from nodes.web.server import leave

        if hasattr(self, "_server"):
            self._server.rigs.file = None
            await leave(self._server, self.context)

    def on_rig(self, message: FaceRig) -> None:
        self._server.rigs.show(message)
        self.context.gauge("pages", len(self._server.rigs))
