"""The governor on scripted figures: when it takes a level, when it gives one back."""

from __future__ import annotations

from typing import Any

import pytest

from commands.paths import GRAPHS
from engine.errors import UsageError
from engine.governor import CALM_S, Governor, Seen
from engine.graph import load, read
from engine.graph_spec import Graph

STEP_S = 0.5


class Run:
    """A governor of a small graph, and a clock that only moves when asked."""

    def __init__(self, by_hand: tuple[str, ...] = ()) -> None:
        self.graph = small()
        assert self.graph.governor is not None
        configs = {name: spec.config for name, spec in self.graph.nodes.items()}
        self.governor = Governor(self.graph.governor, configs, by_hand)
        self.now_s = 100.0
        self.sent = self.arrived = 0.0

    def go(self, seconds: float, age_ms: float = 50, loss: float = 0, load: float = 0.5) -> int:
        """Pictures at 30 a second for so long; the level afterwards."""
        for _ in range(round(seconds / STEP_S)):
            self.now_s += STEP_S
            self.sent += 30 * STEP_S
            self.arrived += 30 * STEP_S * (1 - loss)
            self.governor.look(
                self.now_s, Seen(round(self.sent), round(self.arrived), age_ms, load)
            )
        return self.governor.level

    def value(self, name: str) -> Any:
        return self.governor.wanted().get(("add", name))


def small(**changes: Any) -> Graph:
    governor = {
        "source": "numbers.video",
        "sink": "collect.video",
        "age_ms": 200,
        "loss": 0.2,
        "levels": [
            {"text": "adds two", "set": {"add": {"amount": 2}}},
            {"text": "adds two, waits", "set": {"add": {"wait_ms": 5}}},
            {"text": "adds nine", "set": {"add": {"amount": 9}}},
        ],
    } | changes
    return load(
        {
            "nodes": {
                "numbers": {"type": "tests.small_nodes:Numbers"},
                "add": {"type": "tests.small_nodes:Add", "inputs": {"frame": "numbers.video"}},
                "collect": {
                    "type": "tests.small_nodes:Collect",
                    "inputs": {"video": "add.video"},
                    "parameters": {"path": "unused"},
                },
            },
            "governor": governor,
        }
    )


def test_nothing_changes_while_pictures_come_in_time() -> None:
    run = Run()
    assert run.go(600, load=1.0) == 0 and run.value("amount") == 1


@pytest.mark.parametrize("trouble", [{"age_ms": 300.0}, {"loss": 0.4}])
def test_late_or_lost_pictures_take_one_level_after_the_other(trouble: dict[str, float]) -> None:
    run = Run()
    assert run.go(1.5, **trouble) == 0
    assert run.go(3, **trouble) == 1 and run.value("amount") == 2
    assert run.go(1, **trouble) == 1, "its effect is waited for"
    assert run.go(20, **trouble) == 3
    assert run.value("amount") == 9 and run.value("wait_ms") == 5
    assert "left out" in run.governor.why and run.governor.text == "adds nine"


def test_a_short_burst_changes_nothing() -> None:
    run = Run()
    for _ in range(20):
        run.go(1.5, age_ms=400)
        assert run.go(3) == 0


def test_levels_are_given_back_one_by_one_when_there_is_room() -> None:
    run = Run()
    run.go(20, age_ms=300)
    assert run.go(CALM_S - 1) == 3
    assert run.go(3) == 2 and run.value("amount") == 2
    assert run.go(2 * CALM_S + 6) == 0 and run.value("amount") == 1 and run.value("wait_ms") == 0


@pytest.mark.parametrize("no_room", [{"age_ms": 170.0}, {"loss": 0.17}, {"load": 0.97}])
def test_between_busy_and_calm_the_level_stays(no_room: dict[str, float]) -> None:
    run = Run()
    level = run.go(6, age_ms=300)
    assert level and run.go(300, **no_room) == level


