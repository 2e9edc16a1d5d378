"""Capture stamps: jitter filtered, sound and picture on one clock, wrap and restart survived."""

from __future__ import annotations

import itertools
import random

import pytest

from nodes.web.stamps import PublisherClock, StreamTime

MS = 1_000_000
SECOND = 1_000_000_000


def test_jitter_of_arrival_is_not_in_the_stamps() -> None:
    clock = PublisherClock()
    chance = random.Random(1)
    stamps = []
    for frame in range(300):
        media_ns = frame * SECOND // 30
        arrival_ns = 5 * SECOND + media_ns + chance.randrange(40) * MS
        stamps.append(clock.stamp("video", frame * 3000, 90_000, arrival_ns))
    steps = [b - a for a, b in itertools.pairwise(stamps[60:])]
    assert all(abs(step - SECOND / 30) < 1 * MS for step in steps)
    assert stamps[-1] - 5 * SECOND - 299 * SECOND // 30 < 2 * MS


def test_stamps_always_rise() -> None:
    clock = PublisherClock()
    chance = random.Random(2)
    last = 0
    for frame in range(500):
        arrival_ns = frame * 33 * MS + chance.randrange(100) * MS
        stamp = clock.stamp("video", frame * 2970, 90_000, arrival_ns)
        assert stamp > last
        last = stamp


def test_rtp_time_wraps() -> None:
    stream = StreamTime(90_000)
    first = stream.media_ns(0xFFFFFFFF - 1499)
    assert stream.media_ns(1500) - first == 3000 * SECOND // 90_000
    assert stream.peek_ns(0xFFFFFFFF - 1499) == first


def test_sender_reports_put_sound_and_picture_on_one_clock() -> None:
    """Picture comes 60 ms after its capture, sound 30 ms after its end: equal stamps in the end."""
    clock = PublisherClock()
    ntp0 = 3_900_000_000 << 32
    video = audio = 0
    for tick in range(0, 20_000, 10):
        now_ns = 10 * SECOND + tick * MS
        ntp = ntp0 + (tick << 32) // 1000
        if tick % 20 == 0:
            rtp = tick * 48
            audio = clock.stamp("audio", rtp, 48_000, now_ns + 30 * MS, 20 * MS) - now_ns
            if tick % 1000 == 0:
                clock.sender_report("audio", rtp, ntp)
        if tick % 40 == 0:
            rtp = tick * 90
            video = clock.stamp("video", rtp, 90_000, now_ns + 60 * MS) - now_ns
            if tick % 1000 == 0:
                clock.sender_report("video", rtp, ntp)
    assert video == pytest.approx(30 * MS, abs=2 * MS)
    assert audio == pytest.approx(10 * MS, abs=2 * MS)  # its first sample, 20 ms before its end


def test_a_restarted_stream_starts_anew() -> None:
    clock = PublisherClock()
    for frame in range(30):
        clock.stamp("video", frame * 3000, 90_000, SECOND + frame * 33 * MS)
    stamp = clock.stamp("video", 0x70000000, 90_000, 3 * SECOND)
    assert stamp == 3 * SECOND


def test_reports_before_any_packet_are_ignored() -> None:
    clock = PublisherClock()
    clock.sender_report("video", 1, 1 << 32)
    assert clock.stamp("video", 0, 90_000, SECOND) == SECOND


@pytest.mark.parametrize("reports", [False, True])
def test_no_stamp_is_later_than_its_arrival(reports: bool) -> None:
    """A sender whose time jumps ahead, as players and slow cameras do."""
    clock = PublisherClock()
    for frame in range(200):
        jump = 0 if frame < 60 else 69_210  # 769 ms
        arrival_ns = 5 * SECOND + frame * SECOND // 5
        rtp = frame * 18_000 + jump
        for kind in ("audio", "video"):
            stamp = clock.stamp(kind, rtp, 90_000, arrival_ns)
            assert stamp <= arrival_ns
            if reports:
                clock.sender_report(kind, rtp, (frame * SECOND // 5 + SECOND << 32) // SECOND)
