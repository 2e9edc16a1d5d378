"""WHIP ingest on its own: OBS and other encoders publish to /whip."""

from __future__ import annotations

from typing import ClassVar

from nodes.web.publisher import PublishNode


class Whip(PublishNode):
    """A stream published by WHIP (OBS: service WHIP). -> video BGR, audio int16 48 kHz stereo."""

    who: ClassVar[str] = "publisher on /whip"

    def paths(self) -> tuple[str, ...]:
        return ("/whip",)
