"""Ctrl-C, SIGTERM and a closed terminal, at any moment: one line, one code, nothing left."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from commands.doctor.speed import drawn_face
from tests.made_media import make_video

ENGINE = Path(__file__).resolve().parents[2] / "run_engine.py"
INT, TERM, HUP = signal.SIGINT, signal.SIGTERM, signal.SIGHUP
IMPORTED = "import time:"
WEIGHTS = "weights default: "


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    """Of a short name: the engine's sockets, which lie in it, have no room for a long one."""
    with tempfile.TemporaryDirectory(prefix="m") as folder:
        yield Path(folder)


def end(
    folder: Path,
    number: signal.Signals,
    when: Callable[[str], bool],
    *command: str | Path,
    nohup: bool = False,
) -> tuple[int, str]:
    """Send a signal to a command as soon as it says a line (or has imported a module) of which
    ``when`` is true; its code, and what it said, but not which weights it uses. Whoever runs these
    tests under nohup doesn't hand that on."""
    before = signal.signal(HUP, signal.SIG_IGN if nohup else signal.SIG_DFL)
    try:
        process = subprocess.Popen(
            [sys.executable, "-X", "importtime", str(ENGINE), *map(str, command)],
            cwd=folder,
            env={**os.environ, "XDG_RUNTIME_DIR": str(folder), "TMPDIR": str(folder)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
    finally:
        signal.signal(HUP, before)
    assert process.stdout is not None
    stop = threading.Timer(60, process.kill)
    stop.start()
    sent, said = False, []
    try:
        for line in process.stdout:
            if not sent and when(line):
                process.send_signal(number)
                sent = True
            if not line.startswith((IMPORTED, WEIGHTS)):
                said.append(line)
        return process.wait(), "".join(said)
    finally:
        stop.cancel()
        process.kill()
        process.wait()
        process.stdout.close()


def imported(module: str) -> Callable[[str], bool]:
    return lambda line: line.startswith(IMPORTED) and line.split("|")[-1].strip() == module


@pytest.mark.parametrize(
    ("module", "number"), [("argparse", INT), ("engine.supervisor", TERM), ("uvloop", INT)]
)
def test_a_start_that_is_interrupted_is_one_line_and_130(
    module: str, number: signal.Signals, tmp_path: Path
) -> None:
    code, said = end(tmp_path, number, imported(module), "live", "--port", "0")
    assert (code, said) == (130, "mien: interrupted\n")
    assert not [path for path in tmp_path.rglob("*") if not path.is_dir()]


def test_an_engine_whose_terminal_is_closed_leaves_nothing(tmp_path: Path) -> None:
    code, said = end(tmp_path, HUP, lambda line: "running:" in line, "live", "--port", "0")
    assert code == 0, said
    assert said.count("\n") == 1, said
    assert not [path for path in tmp_path.rglob("*") if not path.is_dir()]


@pytest.mark.parametrize(
    ("module", "number"), [("numpy", TERM), ("av", INT), ("ai_edge_litert.interpreter", HUP)]
)
def test_a_file_that_is_interrupted_leaves_nothing(
    module: str, number: signal.Signals, tmp_path: Path
) -> None:
    make_video(tmp_path / "in.mp4", [drawn_face(256, 256)] * 12)
    code, said = end(tmp_path, number, imported(module), "file", "in.mp4", "out.mp4")
    assert code == 130, said
    assert said in ("mien: interrupted\n", "mien: interrupted; out.mp4 was not written\n")
    assert [path.name for path in tmp_path.iterdir()] == ["in.mp4"]


def test_a_command_under_nohup_outlives_its_terminal(tmp_path: Path) -> None:
    graph = ENGINE.parent / "graphs" / "live.toml"
    when = imported("rich.console")
    code, said = end(tmp_path, HUP, when, "graph", graph, "--check", nohup=True)
    assert code == 0, said
    assert "no mistakes" in said
