"""`mien.run`: graphs from Python, in their own processes or in this one, for a time."""

from __future__ import annotations

from pathlib import Path

import pytest

import mien
from tests.loopback.small_graph import graph


@pytest.mark.parametrize("in_process", [False, True])
def test_a_graph_without_an_end_runs_for_its_seconds(tmp_path: Path, in_process: bool) -> None:
    events: list[tuple[str, str]] = []
    figures = mien.run(
        graph(tmp_path),
        ["numbers.period_ms=5"],
        seconds=0.6,
        in_process=in_process,
        on_event=lambda level, text: events.append((level, text)),
    )
    assert set(figures["nodes"]) == set(graph(tmp_path)["nodes"])
    assert figures["nodes"]["numbers"]["count_out"] > 0
    assert (tmp_path / "out.txt").read_text()
    assert [text for level, text in events if level == "error"] == []


async def test_where_a_loop_runs_it_is_awaited(tmp_path: Path) -> None:
    with pytest.raises(mien.MienError, match=r"await mien\.run_async"):
        mien.run(graph(tmp_path))
    raw = graph(tmp_path)
    raw["nodes"]["numbers"]["parameters"] |= {"count": 3, "period_ms": 0}
    await mien.run_async(raw | {"delivery": "lossless"}, in_process=True)
    assert len((tmp_path / "out.txt").read_text().splitlines()) == 7  # and the end


def test_what_is_wrong_with_a_graph_is_said(tmp_path: Path) -> None:
    with pytest.raises(mien.UsageError, match="no node 'nummers'; did you mean 'numbers'"):
        mien.run(graph(tmp_path), ["nummers.count=1"])
    with pytest.raises(mien.MienError, match="no such graph file"):
        mien.run(tmp_path / "none.toml")
