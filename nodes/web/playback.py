"""When a viewer plays what it gets: how long it may hold pictures, and which sound is theirs."""

from __future__ import annotations

import time
from functools import cache
from typing import Any

from nodes.web.peer import agree_on_extension
from nodes.web.private import get_private

URI = "http://www.webrtc.org/experiments/rtp-hdrext/playout-delay"
UNIT_MS = 10
ONE_BYTE_HEADERS = 0xBEDE  # RFC 8285, 4.2
SOUND_LEAD_NS = 70_000_000
"""how much longer browsers hold sound than pictures, where there is a limit for those"""
UNHELD_NS = 30_000_000
"""how much longer than they are pictures are held, as Chromium's lip-sync has it, where there is a
limit: it goes by what its buffer would need"""


class PlayoutLimit:
    """The most that viewers may hold pictures for to even them out; may change at any time.

    Chromium holds pictures by default until nearly all are in time, and until the sound is
    through its own, longer buffer: more than the engine itself takes.
    """

    def __init__(self, most_ms: int) -> None:
        self.set(most_ms)

    def set(self, most_ms: int) -> None:
        self.content = min(most_ms // UNIT_MS, 0xFFF).to_bytes(3, "big")  # least (0) and most

    def send_with(self, transceiver: Any, offer: str) -> bool:
        """Send the limit with each packet, where the offer has the extension: True if so."""
        number = agree_on_extension(transceiver, offer, URI)
        if number is None:
            return False
        extensions = get_private(transceiver.sender, "rtp_header_extensions_map")
        pack = extensions.set
        head = bytes([number << 4 | 2])

        def packed(values: Any) -> tuple[int, bytes]:
            _, others = pack(values)  # whole words, so that one more word can follow
            return ONE_BYTE_HEADERS, others + head + self.content

        extensions.set = packed
        return True


def report_capture_time(sender: Any) -> Any:
    """Let aiortc's ``sender`` say in its reports (RFC 3550, 6.4.1) when media was captured.

    It would say when it was sent. Returns the sender; set its ``captured_ns`` (monotonic) with
    each frame. A receiver plays sound and picture of the same capture together then, whichever
    of the two left first.
    """
    get_private(sender, "ntp_timestamp")  # says so where a new aiortc has it no more
    sender.__class__ = _capture_time_sender()
    return sender


@cache
def _capture_time_sender() -> type:
    from aiortc import RTCRtpSender

    class CaptureTimeSender(RTCRtpSender):
        captured_ns: int | None = None
        _captured_ntp = 0

        @property
        def _RTCRtpSender__ntp_timestamp(self) -> int:  # noqa: N802  # aiortc's own name
            return self._captured_ntp

        @_RTCRtpSender__ntp_timestamp.setter
        def _RTCRtpSender__ntp_timestamp(self, now_ntp: int) -> None:  # noqa: N802  # the same
            age_ns = 0 if self.captured_ns is None else time.monotonic_ns() - self.captured_ns
            self._captured_ntp = now_ntp - (age_ns << 32) // 1_000_000_000

    return CaptureTimeSender
