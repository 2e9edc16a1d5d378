"""The page's camera and microphone over WebRTC; OBS may take their place."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from engine.parameters import parameter
from nodes.web.publisher import PublishNode


class Browser(PublishNode):
    """Camera and microphone of the page. -> video BGR, audio int16 48 kHz stereo.

    The newest publisher wins: a second page, or OBS by WHIP, takes over from the first.
    """

    who: ClassVar[str] = "camera"

    @dataclass(frozen=True, kw_only=True, slots=True)
    class Config(PublishNode.Config):
        whip: bool = parameter(True, "also accept streams at /whip, as from OBS", live=False)

    config: Config

    def paths(self) -> tuple[str, ...]:
        return ("/session", "/whip") if self.config.whip else ("/session",)
