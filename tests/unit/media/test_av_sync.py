"""The voice's delay line on a fake clock: follows the picture, no clicks, gaps counted."""

from __future__ import annotations

import numpy as np
import pytest

from engine.types import F32, I16
from media.av_sync import BLOCK, RATE_HZ, AvSync, SmoothedDelay

MS = 1_000_000
PERIOD_NS = 10 * MS


def tone(first: int, count: int, hz: float = 220.0) -> I16:
    """Samples ``first`` onwards of an endless tone, int16 [count, 1]."""
    at = (first + np.arange(count)) / RATE_HZ
    return (np.sin(2 * np.pi * hz * at) * 10_000).astype(np.int16)[:, None]


class Run:
    """Sound that arrives 5 ms after its end, a picture with a delay, block after block."""

    def __init__(self, lead_ms: int = 0) -> None:
        self.sync = AvSync(lead_ms * MS)
        self.block = 0
        self.out: list[I16] = []
        self.delays_ms: list[float] = []

    def go(self, blocks: int, picture_ms: float | None, skip: frozenset[int] = frozenset()) -> None:
        for _ in range(blocks):
            capture_ns = self.block * PERIOD_NS
            now_ns = capture_ns + PERIOD_NS + 5 * MS
            if self.block not in skip:
                self.sync.push(tone(self.block * BLOCK, BLOCK), capture_ns, now_ns)
            if picture_ms is not None:
                self.sync.picture.add(int(picture_ms * MS))
            block = self.sync.pull(now_ns + 1 * MS)
            if block is None:  # not here yet: what a sender does in the end
                block = self.sync.pull(now_ns + 1 * MS, now_ns + 110 * MS)
            assert block is not None
            assert block.shape == (BLOCK, 2)
            self.out.append(block)
            self.delays_ms.append(self.sync.delay_ns / MS)
            self.block += 1

    def samples(self) -> F32:
        return np.concatenate(self.out)[:, 0].astype(np.float32)


def largest_step(samples: F32) -> float:
    return float(np.abs(np.diff(samples)).max())


TONE_STEP = 2 * np.pi * 220 / RATE_HZ * 10_000  # the steepest slope of the tone itself: 288


def test_steps_from_50_to_120_ms_and_back_without_a_click() -> None:
    run = Run()
    run.go(200, 50)
    assert run.delays_ms[-1] == pytest.approx(50, abs=3)
    run.go(500, 120)
    assert run.delays_ms[-1] == pytest.approx(120, abs=26)
    run.go(3000, 120)
    assert run.delays_ms[-1] == pytest.approx(120, abs=3)
    run.go(3000, 50)
    assert run.delays_ms[-1] == pytest.approx(50, abs=3)
    heard = run.samples()[20 * BLOCK :]
    assert run.sync.figures.gaps == 0
    assert run.sync.figures.splices > 0
    assert largest_step(heard) < 1.5 * TONE_STEP
    level = np.sqrt(np.mean(heard.reshape(-1, BLOCK) ** 2, axis=1))
    assert level.min() > 0.8 * level.max()  # nothing fell out


def test_the_delay_changes_by_at_most_20_ms_per_splice() -> None:
    run = Run()
    run.go(200, 50)
    run.go(400, 120)
    assert np.abs(np.diff(run.delays_ms[200:])).max() < 24.5


def test_small_changes_stretch_by_half_a_percent_at_most() -> None:
    run = Run()
    run.go(200, 60)
    before = run.sync.figures.splices
    run.go(800, 75)
    assert run.sync.figures.splices == before
    assert np.abs(np.diff(run.delays_ms[200:])).max() <= 10 * 0.0051
    assert run.delays_ms[-1] > 68


def test_unchanged_delay_leaves_the_sound_as_it_is() -> None:
    run = Run()
    run.go(600, 60)
    heard = np.concatenate(run.out[400:])[:, 0]
    start = next(
        offset
        for offset in range(390 * BLOCK, 400 * BLOCK)
        if np.array_equal(tone(offset, 64)[:, 0], heard[:64])
    )
    wrong = tone(start, len(heard))[:, 0].astype(int) - heard
    assert np.abs(wrong).max() <= 1  # rounding of the tone itself


def test_sound_in_longer_packets_than_those_sent_doesnt_tear() -> None:
    sync = AvSync()
    heard = []
    for tick in range(600):  # 20 ms in, 10 ms out, a picture faster than the sound
        now_ns = tick * PERIOD_NS + 5 * MS
        if tick % 2 == 0 and tick >= 2:
            sync.push(tone((tick - 2) * BLOCK, 2 * BLOCK), (tick - 2) * PERIOD_NS, now_ns)
        sync.picture.add(8 * MS)
        due_ns, waited_ns = now_ns + 1 * MS, 0
        while (block := sync.pull(due_ns, due_ns + waited_ns)) is None:
            waited_ns += 110 * MS
        heard.append(block[:, 0].astype(np.float32))
    assert sync.figures.gaps <= 3  # while it finds its delay
    assert largest_step(np.concatenate(heard[40:])) < 1.5 * TONE_STEP


