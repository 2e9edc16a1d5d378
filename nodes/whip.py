"""WHIP ingest: OBS and other encoders publish to /whip."""

from __future__ import annotations

from typing import ClassVar

from nodes.web.publisher import PublishNode


class Whip(PublishNode):
    """A stream published by WHIP (OBS: service WHIP). -> video BGR, audio int16 48 kHz stereo."""

    path: ClassVar[str] = "/whip"
    who: ClassVar[str] = "publisher on /whip"
