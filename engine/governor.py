"""What a graph does without while the machine can't keep up: levels, one step at a time.

A level lays values over parameters. The governor takes the next one when pictures have been late or
lost for a while, and goes back when there has been room for longer; a return that didn't last makes
the next one wait twice as long.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from engine.errors import UsageError
from engine.parameters import change

WINDOW_S: Final = 2.0
"""over how long rates are taken"""
SETTLE_S: Final = 3.0
"""after a change, figures of the time before it are still about"""
BUSY_S: Final = 2.0
"""how long pictures are late or lost before the next level is taken"""
CALM_S: Final = 10.0
"""how long there is room before a level is given back, at first"""
CALM_MOST_S: Final = 320.0
RELAPSE_S: Final = 30.0
"""a return that is undone within this time didn't last"""
ROOM: Final = 0.7
"""there is room where age and loss are below this share of what is allowed"""
LOAD_WITH_ROOM: Final = 0.9
"""and where the machine's processors are busy for less than this share of the time"""
LEAST_HZ: Final = 1.0
"""fewer pictures a second than this from the source say nothing"""

Values = Mapping[str, Mapping[str, Any]]
"""by node, by parameter"""
_KEYS = ("source", "sink", "age_ms", "loss", "levels")
_LEVEL_KEYS = ("text", "set")


@dataclass(frozen=True, slots=True)
class Level:
    """What is done without, in words, and how."""

    text: str
    values: Values


@dataclass(frozen=True, slots=True)
class Plan:
    """A graph's [governor] table: whose pictures are watched, what is allowed, the levels."""

    source: str
    """node.port that pictures come from"""
    sink: str
    """node.port that they go to"""
    age_ms: float
    """half of the pictures may be this old at the sink"""
    loss: float
    """share of the source's pictures that may never reach the sink"""
    levels: tuple[Level, ...]


@dataclass(frozen=True, slots=True)
class Seen:
    """Counts since the start, the age of late and the load of the whole machine."""

    sent: int
    arrived: int
    age_ms: float | None
    load: float
    """0 to 1: the share of time that the processors were busy"""


def read_plan(table: Any, configs: Mapping[str, Any], edges: Iterable[tuple[str, str]]) -> Plan:
    """Check a [governor] table against the nodes' Configs and the edges. Raises UsageError."""
    _keys(table, _KEYS, "[governor]")
    edges = set(edges)
    known = {"source": {origin for origin, _ in edges}, "sink": {goal for _, goal in edges}}
    for key, names in known.items():
        if table.get(key) not in names:
            raise UsageError(f"governor.{key} is no node.port that is joined: {table.get(key)!r}")
    age_ms = _number(table, "age_ms", 200.0, 60_000.0)
    loss = _number(table, "loss", 0.2, 1.0)
    rows = table.get("levels")
    if not isinstance(rows, list) or not rows:
        raise UsageError("the governor needs [[governor.levels]]")
    levels = tuple(_level(row, number, configs) for number, row in enumerate(rows, 1))
    return Plan(table["source"], table["sink"], age_ms, loss, levels)


