"""From marks to figures: latency, frame rate, freezes, drops and drift. Pure arithmetic."""

from __future__ import annotations

import base64
import bisect
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from commands.bench_markers import RATE_HZ, find_chirp, read_number

FREEZE_MS = 200.0
LONGEST_MS = 4000.0  # a mark that is gone for longer counts as lost; less than half a loop

Percentiles = dict[str, float]


def percentiles(values: Iterable[float], digits: int = 2) -> Percentiles:
    """p50, p95, p99 of the values (linear between ranks); empty where there are none."""
    array = np.asarray(list(values), np.float64)
    if array.size == 0:
        return {}
    return {
        f"p{share}": round(float(np.percentile(array, share)), digits) for share in (50, 95, 99)
    }


@dataclass(frozen=True, slots=True)
class Sent:
    """A picture as the browser's camera delivered it."""

    at_ms: float
    number: int


@dataclass(frozen=True, slots=True)
class Returned:
    """A picture as the page showed it; times in ms of the page's clock.

    ``presented_ms``: handed to the compositor. ``shown_ms``: when the browser expects it on the
    glass. ``received_ms``: its last packet came, 0 where the browser didn't say. ``count``: how
    many pictures were presented so far, those included that the page wasn't told of in time.
    """

    presented_ms: float
    shown_ms: float
    received_ms: float
    width_px: int
    height_px: int
    count: int
    number: int | None


@dataclass(frozen=True, slots=True)
class Sound:
    """A marker in the sent or the returned sound; ``frame`` counts samples of the page's clock."""

    at_ms: float
    frame: float
    code: int


@dataclass(slots=True)
class Marks:
    """Everything noted so far."""

    sent: list[Sent] = field(default_factory=list)
    returned: list[Returned] = field(default_factory=list)
    sound_sent: list[Sound] = field(default_factory=list)
    sound_returned: list[Sound] = field(default_factory=list)
    unreadable: int = 0
    problems: list[str] = field(default_factory=list)

    def add(self, taken: Mapping[str, Any]) -> None:
        """Take in what the page's ``drain`` gave."""
        for at_ms, _, _, means in taken["sent"]:
            number = read_number(means)
            if number is not None:
                self.sent.append(Sent(at_ms, number))
        for presented, shown, received, width, height, count, means in taken["returned"]:
            number = read_number(means)
            self.unreadable += number is None
            self.returned.append(
                Returned(presented, shown, received, int(width), int(height), int(count), number)
            )
        for side, at_ms, frame, text in taken["sound"]:
            samples = np.frombuffer(base64.b64decode(text), np.int16) / 32767
            if heard := find_chirp(samples):
                listing = self.sound_sent if side == "sent" else self.sound_returned
                listing.append(Sound(at_ms, frame + heard.start, heard.code))
        self.problems.extend(taken["problems"])


@dataclass(frozen=True, slots=True)
class Pair:
    """One picture's way: sent at ``sent_ms``, first shown as ``back``."""

    sent_ms: float
    back: Returned

    @property
    def latency_ms(self) -> float:
        return self.back.shown_ms - self.sent_ms


def pair_pictures(sent: Sequence[Sent], returned: Sequence[Returned]) -> list[Pair]:
    """Each returned picture with the newest sending of its number before it; repeats left out."""
    by_number: dict[int, list[float]] = {}
    for picture in sent:
        by_number.setdefault(picture.number, []).append(picture.at_ms)
    pairs = []
    used: set[tuple[int, float]] = set()
    for back in returned:
        times = by_number.get(back.number, []) if back.number is not None else []
        place = bisect.bisect_right(times, back.shown_ms) - 1
        if place < 0 or back.shown_ms - times[place] > LONGEST_MS:
            continue
        key = (back.number or 0, times[place])
        if key not in used:
            used.add(key)
            pairs.append(Pair(times[place], back))
    return pairs


def pair_sounds(sent: Sequence[Sound], returned: Sequence[Sound]) -> list[tuple[Sound, float]]:
    """(sent marker, delay in ms) for each returned marker."""
    pairs = []
    for back in returned:
        delays = [
            (back.frame - mark.frame) * 1000 / RATE_HZ
            for mark in sent
            if mark.code == back.code and abs(back.at_ms - mark.at_ms) < 2 * LONGEST_MS
        ]
        near = [delay for delay in delays if 0 <= delay <= LONGEST_MS]
        if near:
            delay = min(near)
            mark = next(
                mark
                for mark in sent
                if mark.code == back.code
                and abs((back.frame - mark.frame) * 1000 / RATE_HZ - delay) < 1e-6
            )
            pairs.append((mark, delay))
    return pairs


