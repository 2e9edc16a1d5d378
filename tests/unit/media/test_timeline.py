"""One clock for a file's streams: set back, leapt, or joined of parts of different lengths."""

from __future__ import annotations

from fractions import Fraction
from types import SimpleNamespace
from typing import Any

import pytest

from media.timeline import Timeline

STEP_MS = 40
PICTURES, SOUND = 0, 1


def container(name: str = "mpegts", start_ms: int | None = 0) -> Any:
    start_us = None if start_ms is None else start_ms * 1000
    return SimpleNamespace(format=SimpleNamespace(name=name), start_time=start_us)


def packet(stream: int, at_ms: int | None, pts_ms: int | None = None) -> Any:
    return SimpleNamespace(
        stream_index=stream,
        time_base=Fraction(1, 1000),
        dts=at_ms,
        pts=at_ms if pts_ms is None else pts_ms,
        duration=STEP_MS,
    )


def placed(timeline: Timeline, *packets: tuple[int, int]) -> list[int]:
    """Where packets (stream, dts) come to be [ms]."""
    made = [packet(*one) for one in packets]
    for one in made:
        timeline.place(one)
    return [one.dts for one in made]


def test_a_late_start_is_zero() -> None:
    timeline = Timeline(container(start_ms=1400))
    assert placed(timeline, (PICTURES, 1400), (SOUND, 1440)) == [0, 40]
    assert placed(Timeline(container(start_ms=None)), (SOUND, 77), (SOUND, 117)) == [0, 40]


def test_pictures_keep_their_order_of_showing() -> None:
    timeline = Timeline(container(start_ms=1000))
    one = packet(PICTURES, 1000, pts_ms=1120)
    timeline.place(one)
    assert (one.dts, one.pts) == (0, 120)


def test_a_clock_that_is_set_back_goes_on_for_all() -> None:
    timeline = Timeline(container())
    first = [(PICTURES, 0), (SOUND, 0), (PICTURES, 1000), (SOUND, 1000)]
    assert placed(timeline, *first) == [0, 0, 1000, 1000]
    assert placed(timeline, (PICTURES, 20), (SOUND, 0)) == [1040, 1020 + 20]
    assert timeline.parts == 2


def test_what_comes_late_from_before_stays_before() -> None:
    """A demuxer gives the last picture of a part after the first sound of the next."""
    timeline = Timeline(container())
    placed(timeline, (PICTURES, 0), (SOUND, 0), (PICTURES, 1000), (SOUND, 1040))
    late = placed(timeline, (SOUND, 0), (PICTURES, 1040), (PICTURES, 0))
    assert late == [1080, 1040, 1080]


def test_the_longer_stream_moves_what_follows() -> None:
    timeline = Timeline(container())
    placed(timeline, (PICTURES, 0), (SOUND, 0), (SOUND, 1000), (PICTURES, 960))
    placed(timeline, (PICTURES, 1960))
    assert placed(timeline, (SOUND, 10), (PICTURES, 10)) == [2000, 2000]
    assert timeline.end_s == Fraction(2040, 1000)


@pytest.mark.parametrize(("name", "at"), [("mpegts", 1040), ("mov", 61_000)])
def test_a_leap_is_a_pause_but_where_clocks_may_change(name: str, at: int) -> None:
    timeline = Timeline(container(name))
    placed(timeline, (PICTURES, 0), (PICTURES, 1000))
    assert placed(timeline, (PICTURES, 61_000)) == [at]


def test_small_steps_back_and_missing_stamps_are_left_alone() -> None:
    timeline = Timeline(container())
    assert placed(timeline, (SOUND, 0), (SOUND, 400), (SOUND, 300)) == [0, 400, 300]
    blank = SimpleNamespace(dts=None, pts=None)
    timeline.place(blank)
    assert timeline.parts == 1 and blank.pts is None


def test_a_loop_goes_on_where_it_had_come_to() -> None:
    timeline = Timeline(container(start_ms=100), Fraction(5))
    assert placed(timeline, (PICTURES, 100)) == [5000]
