"""Percentiles, rates, clock offsets and parameters."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import pytest

from engine.errors import UsageError
from engine.metrics import Latency
from engine.parameters import build, change, describe, parameter
from engine.transport.hosts import ClockOffset
from nodes.web.prometheus import exposition


def test_percentiles_of_a_known_distribution() -> None:
    latency = Latency()
    for value in range(1, 1001):
        latency.add(value / 10)
    for share, expected in ((50, 50.0), (95, 95.0), (99, 99.0)):
        assert latency.total()[f"p{share}"] == pytest.approx(expected, rel=0.02)
    # The recent ones see the last 256 samples only.
    assert latency.recent()["p50"] == pytest.approx(87.3, rel=0.02)


def test_latency_memory_is_bounded() -> None:
    latency = Latency()
    for exponent in range(-300, 300):
        latency.add(10.0 ** (exponent / 10))
    assert len(latency._buckets) <= 1201
    assert latency.count == 600


def test_nothing_measured_is_nothing_shown() -> None:
    assert Latency().recent() == {}
    assert Latency().total() == {}


def test_the_clock_offset_is_that_of_the_shortest_round_trip() -> None:
    clock = ClockOffset()
    true_offset_ns = -7_000_000
    for there_ns, back_ns in ((9_000_000, 100_000), (200_000, 250_000), (50_000, 30_000_000)):
        sent_ns = 1_000_000_000
        clock.add(sent_ns, sent_ns + there_ns - true_offset_ns, sent_ns + there_ns + back_ns)
    assert abs(clock.offset_ns - true_offset_ns) <= clock.error_ns
    assert clock.error_ns == 225_000


@dataclass(frozen=True, kw_only=True, slots=True)
class Config:
    strength: float = parameter(1.0, "how much", low=0, high=2)
    number: int = parameter(3, low=1)
    name: str = parameter("x", live=False)
    on: bool = parameter(True)
    way: Literal["hold", "pass"] = parameter("hold")
    limit: float | None = parameter(None)


@pytest.mark.parametrize(
    ("name", "value", "taken"),
    [
        ("strength", "0.5", 0.5),
        ("strength", 2, 2.0),
        ("number", "4", 4),
        ("on", "off", False),
        ("on", True, True),
        ("way", "pass", "pass"),
        ("limit", "none", None),
        ("limit", "2.5", 2.5),
    ],
)
def test_values_are_taken_by_type(name: str, value: Any, taken: Any) -> None:
    result = getattr(change(Config(), name, value), name)
    assert result == taken
    assert type(result) is type(taken)


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("strength", 2.1, "out of range, 0 to 2"),
        ("strength", "nan", "out of range"),
        ("strength", True, "expected a number"),
        ("number", 1.5, "expected a whole number"),
        ("number", 0, "out of range, 1 to inf"),
        ("on", "maybe", "expected true or false"),
        ("way", "hodl", "did you mean 'hold'?"),
        ("name", "y", "fixed while the graph runs"),
        ("strenth", 1, "did you mean 'strength'?"),
    ],
)
def test_wrong_values_are_refused_in_words(name: str, value: Any, says: str) -> None:
    with pytest.raises(UsageError) as caught:
        change(Config(), name, value)
    assert says in str(caught.value)


def test_a_config_describes_itself() -> None:
    rows = {row["name"]: row for row in describe(Config)}
    assert rows["strength"]["high"] == 2
    assert rows["way"]["choices"] == ["hold", "pass"]
    assert rows["name"]["live"] is False
    assert build(Config, {"number": "9"}).number == 9


def test_what_hung_or_was_refused_is_a_counter() -> None:
    process = {"rss_mb": 1.0, "restarts": 1, "hangs": 2, "refused": 3, "reports_dropped": 4}
    text = exposition({"processes": {"face": process}}).decode()
    for name, value in (("restarts", 1), ("hangs", 2), ("refused", 3), ("reports_dropped", 4)):
        assert f'mien_process_{name}_total{{process="face"}} {value}.0' in text