def drifts_ms(sounds: Sequence[tuple[Sound, float]], pictures: Sequence[Pair]) -> list[float]:
    """Sound's delay minus the picture's delay, for the picture nearest to each marker.

    Positive: the voice comes after the lips. Both delays are measured against the same browser's
    own tracks, so a camera and a microphone that drift apart before the sender don't count.
    """
    ordered = sorted(pictures, key=lambda pair: pair.sent_ms)
    times = [pair.sent_ms for pair in ordered]
    drifts = []
    for mark, delay_ms in sounds:
        place = bisect.bisect_left(times, mark.at_ms)
        near = [ordered[i] for i in (place - 1, place) if 0 <= i < len(ordered)]
        if not near:
            continue
        pair = min(near, key=lambda candidate: abs(candidate.sent_ms - mark.at_ms))
        if abs(pair.sent_ms - mark.at_ms) < 500:
            drifts.append(delay_ms - pair.latency_ms)
    return drifts


def freezes_ms(shown_ms: Sequence[float]) -> list[float]:
    """Gaps between new pictures that a person takes for a freeze."""
    gaps = np.diff(np.asarray(shown_ms, np.float64))
    return [float(gap) for gap in gaps if gap > FREEZE_MS]


def summarize(
    marks: Marks, start_ms: float, end_ms: float, width: int, height: int
) -> dict[str, Any]:
    """The figures of what was shown from ``start_ms`` to ``end_ms`` of the page's clock."""
    pairs = pair_pictures(marks.sent, marks.returned)
    window = [pair for pair in pairs if start_ms <= pair.back.shown_ms < end_ms]
    full = [p for p in window if (p.back.width_px, p.back.height_px) == (width, height)]
    seconds = (end_ms - start_ms) / 1000
    sounds = [
        (mark, delay)
        for mark, delay in pair_sounds(marks.sound_sent, marks.sound_returned)
        if start_ms <= mark.at_ms + delay < end_ms
    ]
    drift = drifts_ms(sounds, pairs)
    returned_at = {pair.sent_ms for pair in pairs}
    # The last pictures may still be under way, the first were shown before the window.
    sendings = [mark for mark in marks.sent if start_ms <= mark.at_ms < end_ms - 1000]
    shown = sorted(pair.back.shown_ms for pair in window)
    stops = freezes_ms([start_ms, *shown, end_ms] if shown else [start_ms, end_ms])
    received = [pair for pair in window if pair.back.received_ms > 0]
    told = [back for back in marks.returned if start_ms <= back.shown_ms < end_ms]
    return {
        "seconds": round(seconds, 1),
        "fps": round(len(full) / seconds, 2),
        "fps_any_size": round(len(window) / seconds, 2),
        "sent_fps": round(sum(start_ms <= m.at_ms < end_ms for m in marks.sent) / seconds, 2),
        "presented_fps": round((told[-1].count - told[0].count) / seconds, 2) if told else 0.0,
        "repeats": len(told) - len(window),
        "sizes": sorted({f"{p.back.width_px}x{p.back.height_px}" for p in window}),
        "glass_to_glass_ms": percentiles(pair.latency_ms for pair in window),
        "until_presented_ms": percentiles(p.back.presented_ms - p.sent_ms for p in window),
        "until_received_ms": percentiles(p.back.received_ms - p.sent_ms for p in received),
        "received_to_shown_ms": percentiles(p.back.shown_ms - p.back.received_ms for p in received),
        "sound_delay_ms": percentiles(delay for _, delay in sounds),
        "av_drift_ms": percentiles(abs(value) for value in drift),
        "av_drift_signed_ms": percentiles(drift),
        "sound_markers": len(drift),
        "drops": sum(mark.at_ms not in returned_at for mark in sendings),
        "sent": len(sendings),
        "freezes": len(stops),
        "longest_freeze_ms": round(max(stops, default=0.0), 1),
    }


def per_minute(
    marks: Marks, start_ms: float, end_ms: float, width: int, height: int
) -> list[dict[str, Any]]:
    """The figures minute by minute; a last piece under half a minute joins nothing."""
    rows = []
    minute = 0
    while start_ms + minute * 60_000 + 30_000 <= end_ms:
        begin = start_ms + minute * 60_000
        row = summarize(marks, begin, min(begin + 60_000, end_ms), width, height)
        keys = ("seconds", "fps", "glass_to_glass_ms", "av_drift_ms", "drops", "freezes")
        rows.append({"minute": minute, **{key: row[key] for key in keys}})
        minute += 1
    return rows