class Governor:
    """Which level holds. It only decides: ``look`` at figures, then see to what is ``wanted``."""

    def __init__(self, plan: Plan, configs: Mapping[str, Any], by_hand: Iterable[str] = ()) -> None:
        """``by_hand``: node.parameter names that are left alone."""
        self.plan = plan
        self.level = 0
        self.held = False
        self.why = ""
        """what was seen when the level was last changed"""
        self._by_hand = set(by_hand)
        self._full = {
            name: getattr(configs[name[0]], name[1])
            for level in plan.levels
            for name in _names(level)
        }
        self._counts: deque[tuple[float, int, int]] = deque()
        self._changed_s = -SETTLE_S
        self._returned_s: float | None = None
        """when a level was given back, while that may still be undone"""
        self._busy_since_s: float | None = None
        self._calm_since_s: float | None = None
        self._calm_s = CALM_S

    def look(self, now_s: float, seen: Seen) -> bool:
        """Whether the level changes with these figures; call it about twice a second."""
        self._counts.append((now_s, seen.sent, seen.arrived))
        while len(self._counts) > 1 and self._counts[1][0] <= now_s - WINDOW_S:
            self._counts.popleft()
        then_s, sent, arrived = self._counts[0]
        sent, arrived = seen.sent - sent, seen.arrived - arrived
        passed_s = now_s - then_s
        if passed_s < WINDOW_S / 2 or sent < LEAST_HZ * passed_s:
            self._busy_since_s = self._calm_since_s = None
            return False
        loss = min(max(1 - arrived / sent, 0.0), 1.0)
        age_ms = max(seen.age_ms or 0.0, 0.0)
        busy = age_ms > self.plan.age_ms or loss > self.plan.loss
        calm = (
            age_ms < ROOM * self.plan.age_ms
            and loss < ROOM * self.plan.loss
            and seen.load < LOAD_WITH_ROOM
        )
        self._busy_since_s = _since(self._busy_since_s, busy, now_s)
        self._calm_since_s = _since(self._calm_since_s, calm, now_s)
        if self._returned_s is not None and now_s - self._returned_s > RELAPSE_S:
            self._returned_s, self._calm_s = None, CALM_S
        if self.held or now_s - self._changed_s < SETTLE_S:
            return False
        if busy and now_s - (self._busy_since_s or 0.0) >= BUSY_S:
            if (lighter := self._next(1)) is None:
                return False
            if self._returned_s is not None:
                self._calm_s = min(2 * self._calm_s, CALM_MOST_S)
                self._returned_s = None
            return self._take(lighter, now_s, _words(age_ms, loss))
        if calm and self.level and now_s - (self._calm_since_s or 0.0) >= self._calm_s:
            self._returned_s = now_s
            return self._take(self._next(-1) or 0, now_s, "there is room again")
        return False

    def rest(self) -> None:
        """Something is being started: what is counted meanwhile says nothing."""
        self._counts.clear()
        self._busy_since_s = self._calm_since_s = None

    def hold(self, level: Any, now_s: float) -> None:
        """Keep to a level; None: choose again. Raises UsageError."""
        if level is None:
            self.held = False
            return
        if type(level) is not int or not 0 <= level <= len(self.plan.levels):
            raise UsageError(f"a level is a number from 0 to {len(self.plan.levels)}, or null")
        self.held = True
        if level != self.level:
            self._take(level, now_s, "chosen by hand")

    def leave(self, node: str, parameter: str) -> None:
        """Somebody has set this by hand: it is theirs from now on."""
        self._by_hand.add(f"{node}.{parameter}")

    def forget_hands(self) -> None:
        """Everything is as delivered again: nothing is anybody's."""
        self._by_hand.clear()

    @property
    def text(self) -> str:
        """What is done without; "" for nothing."""
        return self.plan.levels[self.level - 1].text if self.level else ""

    def wanted(self) -> dict[tuple[str, str], Any]:
        """The value of each (node, parameter) that the governor may set, as the level has it."""
        values = dict(self._full)
        for level in self.plan.levels[: self.level]:
            values |= {(node, name): level.values[node][name] for node, name in _names(level)}
        return {name: value for name, value in values.items() if self._may(name)}

    def describe(self) -> dict[str, Any]:
        """Plain data for the metrics and the page."""
        governed = {".".join(name) for name in self._full}
        return {
            "level": self.level,
            "text": self.text,
            "levels": [level.text for level in self.plan.levels],
            "held": self.held,
            "why": self.why,
            "by_hand": sorted(governed & self._by_hand),
        }

    def _next(self, step: int) -> int | None:
        """The nearest level on that side that changes anything."""
        at = self.level + step
        while 0 < at <= len(self.plan.levels):
            if any(self._may(name) for name in _names(self.plan.levels[at - 1])):
                return at
            at += step
        return None

    def _may(self, name: tuple[str, str]) -> bool:
        return ".".join(name) not in self._by_hand

    def _take(self, level: int, now_s: float, why: str) -> bool:
        self.level, self.why, self._changed_s = level, why, now_s
        self._busy_since_s = self._calm_since_s = None
        return True


def _names(level: Level) -> list[tuple[str, str]]:
    return [(node, name) for node, values in level.values.items() for name in values]


def _since(before_s: float | None, holds: bool, now_s: float) -> float | None:
    if not holds:
        return None
    return now_s if before_s is None else before_s


def _words(age_ms: float, loss: float) -> str:
    return f"pictures are {age_ms:.0f} ms old, {loss:.0%} of them are left out"


def _keys(table: Any, allowed: tuple[str, ...], where: str) -> None:
    if not isinstance(table, Mapping):
        raise UsageError(f"{where} should be a table")
    for key in table:
        if key not in allowed:
            raise UsageError(f"unknown key '{key}' in {where}; there is {', '.join(allowed)}")


def _number(table: Mapping[str, Any], key: str, default: float, most: float) -> float:
    value = table.get(key, default)
    if type(value) not in (int, float) or not 0 < value <= most:
        raise UsageError(f"governor.{key} is a number above 0, {most:g} at most, not {value!r}")
    return float(value)


def _level(row: Any, number: int, configs: Mapping[str, Any]) -> Level:
    where = f"governor level {number}"
    _keys(row, _LEVEL_KEYS, where)
    text, values = row.get("text"), row.get("set")
    if not isinstance(text, str) or not text.strip():
        raise UsageError(f"{where} needs text: what is done without")
    if not isinstance(values, Mapping) or not values:
        raise UsageError(f"{where} needs set = {{ node.parameter = value }}")
    checked: dict[str, dict[str, Any]] = {}
    for node, row_values in values.items():
        if node not in configs:
            raise UsageError(f"{where}: no node '{node}'")
        if not isinstance(row_values, Mapping) or not row_values:
            raise UsageError(f"{where}: write it as set = {{ {node}.parameter = value }}")
        checked[node] = {
            name: getattr(change(configs[node], name, value, f"{node}."), name)
            for name, value in row_values.items()
        }
    return Level(text, checked)
