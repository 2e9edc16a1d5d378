"""The bench command's words, its reports, and the nodes that it measures with."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from commands.bench import hop as bench_hop
from commands.bench import live as bench_live
from commands.bench.report import check_writable, environment, write_json
from commands.paths import GRAPHS
from engine.clock import FakeClock
from engine.errors import MienError
from engine.graph import load
from engine.harness import run_node
from engine.node import Context
from engine.types import VideoFrame
from nodes.sinks.stopwatch import Stopwatch
from nodes.sources.pattern import Pattern
from run_engine import main


@pytest.mark.parametrize("section", ["", "hop", "live", "file"])
def test_help_teaches(section: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["bench", *section.split(), "--help"])
    assert ended.value.code == 0
    assert "Examples:" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["hop", "--seconds", "0"], "not a number from 0.001"),
        (["hop", "--seconds", "soon"], "not a number from 0.001"),
        (["hop", "--size", "wide"], "1280x720"),
        (["hop", "--rounds", "0"], "--rounds"),
        (["hop", "--rate", "-3"], "--rate"),
        (["live", "--size", "641x480"], "even"),
        (["live", "--fps", "0"], "--fps"),
        (["live", "--intensity", "2"], "--intensity"),
        (["live", "--warmup", "-1"], "--warmup"),
        (["live", "--emotion", "merry"], "merry"),
        (["speed"], "speed"),
    ],
)
def test_wrong_use_is_one_line_and_2(
    arguments: list[str], word: str, capsys: pytest.CaptureFixture[str]
) -> None:
    try:
        code = main(["bench", *arguments])
    except SystemExit as ended:
        code = int(ended.code or 0)
    assert code == 2
    assert word in capsys.readouterr().err.strip().splitlines()[-1]


def test_a_place_that_cannot_be_written_is_said_first(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    missing = tmp_path / "no" / "where.json"
    assert main(["bench", "hop", "--json", str(missing)]) == 1
    assert "does not exist; make it first" in capsys.readouterr().err
    with pytest.raises(MienError, match="is a folder; name a file in it"):
        check_writable(tmp_path)


def test_a_missing_browser_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("playwright")
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("MIEN_CHROMIUM", raising=False)
    assert main(["bench", "live"]) == 1
    assert "needs a Chromium" in capsys.readouterr().err


def test_a_missing_input_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "file", "--input", str(tmp_path / "no.mp4")]) == 1
    assert "no.mp4" in capsys.readouterr().err


def test_a_report_is_written_whole(tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    path.write_text("older")
    write_json(path, {"hardware": environment()["hardware"], "fps": 1.0})
    assert json.loads(path.read_text())["fps"] == 1.0
    with pytest.raises(ValueError, match="JSON compliant"):
        write_json(path, {"fps": float("nan")})
    assert json.loads(path.read_text())["fps"] == 1.0
    assert [item.name for item in tmp_path.iterdir()] == ["report.json"]


def test_the_hop_graph_is_right() -> None:
    graph = load(GRAPHS / "hop.toml", ["pattern.fps=60", "stopwatch.path=rows.npy"])
    assert set(graph.processes) == {"producer", "consumer"}


def test_figures_of_a_hop() -> None:
    """Pictures sent each 10 ms, each on its way for 2 ms, 1 ms of CPU on either side."""
    sent_ns = np.arange(200, dtype=np.int64) * 10_000_000
    cpu_ns = np.arange(200, dtype=np.int64) * 1_000_000
    rows = np.stack([sent_ns, sent_ns + 2_000_000, cpu_ns, cpu_ns], axis=1)
    figures = bench_hop._figures({"latency": [rows], "throughput": [rows]})
    assert figures["hop_ms"] == {"p50": 2.0, "p95": 2.0, "p99": 2.0}
    assert figures["throughput_fps"] == pytest.approx(100)
    assert figures["cpu_ms_per_picture"] == pytest.approx(2)
    assert figures["cpu_percent_at_rate"] == pytest.approx(20)
    with pytest.raises(MienError, match="too few"):
        bench_hop._figures({"latency": [rows[:1]], "throughput": [rows]})


def test_the_pattern_keeps_its_rate_and_ends() -> None:
    clock = FakeClock(1_000)
    frames = [
        message
        for _, message in run_node(
            Pattern,
            config={"width": 64, "height": 32, "fps": 10, "seconds": 1.0},
            context=Context(clock=clock),
        )
        if isinstance(message, VideoFrame)
    ]
    assert [frame.capture_ns - 1_000 for frame in frames[:10]] == [n * 10**8 for n in range(10)]
    assert len(frames) == 11, "the last one was due when the second was not yet over"
    assert frames[0].pixels.shape == (32, 64, 3)
    assert not np.array_equal(frames[0].pixels, frames[1].pixels)


def test_the_stopwatch_writes_every_arrival(tmp_path: Path) -> None:
    path = tmp_path / "rows.npy"
    clock = FakeClock(5_000_000)
    observed: list[float] = []
    context = Context(clock=clock, observe=lambda _, value: observed.append(value))
    pixels = np.zeros((2, 2, 3), np.uint8)
    messages = [
        {"frame": VideoFrame(capture_ns=n * 1_000_000, pixels=pixels, pts=n)} for n in range(3)
    ]
    run_node(Stopwatch, messages, config={"path": str(path)}, context=context)
    rows = np.load(path, allow_pickle=False)
    assert rows[:, :3].tolist() == [[n * 1_000_000, 5_000_000, n] for n in range(3)]
    assert observed == [5.0, 4.0, 3.0]
    assert [item.name for item in tmp_path.iterdir()] == ["rows.npy"]


def test_two_halves_of_a_peer_weigh_by_their_seconds() -> None:
    def half(seconds: float, p50: float) -> dict[str, object]:
        figures = {"p50": p50, "p95": p50, "p99": p50}
        keys = ("glass_to_glass_ms", "av_drift_ms", "av_drift_signed_ms", "until_received_ms")
        plain = {"seconds": seconds, "fps": p50, "sent_fps": 30.0, "drops": 1, "freezes": 2}
        return {**plain, **dict.fromkeys(keys, figures)}

    merged = bench_live._together([half(10, 100), half(30, 60)])
    assert merged["glass_to_glass_ms"]["p50"] == 70
    assert merged["fps"] == 70
    assert (merged["drops"], merged["freezes"]) == (2, 4)