def test_stamps_that_wander_dont_tear_sound_that_is_whole() -> None:
    sync = AvSync()
    heard = []
    for block in range(800):
        wander_ns = int(40 * MS * np.sin(block / 30)) + (80 * MS if block < 100 else 0)
        capture_ns = block * PERIOD_NS + wander_ns
        now_ns = block * PERIOD_NS + 130 * MS
        sync.push(tone(block * BLOCK, BLOCK), capture_ns, now_ns, 10**9 + block * PERIOD_NS)
        sync.picture.add(150 * MS)
        out = sync.pull(now_ns + 1 * MS, now_ns + 111 * MS)
        assert out is not None
        heard.append(out[:, 0].astype(np.float32))
    assert sync.figures.gaps == 0
    assert largest_step(np.concatenate(heard[20:])) < 1.5 * TONE_STEP


def test_a_lost_packet_is_a_hole_of_its_own_length() -> None:
    sync = AvSync()
    for block in range(40):
        if block != 20:
            capture_ns = block * PERIOD_NS
            sync.push(
                tone(block * BLOCK, BLOCK), capture_ns, capture_ns + 15 * MS, 10**9 + capture_ns
            )
    assert len(sync._buffer) == 40 * BLOCK
    assert not sync._buffer[20 * BLOCK : 21 * BLOCK].any()
    assert sync.figures.gaps == 1


def test_a_gap_is_silent_faded_and_counted() -> None:
    run = Run()
    run.go(400, 60, skip=frozenset(range(200, 210)))
    heard = run.samples()[20 * BLOCK :]
    assert run.sync.figures.gaps >= 1
    assert np.abs(heard).reshape(-1, BLOCK).max(axis=1).min() < 10
    assert largest_step(heard) < 1.5 * TONE_STEP
    assert run.delays_ms[-1] == pytest.approx(60, abs=4)


def test_without_sound_silence_and_no_drift() -> None:
    sync = AvSync()
    sync.picture.add(50 * MS)
    block = sync.pull(PERIOD_NS)
    assert block is not None and not block.any()
    assert sync.drift_ns is None


def test_sound_leaves_ahead_of_the_picture_by_the_lead_and_knows_its_moment() -> None:
    run = Run(lead_ms=50)
    run.go(400, 120)
    assert run.delays_ms[-1] == pytest.approx(70, abs=3)
    assert run.sync.drift_ns == pytest.approx(0, abs=3 * MS)
    left_ns = (run.block - 1) * PERIOD_NS + PERIOD_NS + 6 * MS
    assert run.sync.captured_ns == pytest.approx(left_ns - run.sync.delay_ns, abs=0.1 * MS)
    first = run.sync.captured_ns * RATE_HZ / 1e9
    expected = np.sin(2 * np.pi * 220 * (first + np.arange(BLOCK)) / RATE_HZ) * 10_000
    assert np.abs(run.out[-1][:, 0] - expected).max() < TONE_STEP


def test_never_ahead_of_what_can_have_arrived() -> None:
    run = Run()
    run.go(200, 2)  # a picture faster than sound can be
    assert run.sync.drift_ns is not None
    assert 10 < run.delays_ms[-1] < 25
    assert run.sync.drift_ns / MS == pytest.approx(run.delays_ms[-1] - 2, abs=1)


def test_late_sound_is_waited_for_then_given_up() -> None:
    sync = AvSync()
    sync.picture.add(40 * MS)
    for block in range(20):
        sync.push(tone(block * BLOCK, BLOCK), block * PERIOD_NS, block * PERIOD_NS + 15 * MS)
    due_ns = 9 * PERIOD_NS + 40 * MS
    while sync.pull(due_ns, due_ns) is not None:
        due_ns += PERIOD_NS
    assert sync.pull(due_ns, due_ns + 30 * MS) is None
    late = sync.pull(due_ns, due_ns + 110 * MS)
    assert late is not None
    assert sync.figures.gaps == 1


def test_a_new_publisher_far_off_in_time_starts_anew() -> None:
    run = Run()
    run.go(200, 50)
    run.block += 60 * 100  # a minute later
    run.go(200, 50)
    assert run.delays_ms[-1] == pytest.approx(50, abs=3)
    assert np.abs(run.out[-1]).max() > 5000


def test_memory_is_bounded_when_nobody_pulls() -> None:
    sync = AvSync()
    for block in range(1000):
        sync.push(tone(0, BLOCK), block * PERIOD_NS, block * PERIOD_NS + PERIOD_NS)
    assert len(sync._buffer) <= 3 * RATE_HZ
    assert sync.figures.overflows > 0


def test_smoothed_delay_ignores_a_spike_and_follows_a_step() -> None:
    delay = SmoothedDelay()
    for _ in range(60):
        delay.add(50 * MS)
    for _ in range(12):
        delay.add(900 * MS)
    assert delay.ns == pytest.approx(50 * MS)
    for _ in range(90):
        delay.add(120 * MS)
    assert delay.ns == pytest.approx(120 * MS, rel=0.06)
