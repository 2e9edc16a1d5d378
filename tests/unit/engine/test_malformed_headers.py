"""Headers that somebody damaged: a hundred thousand of them end nothing and take no memory."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from engine.executor import InputQueue, ThreadExecutor
from engine.often import Often
from engine.transport.wire import Envelope
from engine.types import Latest, VideoFrame
from tests.fuzz_headers import Bench

ROOT = Path(__file__).resolve().parents[3]


def test_thirty_thousand_are_refused_or_are_right() -> None:
    """In a process of its own, so that its peak memory is known."""
    command = [sys.executable, "-m", "tests.fuzz_headers", "30000"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    counted = re.match(r"30000 headers, seed 1: (\d+) refused, (\d+) taken, 0 escaped", done.stdout)
    assert counted, done.stdout
    refused, taken = map(int, counted.groups())
    assert refused + taken == 30_000
    assert min(refused, taken) > 600, "both ways are gone"


def test_the_fuzzer_sees_what_escapes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.transport.wire._is_positive_ratio", lambda value: True)
    monkeypatch.setattr("engine.transport.wire._plans", {})
    bench = Bench(seed=1)
    try:
        with pytest.raises((ZeroDivisionError, TypeError)):
            bench.throw(20_000)
    finally:
        bench.close()


def test_what_escapes_from_a_delivery_does_not_end_the_lane() -> None:
    class Fails:
        def receive(self, port: str, envelope: object) -> None:
            raise OverflowError(port)

    escaped: list[Exception] = []
    executor = ThreadExecutor("test", lossless=False)
    executor.escaped = escaped.append
    queue = InputQueue(Latest(VideoFrame), lossless=False)
    queue.consumers.append((Fails(), "in"))
    executor.started = True
    for number in range(3):
        executor.work(executor.claim_or_put(queue, Envelope(None, number)))
    assert [str(error) for error in escaped] == ["in"] * 3


def test_what_happens_often_is_told_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    now_s = [100.0]
    monkeypatch.setattr("engine.often.time.monotonic", lambda: now_s[0])
    told: list[str] = []
    often = Often(told.append)
    for number in range(1000):
        often.add(f"number {number}")
    assert told == ["number 0"]
    now_s[0] += 5
    often.tell_if_due()
    often.tell_if_due()
    assert told == ["number 0", "number 999 (and 998 more)"]
    assert often.count == 1000
