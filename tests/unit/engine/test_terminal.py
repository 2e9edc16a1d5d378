"""Telling never fails the work: odd encodings, odd names, streams that are closed, full or left."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path
from typing import IO, Any

import pytest
from rich.table import Table

from engine import terminal

ROOT = Path(__file__).resolve().parents[3]


def told(code: str, **options: Any) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **options.pop("env", {})}
    command = [sys.executable, "-c", f"from engine import terminal; terminal.prepare(); {code}"]
    options = {"stdout": subprocess.PIPE, **options}
    return subprocess.run(
        command, env=environment, stderr=subprocess.PIPE, text=True, check=False, **options
    )


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "utf-8"])
def test_signs_that_an_encoding_lacks_are_told_as_numbers(encoding: str) -> None:
    said = told("print('✓', 'a\\udcff.mp4')", env={"PYTHONIOENCODING": encoding})
    assert said.returncode == 0, said.stderr
    assert said.stdout.endswith("a\\udcff.mp4\n")
    assert ("\\u2713" in said.stdout) == (encoding != "utf-8")


def test_doctor_has_signs_for_every_encoding() -> None:
    command = [sys.executable, str(ROOT / "run_engine.py"), "doctor", "--no-speed"]
    environment = {**os.environ, "PYTHONIOENCODING": "cp1252"}
    said = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert said.returncode in (0, 1) and not said.stderr
    assert said.stdout.startswith("+ python: ")


def test_a_reader_that_is_gone_is_no_failure() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as gone:
        said = told("print('x' * 100_000, flush=True); print('more')", stdout=gone)
    assert (said.returncode, said.stderr) == (0, "")


def test_a_full_disk_is_a_failure_of_what_was_to_be_told() -> None:
    if not Path("/dev/full").exists():
        pytest.skip("this system has no /dev/full")
    with Path("/dev/full").open("w") as full:
        graph = ["graph", str(ROOT / "graphs" / "live.toml"), "--json"]
        command = [sys.executable, str(ROOT / "run_engine.py"), *graph]
        said = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert said.returncode == 1
    assert "mien: what it says cannot be written: No space left on device\n" in said.stderr
    assert "Traceback" not in said.stderr


@pytest.mark.parametrize("number", [1, 2])
def test_closed_streams_stay_nothing(number: int, tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    code = f"f = open({str(kept)!r}, 'w'); print('a'); import sys; print('b', file=sys.stderr)"
    said = told(code, preexec_fn=lambda: os.close(number))
    assert said.returncode == 0, said.stderr
    assert kept.read_text() == "", "what is told went into the file that was opened first"


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("stream", [io.StringIO(), _Terminal()])
def test_names_are_told_whole_and_as_they_are(
    stream: IO[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    monkeypatch.setattr(sys, "stdout", stream)
    name = "[/x] " + "a_long_name" * 9
    table = Table(box=None)
    table.add_column("parameter", no_wrap=True, overflow="fold")
    table.add_row(name)
    out = terminal.console()
    out.print(f"{name}: [bold]")
    if not stream.isatty():
        out.print(table)
    stream.seek(0)
    text = stream.read()
    assert text.startswith(f"{name}: [bold]\n")
    assert stream.isatty() or text.count(name) == 2
