"""Writing so that nothing half-done is ever seen: beside the goal first, then renamed."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator
from pathlib import Path

from engine.errors import MienError


def part_of(path: Path) -> Path:
    """Where ``path`` is written before it is whole: hidden, in the same folder."""
    return path.with_name(f".{path.name}.part")


def explain(error: OSError, path: Path | str) -> MienError:
    """One line for an operating system's refusal to write."""
    number = error.errno
    if number in (errno.ENOSPC, errno.EDQUOT):
        return MienError(f"no space left for {path}; free some, or write elsewhere")
    if number == errno.EFBIG:
        return MienError(f"{path} grew past the size that is allowed here (ulimit -f)")
    if number in (errno.EACCES, errno.EPERM, errno.EROFS):
        return MienError(f"{path} cannot be written: no permission; choose another place")
    if number in (errno.ENOENT, errno.ENOTDIR):
        return MienError(f"the folder of {path} does not exist; make it first")
    return MienError(f"{path} cannot be written: {error.strerror or error}")


def make_folder(path: Path) -> None:
    """A folder and those that it lies in, where they aren't there yet. Raises MienError."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise MienError(f"cannot write to {path}: {error.strerror}") from None


def begin(path: Path) -> Path:
    """Check that ``path`` can be written and make its part. Raises MienError."""
    if path.is_dir():
        raise MienError(f"{path} is a folder; name a file in it")
    if path.exists() and not os.access(path, os.W_OK):
        raise MienError(f"{path} cannot be written: no permission; choose another place")
    part = part_of(path)
    try:
        part.write_bytes(b"")
    except OSError as error:
        raise explain(error, path) from None
    return part


def complete(part: Path, path: Path) -> None:
    """Put the finished part in its place, whole or not at all. Raises MienError."""
    try:
        part.replace(path)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise explain(error, path) from None


@contextlib.contextmanager
def whole(path: Path) -> Iterator[Path]:
    """A part to write; in place when the block ends well, gone when it doesn't."""
    part = begin(path)
    try:
        yield part
    except OSError as error:
        part.unlink(missing_ok=True)
        raise explain(error, path) from None
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    complete(part, path)
