"""Run folders: those of living engines are left alone; nothing but run folders is removed."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest

from engine.errors import MienError
from engine.folders import RunFolder, base_folder, running
from engine.transport import shm

GONE = 2**22 + 1  # above any process number of Linux


@pytest.fixture(autouse=True)
def runtime(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    return tmp_path


def test_an_engine_whose_process_cannot_be_seen_keeps_its_folder(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As in two containers that share a runtime folder: the other's number says nothing here."""
    monkeypatch.setattr("os.getpid", lambda: GONE)
    first = RunFolder()
    (first.path / "control.sock").touch()
    ring = shm.Ring.create(first.name, 1, 10)
    second = RunFolder()  # with the same process number, too
    assert (first.path / "control.sock").exists()
    assert ring.path.exists()
    assert set(running()) == set(running(GONE)) == {first.path, second.path}
    second.release()
    assert running() == [first.path]
    assert ring.path.exists()
    first.release()
    assert not ring.path.exists()
    assert not list(base_folder().iterdir())


def test_what_a_dead_engine_left_goes_even_if_its_number_lives_again() -> None:
    dead = RunFolder()
    ring = shm.Ring.create(dead.name, 1, 10)
    assert dead._lock is not None
    os.close(dead._lock)  # as the kernel does when a process ends
    assert running() == []
    RunFolder().release()
    assert not dead.path.exists()
    assert not ring.path.exists()


def test_nothing_but_run_folders_is_removed(runtime: Path) -> None:
    precious = runtime / "precious"
    (precious / "1-00000000").mkdir(parents=True)
    base = base_folder()
    (base / "123").mkdir()
    (base / "notes").mkdir()
    (base / "7-0123abcd").symlink_to(precious)
    RunFolder().release()
    assert {path.name for path in base.iterdir()} == {"123", "notes", "7-0123abcd"}
    assert (precious / "1-00000000").exists()


def test_a_link_in_the_place_of_the_folder_is_refused(runtime: Path) -> None:
    precious = runtime / "precious"
    (precious / "1-00000000").mkdir(parents=True)
    (runtime / f"mien-{os.getuid()}").symlink_to(precious)
    with pytest.raises(MienError, match="is no folder to write to"):
        RunFolder()
    assert (precious / "1-00000000").exists()


def test_the_folder_is_open_to_nobody_else(runtime: Path) -> None:
    folder = runtime / f"mien-{os.getuid()}"
    folder.mkdir(mode=0o755)
    assert base_folder().stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("set_to", ["", "none", "relative/place"])
def test_without_a_runtime_folder_it_is_the_temporary_one(
    runtime: Path, monkeypatch: pytest.MonkeyPatch, set_to: str
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(runtime))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(runtime / "none") if set_to == "none" else set_to)
    assert base_folder() == runtime / f"mien-{os.getuid()}"
