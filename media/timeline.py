"""Media time of a file's streams: from zero, one clock for pictures and sound, never set back."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Final

_SET_BACK_S: Final = Fraction(1, 2)
_LEAPT_S: Final = Fraction(10)
_JOINABLE: Final = ("mpegts", "mpeg", "mpegvideo")
"""formats whose clock may change at any place: a leap is no pause there"""


@dataclass(slots=True)
class _Stream:
    part: int = 0
    last_s: Fraction | None = None
    """the last stamp as the file has it"""
    end_s: Fraction = Fraction(0)
    """where what was placed ends"""


class Timeline:
    """Gives packets their place; their stamps are changed where they stand.

    A clock that is set back (files joined end to end, a recorder that began anew) goes on where
    the streams had come to, with the same shift for all of them, so that lips and sound stay
    together. What comes before the change in one stream and after it in another is told apart.
    Small steps back are left alone.
    """

    def __init__(self, container: Any, begin_s: Fraction = Fraction(0)) -> None:
        """``begin_s``: what comes first is placed there."""
        start_us = container.start_time
        self._begin_s = begin_s
        self._shifts: list[Fraction] = []
        if start_us is not None:
            self._shifts.append(begin_s - Fraction(start_us, 1_000_000))
        self._leaps = container.format.name in _JOINABLE
        self._streams: dict[int, _Stream] = {}

    @property
    def parts(self) -> int:
        """How many times the clock began, so far."""
        return max(1, len(self._shifts))

    @property
    def end_s(self) -> Fraction:
        """Where the latest of all that was placed ends."""
        return max((stream.end_s for stream in self._streams.values()), default=self._begin_s)

    def place(self, packet: Any) -> None:
        """Move a packet's stamps to where it belongs; packets come in the file's order."""
        stamp = packet.dts if packet.dts is not None else packet.pts
        if stamp is None:
            return
        stream = self._streams.setdefault(packet.stream_index, _Stream(end_s=self._begin_s))
        base = Fraction(packet.time_base)
        at_s, length_s = stamp * base, (packet.duration or 0) * base
        if not self._shifts:
            self._shifts.append(self._begin_s - at_s)
        if stream.last_s is not None and self._began_anew(at_s - stream.last_s):
            stream.part += 1
            if stream.part == len(self._shifts):
                self._shifts.append(self.end_s - at_s)
            # A stream that was longer than the first to change moves all that follows.
            self._shifts[stream.part] += max(
                Fraction(0), stream.end_s - at_s - self._shifts[stream.part]
            )
        stream.last_s = at_s
        shift_s = self._shifts[stream.part]
        stream.end_s = max(stream.end_s, at_s + shift_s + length_s)
        ticks = round(shift_s / base)
        if packet.dts is not None:
            packet.dts += ticks
        if packet.pts is not None:
            packet.pts += ticks

    def _began_anew(self, step_s: Fraction) -> bool:
        return step_s < -_SET_BACK_S or (self._leaps and step_s > _LEAPT_S)
