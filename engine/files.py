"""Writing so that nothing half-done is ever seen: beside the goal first, then renamed.

What is beside the goal has a name that nobody can guess, is made anew (``O_EXCL``) and never
through a link, so in a folder that others may write to, too, no other file can be hit. Only files
are replaced: a device, a pipe or a socket is refused. A link is replaced, what it points to stays.
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from engine.errors import MienError

_NEW: Final = (
    os.O_WRONLY
    | os.O_CREAT
    | os.O_EXCL
    | getattr(os, "O_NOFOLLOW", 0)  # neither is there on Windows
    | getattr(os, "O_BINARY", 0)
)
_KINDS: Final = {
    stat.S_IFIFO: "a pipe",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFSOCK: "a socket",
}
_NAME_MOST: Final = 255
"""bytes of a file's name on every usual file system"""


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


def unusual(path: Path) -> str:
    """What ``path`` is if no file, folder or free name: "a pipe", "a device", "a socket"; or ""."""
    try:
        return _KINDS.get(stat.S_IFMT(path.stat().st_mode), "")
    except OSError:
        return ""


def check_source(path: Path) -> None:
    """Refuse to read what may never end or never begin. Raises MienError."""
    if kind := unusual(path):
        raise MienError(f"{path} is {kind}, not a file; save what comes from it in a file first")


def make_folder(path: Path) -> None:
    """A folder and those that it lies in, where they aren't there yet. Raises MienError."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise MienError(f"cannot write to {path}: {error.strerror}") from None


def user_data() -> Path:
    """The folder of what Mien keeps for this user; it may not be there yet."""
    import platformdirs

    return platformdirs.user_data_path("mien", appauthor=False)


def check(path: Path) -> None:
    """Refuse now what could not be written at the end of a long work. Raises MienError."""
    begin(path).unlink()


def begin(path: Path) -> Path:
    """Check that ``path`` can be written and make its part, an empty file beside it.

    A part is open to nobody to whom the file that it replaces is closed. Raises MienError.
    """
    if path.is_dir():
        raise MienError(f"{path} is a folder; name a file in it")
    if kind := unusual(path) or ("a device" if _is_stream(path) else ""):
        raise MienError(f"{path} is {kind}, which nothing may replace; name a file")
    part = path.with_name(_part_name(path.name))
    try:
        older = path.stat() if path.exists() else None
        if older and not os.access(path, os.W_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        mode = 0o666 if older is None else older.st_mode & 0o666 | 0o600
        os.close(os.open(part, _NEW, mode))
    except OSError as error:
        raise explain(error, path) from None
    return part


def _is_stream(path: Path) -> bool:
    """Whether this is /dev/stdout or the like, which a shell may have led into a file."""
    places = (path.readlink(), path.parent.resolve()) if path.is_symlink() else ()
    return any(Path("/proc") in place.parents for place in places)


def _part_name(name: str) -> str:
    """Hidden, of a length that file systems take, and guessed by nobody."""
    ending = f".{secrets.token_hex(8)}.part"
    return "." + os.fsdecode(os.fsencode(name)[: _NAME_MOST - len(ending) - 1]) + ending


def complete(part: Path, path: Path) -> None:
    """Put the finished part in its place, whole or not at all. Raises MienError."""
    try:
        part.replace(path)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise explain(error, path) from None


@contextlib.contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
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
