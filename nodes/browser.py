"""The page's camera and microphone over WebRTC."""

from __future__ import annotations

from typing import ClassVar

from nodes.web.publisher import PublishNode


class Browser(PublishNode):
    """Camera and microphone of the page. -> video BGR, audio int16 48 kHz stereo.

    The newest page wins: a second one takes over from the first.
    """

    path: ClassVar[str] = "/session"
    who: ClassVar[str] = "camera"