def test_a_return_that_did_not_last_is_tried_again_ever_later() -> None:
    run = Run()
    run.go(4, age_ms=300)
    changes = 0
    for _ in range(20):  # ten minutes in which the full picture is always too much
        before = run.governor.level
        for _ in range(60):
            run.go(STEP_S, age_ms=50 if run.governor.level else 300)
            changes += before != run.governor.level
            before = run.governor.level
    assert 4 <= changes <= 14, changes
    run.go(600)
    assert run.governor.level == 0
    run.go(4, age_ms=300)
    assert run.go(CALM_S + 6) == 0, "once a return has lasted the wait is short again"


def test_without_pictures_or_while_something_starts_nothing_is_judged() -> None:
    run = Run()
    for _ in range(200):
        run.now_s += STEP_S
        assert not run.governor.look(run.now_s, Seen(0, 0, 900.0, 1.0))
    run.go(1, age_ms=300)
    run.governor.rest()
    assert run.go(1.5, age_ms=300) == 0


def test_an_age_that_cannot_be_is_no_trouble() -> None:
    run = Run()
    assert run.go(30, age_ms=-5000) == 0


def test_what_was_set_by_hand_is_left_alone() -> None:
    run = Run(by_hand=("add.wait_ms",))
    run.go(5, age_ms=300)
    run.governor.leave("add", "amount")
    assert run.go(60, age_ms=300) == 1, "no level is left that would change anything"
    assert run.governor.wanted() == {}
    assert run.governor.describe()["by_hand"] == ["add.amount", "add.wait_ms"]
    run.governor.forget_hands()
    assert run.go(60, age_ms=300) == 3 and run.value("amount") == 9


def test_a_level_can_be_held_and_released() -> None:
    run = Run()
    run.governor.hold(2, run.now_s)
    assert run.value("wait_ms") == 5
    assert run.go(60, age_ms=300) == 2 and run.go(60) == 2
    run.governor.hold(None, run.now_s)
    assert run.go(60) == 0
    for wrong in (4, -1, True, "1", 1.0):
        with pytest.raises(UsageError, match="from 0 to 3"):
            run.governor.hold(wrong, run.now_s)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"sink": "collect.vide"}, "governor.sink is no node.port"),
        ({"source": 3}, "governor.source is no node.port"),
        ({"age_ms": -1}, "governor.age_ms is a number"),
        ({"loss": "much"}, "governor.loss is a number"),
        ({"levels": []}, "levels"),
        ({"levels": ["light"]}, "level 1 should be a table"),
        ({"levels": [{"text": "", "set": {"add": {"amount": 2}}}]}, "level 1 needs text"),
        ({"levels": [{"text": "x", "set": {}}]}, "level 1 needs set"),
        ({"levels": [{"text": "x", "set": {"ad": {"amount": 2}}}]}, "no node 'ad'"),
        ({"levels": [{"text": "x", "set": {"add": 2}}]}, "add.parameter"),
        ({"levels": [{"text": "x", "set": {"add": {"amout": 2}}}]}, "did you mean 'amount'"),
        ({"levels": [{"text": "x", "set": {"add": {"amount": 200}}}]}, "out of range"),
        ({"levels": [{"text": "x", "set": {"collect": {"path": "y"}}}]}, "is fixed"),
        ({"speed": 1}, "unknown key 'speed'"),
    ],
)
def test_a_wrong_table_is_one_line(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match="graph") as caught:
        small(**changes)
    assert words in str(caught.value) and "\n" not in str(caught.value)


def test_the_live_graph_is_governed_and_a_lossless_one_is_not() -> None:
    raw = read(GRAPHS / "live.toml")
    plan = load(raw).governor
    assert plan is not None
    assert [level.values["browser"]["longest_px"] for level in plan.levels[-2:]] == [480, 320]
    assert load(raw, ["face_reader.every=2"]).given == {"face_reader.every"}
    with pytest.raises(UsageError, match="lossless"):
        load({**small().raw, "delivery": "lossless"})
