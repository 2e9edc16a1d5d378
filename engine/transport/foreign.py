"""What another host says of its clock and its figures, held to the form that others count on."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, Final

from engine.errors import MienError

MOST: Final = 1_000
"""entries of a table, letters of a text"""
FARTHEST: Final = 1 << 62
"""what clocks in ns and counters stay within, either side of 0"""

Check = Callable[[Any], bool]


def number(value: Any) -> bool:
    """Whether it is a finite number that counters and clocks can be."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return math.isfinite(value) and abs(value) < FARTHEST


def text(value: Any) -> bool:
    return isinstance(value, str) and len(value) <= MOST


def _plain(value: Any) -> bool:
    return value is None or isinstance(value, bool) or number(value) or text(value)


def _table(check: Check) -> Check:
    """Whether it is a table by name of what ``check`` takes."""

    def checked(value: Any) -> bool:
        return (
            isinstance(value, dict)
            and len(value) <= MOST
            and all(text(key) and check(item) for key, item in value.items())
        )

    return checked


def _form(**checks: Check) -> Check:
    """Whether it has all of these, and beside them plain values alone."""

    def checked(value: Any) -> bool:
        return (
            isinstance(value, dict)
            and len(value) <= MOST
            and checks.keys() <= value.keys()
            and all(text(key) and checks.get(key, _plain)(item) for key, item in value.items())
        )

    return checked


def _status(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 2 and all(map(text, value))


def _flag(value: Any) -> bool:
    return isinstance(value, bool)


_NUMBERS: Final = _table(number)
_NODE: Final = _form(
    status=_status,
    fps_in=number,
    fps_out=number,
    count_in=number,
    count_out=number,
    process_ms=_NUMBERS,
    age_ms=_NUMBERS,
    errors=number,
    restarts=number,
    gauges=_table(_plain),
    counters=_NUMBERS,
    observed=_table(_NUMBERS),
    total=_form(
        process_ms=_NUMBERS,
        age_ms=_NUMBERS,
        end_to_end_ms=_NUMBERS,
        observed=_table(_NUMBERS),
    ),
    type=text,
    process=text,
    sink=_flag,
    queue=number,
)
_FIGURES: Final[Mapping[str, Check]] = {
    "nodes": _table(_NODE),
    "edges": _table(_NUMBERS),
    "processes": _table(
        _form(rss_mb=number, cpu_percent=number, restarts=number, hangs=number, state=text)
    ),
}


def clock_of(said: Any) -> int:
    """Another host's monotonic time [ns]. Raises MienError where it is none."""
    if not isinstance(said, int) or not number(said):
        raise MienError("its clock is no number of nanoseconds")
    return said


def figures_of(said: Any) -> dict[str, Any]:
    """Another host's figures: nodes, edges and processes. Raises MienError where they are none."""
    if not isinstance(said, dict):
        raise MienError("its figures are no table")
    for name, check in _FIGURES.items():
        if not check(said.get(name)):
            raise MienError(f"its figures of {name} have another form")
    return {name: said[name] for name in _FIGURES}
