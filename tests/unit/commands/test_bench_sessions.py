"""`bench sessions` without a session: the knee, and a card's sessions predicted by its times."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import pytest

from commands.bench.cards import Cards
from commands.bench.predict import rates, sessions_of, times_of
from commands.bench.sessions import _knee
from commands.line import main

FAST = dict.fromkeys(rates(25), 1.0)


def test_the_knee_is_the_last_round_that_held() -> None:
    rounds: list[dict[str, Any]] = [
        {"mode": mode, "count": count, "held": held}
        for mode, count, held in (
            ("shared", 1, True), ("own", 1, True), ("shared", 2, True), ("own", 2, False),
            ("shared", 4, False),
        )
    ]  # fmt: skip
    assert (_knee(rounds, "shared"), _knee(rounds, "own"), _knee(rounds, "separate")) == (2, 1, 0)


def test_slower_networks_hold_fewer_and_batches_more() -> None:
    fast, slow = (
        sessions_of({name: times * ms for name, ms in FAST.items()}, 25, 1.0) for times in (1, 4)
    )
    assert fast > 2 * slow > 0
    assert sessions_of(FAST, 25, 0.0) > 2 * fast
    # A session asks 25 + 25 + 25 + 8.3 + 5 times a second: 1 ms each fill the card with 11.3.
    assert 8 <= fast <= 11
    assert sessions_of(FAST, 50, 1.0) < fast


def test_a_prediction_says_that_it_is_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    figures, report = tmp_path / "models.json", tmp_path / "out.json"
    rows = [
        {"network": name, "runtime": runtime, "p50_ms": ms}
        for name in rates(25)
        for runtime, ms in (("OpenVINO", 9.0), ("tensorrt_rtx 1.7, f16", 1.0))
    ]
    figures.write_text(json.dumps({"networks": rows}))
    assert times_of(figures)["skin"] == (1.0, "tensorrt_rtx 1.7, f16")
    asked = ["bench", "sessions", "--predict", str(figures), "--fps", "25", "--json", str(report)]
    assert main(asked) == 0
    assert "prediction, not a measurement" in capsys.readouterr().err
    assert json.loads(report.read_text())["prediction"] is True
    figures.write_text(json.dumps({"networks": rows[:2]}))
    assert main(asked) == 1 and "run bench models anew" in capsys.readouterr().err
    figures.write_text("{}")
    assert main(asked) == 1 and "holds no figures" in capsys.readouterr().err


def test_a_gpu_that_is_asked_for_and_not_there_is_said_in_a_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("serving.device.missing", lambda _: "no NVIDIA driver here")
    for asked in (["bench", "sessions", "--counts", "1"], ["serve", "--port", "0"]):
        assert main([*asked, "--device", "gpu"]) == 1
        (line,) = [line for line in capsys.readouterr().err.splitlines() if "--device" in line]
        assert line == "mien: --device gpu: no NVIDIA driver here"


def test_what_cards_do_is_asked_of_nvidia_smi(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = (
        "0, NVIDIA RTX 4090, 20, 1000\n1, NVIDIA T4, [N/A], [N/A]\n0, NVIDIA RTX 4090, 41, 1200\n"
    )
    program = tmp_path / "nvidia-smi"
    program.write_text(f"#!/bin/sh\necho $* > {tmp_path}/asked\nprintf '{told}'\nexec sleep 60\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    with Cards() as cards:
        while len(cards._rows["0"]) < 2:
            time.sleep(0.01)
    assert cards.figures() == [{"name": "NVIDIA RTX 4090", "percent": 30.5, "memory_mb": 1200.0}]
    assert "utilization.gpu" in (tmp_path / "asked").read_text()
    monkeypatch.setenv("PATH", str(tmp_path / "empty"))
    with Cards() as none:
        pass
    assert none.figures() == []
