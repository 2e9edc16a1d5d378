"""RTP packets to frames: at the marker, across gaps, duplicates, wrap-around."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from nodes.web.assembly import AudioAssembler, EncodedFrame, VideoAssembler, newer


def packet(sequence: int, timestamp: int, data: bytes = b"x", marker: int = 0) -> Any:
    return SimpleNamespace(
        sequence_number=sequence & 0xFFFF, timestamp=timestamp, _data=data, marker=marker
    )


def flat(frame: EncodedFrame | None) -> list[bytes]:
    return [] if frame is None else [frame.data, *(after.data for after in frame.after)]


def test_a_frame_is_complete_with_its_marker() -> None:
    assembler = VideoAssembler()
    assert flat(assembler.add(packet(1, 10, b"a"))[1]) == []
    assert flat(assembler.add(packet(2, 10, b"b", marker=1))[1]) == [b"ab"]
    assert flat(assembler.add(packet(3, 20, b"c", marker=1))[1]) == [b"c"]


def test_a_lost_marker_is_made_up_for_by_the_next_frame() -> None:
    assembler = VideoAssembler()
    assembler.add(packet(1, 10, b"a"))
    assert flat(assembler.add(packet(2, 20, b"b", marker=1))[1]) == [b"a", b"b"]


def test_reordered_packets_make_whole_frames_in_order() -> None:
    assembler = VideoAssembler()
    got: list[bytes] = []
    for item in (
        packet(65534, 10, b"a"),
        packet(0, 20, b"c"),
        packet(1, 20, b"d", marker=1),
        packet(65535, 10, b"b", marker=1),
        packet(65535, 10, b"b", marker=1),
        packet(2, 30, b"e", marker=1),
    ):
        asked, frame = assembler.add(item)
        assert not asked
        got += flat(frame)
    assert got == [b"ab", b"cd", b"e"]


def test_a_gap_is_given_up_after_a_while_and_a_key_frame_asked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = [0]
    monkeypatch.setattr("nodes.web.assembly.time.monotonic_ns", lambda: now[0])
    assembler = VideoAssembler()
    assembler.add(packet(1, 10, b"a", marker=1))
    asks = []
    got = []
    for number in range(3, 12):  # packet 2 never comes; 3 is the rest of its frame
        now[0] += 20_000_000
        timestamp = 20 if number == 3 else number * 10
        asked, frame = assembler.add(packet(number, timestamp, b"%d" % number, marker=1))
        asks.append(asked)
        got += flat(frame)
    assert asks.count(True) == 1
    assert got == [b"4", b"5", b"6", b"7", b"8", b"9", b"10", b"11"]
    assert assembler.lost_frames == 1


def test_a_new_stream_far_away_is_followed() -> None:
    assembler = VideoAssembler()
    assembler.add(packet(30_000, 10, b"a", marker=1))
    assert flat(assembler.add(packet(100, 20, b"b", marker=1))[1]) == [b"b"]


def test_sound_is_handed_on_at_once_and_in_order() -> None:
    assembler = AudioAssembler()
    assert flat(assembler.add(packet(1, 0, b"a"))[1]) == [b"a"]
    assert flat(assembler.add(packet(3, 40, b"c"))[1]) == []
    assert flat(assembler.add(packet(2, 20, b"b"))[1]) == [b"b", b"c"]
    assert flat(assembler.add(packet(2, 20, b"b"))[1]) == []
    assert assembler.lost_frames == 0


def test_lost_sound_is_waited_for_by_two_packets() -> None:
    assembler = AudioAssembler()
    got = []
    for number in (1, 3, 4, 5, 6):
        got += flat(assembler.add(packet(number, number * 20, b"%d" % number))[1])
    assert got == [b"1", b"3", b"4", b"5", b"6"]
    assert assembler.lost_frames == 1


def test_newer_counts_across_the_wrap() -> None:
    assert newer(2, 65535) == 3
    assert newer(65535, 2) == -3
