"""What bench governor makes of the engine's figures."""

from __future__ import annotations

import argparse
import xml.etree.ElementTree as ET
from typing import Any

import pytest

from commands.bench.governor import Row, add_arguments, draw, row_of

ROLES = {"browser": "browser", "out": "out"}


def metrics(arrived: int, level: int = 0, **observed: Any) -> dict[str, Any]:
    return {
        "edges": {"compositor.video->out.video": {"received": arrived}, "a.b->out.raw": {}},
        "nodes": {
            "browser": {"gauges": {"input_fps": 29.5}},
            "out": {"observed": observed},
        },
        "governor": {"level": level},
    }


def test_rates_are_those_between_two_looks() -> None:
    first = row_of(metrics(100), ROLES, None, 0, 0, 1.0)
    assert first["fps"] == first["age_ms"] == 0
    row = row_of(metrics(150, 2, capture_to_send={"p50": 80.0}), ROLES, first, 1, 4, 3.0)
    assert row == {
        "at_s": 3.0, "step": 1, "load": 4, "arrived": 150, "fps": 25.0, "camera_fps": 29.5,
        "age_ms": 80.0, "level": 2,
    }  # fmt: skip


def test_the_picture_has_a_curve_for_each_figure_and_a_line_for_each_step() -> None:
    rows: list[Row] = []
    for second in range(6):
        before = rows[-1] if rows else None
        rows.append(row_of(metrics(30 * second), ROLES, before, second // 2, second, float(second)))
    drawn = draw(rows)
    root = ET.fromstring(drawn)
    assert len(root.findall("{*}polyline")) == 5
    assert drawn.count("stroke-dasharray") == 2


@pytest.mark.parametrize("wrong", ["", "a", "1,-2", "1,,2", "99"])
def test_wrong_loads_are_refused(wrong: str, capsys: pytest.CaptureFixture[str]) -> None:
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    assert parser.parse_args(["--loads", "0,3,0"]).loads == [0, 3, 0]
    with pytest.raises(SystemExit):
        parser.parse_args(["--loads", wrong])
    assert "numbers from 0 to 64" in capsys.readouterr().err
