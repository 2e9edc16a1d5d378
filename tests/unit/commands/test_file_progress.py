"""The progress of `file`: a bar for people, a plain line now and then for logs."""

from __future__ import annotations

import sys
from typing import Any

import pytest

from commands.file import progress as file_progress
from commands.file.progress import Progress
from engine.roles import Roles

ROLES = Roles({"nodes": ["writer", "compositor"]})


def figures(done: int) -> dict[str, Any]:
    return {
        "nodes": {"writer": {"counters": {"frames_written": done}}, "compositor": {"fps_out": 40.0}}
    }


class Clock:
    now_s = 100.0

    @classmethod
    def monotonic(cls) -> float:
        return cls.now_s


def test_a_line_every_ten_seconds(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(file_progress, "time", Clock)
    with Progress("out.mp4", 1000, ROLES) as progress:
        for second in range(25):
            Clock.now_s = 100.0 + second
            progress.tick(figures(second * 20))
    lines = capsys.readouterr().err.splitlines()
    assert lines == [
        "out.mp4: 200/1000 frames (20 %), 40 fps, about 40 s left",
        "out.mp4: 400/1000 frames (40 %), 40 fps, about 30 s left",
    ]


def test_what_is_left_does_not_count_how_long_the_start_took(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(file_progress, "time", Clock)
    Clock.now_s = 0.0
    with Progress("out.mp4", 301, ROLES) as progress:
        for now_s, done in ((9.0, 1), (10.0, 11), (20.5, 11)):
            Clock.now_s = now_s
            progress.tick(figures(done))
    assert "about 29 s left" in capsys.readouterr().err.splitlines()[0]


def test_nothing_is_said_of_the_time_left_by_one_picture(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(file_progress, "time", Clock)
    Clock.now_s = 0.0
    with Progress("out.mp4", 300, ROLES) as progress:
        Clock.now_s = 10.0
        progress.tick(figures(1))
    assert capsys.readouterr().err == "out.mp4: 1/300 frames (0 %), 40 fps\n"


def test_more_frames_than_expected(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(file_progress, "time", Clock)
    Clock.now_s = 0.0
    with Progress("out.mp4", 0, ROLES) as progress:
        Clock.now_s = 11.0
        progress.tick(figures(50))
    assert "(100 %)" in capsys.readouterr().err


def test_a_bar_on_a_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    monkeypatch.setenv("FORCE_COLOR", "1")
    with Progress("out.mp4", 100, ROLES) as progress:
        progress.tick(figures(30))
        assert progress._bar is not None
        assert progress._bar.tasks[0].completed == 30
        progress.tick(figures(130))
        assert progress._bar.tasks[0].total == 130
    assert "out.mp4" in capsys.readouterr().err
