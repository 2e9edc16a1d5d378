"""The folders of runs: each locked for as long as its engine lives, swept up by the next one."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from engine.errors import MienError
from engine.transport import shm

_NAME = re.compile(r"\d+-[0-9a-f]{8}\Z")
_OWN = "set XDG_RUNTIME_DIR to a folder of your own"


class RunFolder:
    """A new run's folder, after sweeping up what dead runs left. Raises MienError.

    Whoever can lock a folder knows that its engine is gone. Process numbers would not tell: in
    another container they mean other processes.
    """

    def __init__(self) -> None:
        base = base_folder()
        self.name = f"{os.getpid()}-{secrets.token_hex(4)}"
        self.path = base / self.name
        with alone(base):
            for path in _runs(base):
                if (lock := _lock(path)) is not None:
                    _remove(path)
                    os.close(lock)
            self.path.mkdir(mode=0o700)
            self._lock = _lock(self.path)

    def release(self) -> None:
        """Leave nothing behind."""
        _remove(self.path)
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None


def base_folder() -> Path:
    """The folder of all runs of this user, open to nobody else. Raises MienError."""
    parent = Path(os.environ.get("XDG_RUNTIME_DIR", ""))
    if not (parent.is_absolute() and os.access(parent, os.W_OK | os.X_OK)):
        parent = Path(tempfile.gettempdir())
    folder = parent / f"mien-{os.getuid()}"
    try:
        with contextlib.suppress(FileExistsError):
            folder.mkdir(mode=0o700)
        descriptor = _open(folder)
    except OSError as error:
        raise MienError(f"{folder} is no folder to write to ({error.strerror}); {_OWN}") from None
    try:
        if os.fstat(descriptor).st_uid != os.getuid():
            raise MienError(f"{folder} belongs to somebody else; {_OWN}")
        os.fchmod(descriptor, 0o700)
    finally:
        os.close(descriptor)
    return folder


def running(pid: int | None = None) -> list[Path]:
    """The folders of this user's runs that are alive (or those of one process), oldest first."""
    base = base_folder()
    alive = []
    with alone(base):
        for path in _runs(base):
            if (lock := _lock(path)) is not None:
                os.close(lock)
            elif pid is None or path.name.startswith(f"{pid}-"):
                alive.append(path)
    return sorted(alive, key=lambda path: path.lstat().st_mtime)


def _runs(base: Path) -> list[Path]:
    return [path for path in base.iterdir() if _NAME.match(path.name)]


def _open(folder: Path) -> int:
    """A descriptor of a folder, not of what a link in its place points to."""
    return os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)


def _lock(folder: Path) -> int | None:
    """The lock of a folder, None where another has it (or none is to be had)."""
    try:
        descriptor = _open(folder)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        return None
    return descriptor


@contextlib.contextmanager
def alone(base: Path) -> Iterator[None]:
    """No other engine looks into the folder meanwhile, or finds one that isn't locked yet."""
    descriptor = _open(base)
    try:
        with contextlib.suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _remove(path: Path) -> None:
    shm.sweep(path.name)
    shutil.rmtree(path, ignore_errors=True)
