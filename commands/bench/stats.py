"""From marks to figures: latency, frame rate, freezes, drops and drift. Pure arithmetic."""

from __future__ import annotations

import base64
import bisect
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from commands.bench.markers import RATE_HZ, find_chirp, read_number

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
class Seen:
    """A picture on a track, as the browser's camera or its decoder delivered it."""

    at_ms: float
    width_px: int
    height_px: int
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

    sent: list[Seen] = field(default_factory=list)
    arrived: list[Seen] = field(default_factory=list)
    returned: list[Returned] = field(default_factory=list)
    sound_sent: list[Sound] = field(default_factory=list)
    sound_returned: list[Sound] = field(default_factory=list)
    unreadable: int = 0
    problems: list[str] = field(default_factory=list)

    def add(self, taken: Mapping[str, Any]) -> None:
        """Take in what the page's ``drain`` gave."""
        for side, listing in (("sent", self.sent), ("arrived", self.arrived)):
            for at_ms, width, height, means in taken[side]:
                number = read_number(means)
                self.unreadable += number is None
                if number is not None:
                    listing.append(Seen(at_ms, int(width), int(height), number))
        for presented, shown, received, width, height, count, means in taken["returned"]:
            number = read_number(means)
            self.returned.append(
                Returned(presented, shown, received, int(width), int(height), int(count), number)
            )
        for side, at_ms, frame, text in taken["sound"]:
            samples = np.frombuffer(base64.b64decode(text), np.int16) / 32767
            if heard := find_chirp(samples):
                sounds = self.sound_sent if side == "sent" else self.sound_returned
                sounds.append(Sound(at_ms, frame + heard.start, heard.code))
        self.problems.extend(taken["problems"])


@dataclass(frozen=True, slots=True)
class Pair:
    """One picture's way: sent at ``sent_ms``, first shown as ``back``."""

    sent_ms: float
    back: Returned

    @property
    def latency_ms(self) -> float:
        return self.back.shown_ms - self.sent_ms


def pair_pictures(sent: Sequence[Seen], returned: Sequence[Returned]) -> list[Pair]:
    """Each shown picture with the newest sending of its number before it; repeats left out."""
    known = [back for back in returned if back.number is not None]
    places = _sendings(sent, [(back.number or 0, back.shown_ms) for back in known])
    first: dict[int, Pair] = {}
    for back, place in zip(known, places, strict=True):
        if place is not None and place not in first:
            first[place] = Pair(sent[place].at_ms, back)
    return list(first.values())


def pair_arrivals(sent: Sequence[Seen], arrived: Sequence[Seen]) -> dict[float, Seen]:
    """When each picture was sent -> how it first arrived, decoded."""
    places = _sendings(sent, [(picture.number, picture.at_ms) for picture in arrived])
    first: dict[float, Seen] = {}
    for picture, place in zip(arrived, places, strict=True):
        if place is not None:
            first.setdefault(sent[place].at_ms, picture)
    return first


def _sendings(sent: Sequence[Seen], backs: Sequence[tuple[int, float]]) -> list[int | None]:
    """For each (number, time [ms]) the place of its newest sending, within LONGEST_MS before."""
    by_number: dict[int, list[tuple[float, int]]] = {}
    for place, picture in enumerate(sent):
        by_number.setdefault(picture.number, []).append((picture.at_ms, place))
    found: list[int | None] = []
    for number, back_ms in backs:
        times = by_number.get(number, [])
        index = bisect.bisect_right(times, (back_ms, len(sent))) - 1
        near = index >= 0 and back_ms - times[index][0] <= LONGEST_MS
        found.append(times[index][1] if near else None)
    return found


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
    """The figures of what came back from ``start_ms`` to ``end_ms`` of the page's clock.

    Latency, freezes and drift are those of the screen; ``fps`` and ``drops`` are of distinct
    pictures that arrived, because a busy page isn't told of each one that it shows.
    """
    seconds = (end_ms - start_ms) / 1000
    pairs = pair_pictures(marks.sent, marks.returned)
    arrivals = pair_arrivals(marks.sent, marks.arrived)
    window = [pair for pair in pairs if start_ms <= pair.back.shown_ms < end_ms]
    came = [picture for picture in arrivals.values() if start_ms <= picture.at_ms < end_ms]
    full = [picture for picture in came if (picture.width_px, picture.height_px) == (width, height)]
    sounds = [
        (mark, delay)
        for mark, delay in pair_sounds(marks.sound_sent, marks.sound_returned)
        if start_ms <= mark.at_ms + delay < end_ms
    ]
    drift = drifts_ms(sounds, pairs)
    # The last pictures may still be under way.
    sendings = [mark for mark in marks.sent if start_ms <= mark.at_ms < end_ms - 1000]
    shown = sorted(pair.back.shown_ms for pair in window)
    stops = freezes_ms([start_ms, *shown, end_ms])
    received = [pair for pair in window if pair.back.received_ms > 0]
    told = [back for back in marks.returned if start_ms <= back.shown_ms < end_ms]
    return {
        "seconds": round(seconds, 1),
        "fps": round(len(full) / seconds, 2),
        "fps_any_size": round(len(came) / seconds, 2),
        "sent_fps": round(sum(start_ms <= m.at_ms < end_ms for m in marks.sent) / seconds, 2),
        "presented_fps": round((told[-1].count - told[0].count) / seconds, 2) if told else 0.0,
        "told_fps": round(len(told) / seconds, 2),
        "sizes": sorted({f"{picture.width_px}x{picture.height_px}" for picture in came}),
        "glass_to_glass_ms": percentiles(pair.latency_ms for pair in window),
        "until_received_ms": percentiles(p.back.received_ms - p.sent_ms for p in received),
        "until_decoded_ms": percentiles(
            picture.at_ms - sent_ms
            for sent_ms, picture in arrivals.items()
            if start_ms <= picture.at_ms < end_ms
        ),
        "until_presented_ms": percentiles(p.back.presented_ms - p.sent_ms for p in window),
        "received_to_shown_ms": percentiles(p.back.shown_ms - p.back.received_ms for p in received),
        "sound_delay_ms": percentiles(delay for _, delay in sounds),
        "av_drift_ms": percentiles(abs(value) for value in drift),
        "av_drift_signed_ms": percentiles(drift),
        "sound_markers": len(drift),
        "drops": sum(mark.at_ms not in arrivals for mark in sendings),
        "sent": len(sendings),
        "shown_gap_ms": percentiles(np.diff(np.asarray(shown, np.float64))),
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
