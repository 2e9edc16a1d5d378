"""From marks to figures, on marks made by hand."""

from __future__ import annotations

import base64
from typing import Any

import numpy as np
import pytest

from commands.bench.markers import cells_of, chirp
from commands.bench.stats import (
    Marks,
    Returned,
    Seen,
    Sound,
    drifts_ms,
    freezes_ms,
    pair_arrivals,
    pair_pictures,
    pair_sounds,
    per_minute,
    percentiles,
    summarize,
)

FRAMES = 300  # of one loop


def seen(at_ms: float, number: int, width: int = 640) -> Seen:
    return Seen(at_ms, width, 480, number % FRAMES)


def shown(at_ms: float, number: int, count: int = 0) -> Returned:
    return Returned(at_ms - 1, at_ms, at_ms - 20, 640, 480, count, number % FRAMES)


def call(seconds: float, *, delay_ms: float = 80.0, voice_ms: float = 95.0, lost: int = 0) -> Marks:
    """A call in which every picture takes ``delay_ms`` and every ``lost``th never returns."""
    marks = Marks()
    for number in range(int(seconds * 30)):
        at_ms = number * 1000 / 30
        marks.sent.append(seen(at_ms, number))
        if not lost or number % lost:
            marks.arrived.append(seen(at_ms + delay_ms - 10, number))
            marks.returned.append(shown(at_ms + delay_ms, number, len(marks.returned)))
    for second in range(int(seconds)):
        at_ms = second * 1000 + 250.0
        frame = at_ms * 48
        marks.sound_sent.append(Sound(at_ms, frame, second % 10))
        marks.sound_returned.append(Sound(at_ms + voice_ms, frame + voice_ms * 48, second % 10))
    return marks


def test_percentiles() -> None:
    assert percentiles([]) == {}
    assert percentiles(range(101)) == {"p50": 50.0, "p95": 95.0, "p99": 99.0}


def test_a_steady_call() -> None:
    figures = summarize(call(30), 5000, 25000, 640, 480)
    assert figures["glass_to_glass_ms"]["p50"] == pytest.approx(80, abs=0.1)
    assert figures["until_decoded_ms"]["p99"] == pytest.approx(70, abs=0.1)
    assert figures["fps"] == pytest.approx(30, abs=0.1)
    assert figures["av_drift_signed_ms"]["p50"] == pytest.approx(15, abs=0.1)
    assert figures["sound_markers"] == 20
    assert figures["drops"] == figures["freezes"] == 0


def test_lost_pictures_are_drops_and_lower_the_rate() -> None:
    figures = summarize(call(30, lost=10), 5000, 25000, 640, 480)
    assert figures["drops"] == pytest.approx(figures["sent"] / 10, abs=1)
    assert figures["fps"] == pytest.approx(27, abs=0.2)
    assert figures["freezes"] == 0


def test_small_pictures_do_not_count() -> None:
    marks = call(10)
    marks.arrived = [Seen(p.at_ms, 320, 240, p.number) for p in marks.arrived]
    figures = summarize(marks, 2000, 8000, 640, 480)
    assert figures["fps"] == 0
    assert figures["fps_any_size"] == pytest.approx(30, abs=0.2)
    assert figures["sizes"] == ["320x240"]


def test_a_silent_dead_call_is_one_long_freeze() -> None:
    marks = call(10)
    marks.arrived, marks.returned, marks.sound_returned = [], [], []
    figures = summarize(marks, 2000, 8000, 640, 480)
    assert figures["fps"] == 0
    assert figures["glass_to_glass_ms"] == figures["av_drift_ms"] == {}
    assert (figures["freezes"], figures["longest_freeze_ms"]) == (1, 6000)
    assert figures["drops"] == figures["sent"]


def test_repeats_count_once_and_at_their_first_showing() -> None:
    sent = [seen(0, 7)]
    pairs = pair_pictures(sent, [shown(90, 7), shown(120, 7), shown(150, 8)])
    assert [pair.latency_ms for pair in pairs] == [90]


def test_the_loop_does_not_confuse() -> None:
    """The same number comes again after ten seconds: the newest sending before is meant."""
    sent = [seen(0, 7), seen(10_000, 7)]
    assert [pair.sent_ms for pair in pair_pictures(sent, [shown(10_080, 7)])] == [10_000]
    assert pair_pictures(sent, [shown(9_990, 7)]) == [], "ten seconds late is lost"
    assert list(pair_arrivals(sent, [seen(60, 7), seen(10_060, 7)])) == [0, 10_000]


def test_unreadable_pictures_pair_with_nothing() -> None:
    blank = Returned(80, 81, 60, 640, 480, 1, None)
    assert pair_pictures([seen(0, 0)], [blank]) == []


def test_sounds_pair_with_the_same_code_only() -> None:
    sent = [Sound(0, 0, 1), Sound(1000, 48_000, 2), Sound(10_000, 480_000, 1)]
    back = [Sound(10_100, 484_800, 1), Sound(1050, 50_400, 2), Sound(500, 24_000, 5)]
    assert [(mark.frame, delay) for mark, delay in pair_sounds(sent, back)] == [
        (480_000, 100.0),
        (48_000, 50.0),
    ]


def test_drift_is_sound_minus_picture() -> None:
    pictures = pair_pictures([seen(1000, 3)], [shown(1080, 3)])
    assert drifts_ms([(Sound(1010, 0, 0), 60.0)], pictures) == [-20.0]
    assert drifts_ms([(Sound(3000, 0, 0), 60.0)], pictures) == [], "no picture near"
    assert drifts_ms([(Sound(3000, 0, 0), 60.0)], []) == []


def test_freezes_are_gaps_over_200_ms() -> None:
    assert freezes_ms([0, 33, 233, 466, 500]) == [233]


def test_minutes() -> None:
    rows = per_minute(call(150), 0, 150_000, 640, 480)
    assert [row["seconds"] for row in rows] == [60, 60, 30]
    assert rows[1]["fps"] == pytest.approx(30, abs=0.1)


def test_what_the_page_notes_is_read() -> None:
    means = [216 if bit else 40 for bit in cells_of(42)]
    sound = np.zeros(6144)
    sound[1024 : 1024 + chirp(6).size] = 0.4 * chirp(6)
    text = base64.b64encode((sound * 32767).astype(np.int16).tobytes()).decode()
    taken: dict[str, Any] = {
        "sent": [[1.0, 640, 480, means], [2.0, 640, 480, [128] * 20]],
        "arrived": [[61.0, 640, 480, means]],
        "returned": [[70.0, 71.0, 50.0, 640, 480, 9, means]],
        "sound": [["sent", 5.0, 4800, text], ["returned", 90.0, 9600, text]],
        "problems": ["a word"],
    }
    marks = Marks()
    marks.add(taken)
    assert [picture.number for picture in marks.sent] == [42]
    assert marks.unreadable == 1
    assert marks.returned[0].number == marks.arrived[0].number == 42
    assert marks.sound_sent[0].code == 6
    assert marks.sound_returned[0].frame - marks.sound_sent[0].frame == pytest.approx(4800)
    assert marks.problems == ["a word"]
