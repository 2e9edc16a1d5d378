"""The files that a session needs to begin elsewhere, stored by the hash of their content."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from pathlib import Path, PurePosixPath
from typing import Final

from engine import files
from engine.errors import MienError

_DIGEST: Final = re.compile(r"[0-9a-f]{64}")
SETTINGS: Final = "settings.json"
PEOPLE: Final = "people"


def digest_of(data: bytes) -> str:
    """The SHA-256 of some content, in hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def travels(path: str) -> bool:
    """Whether a file of a session's folder goes with it: settings, and people it has enrolled."""
    parts = PurePosixPath(path).parts
    if parts == (SETTINGS,):
        return True
    return len(parts) == 2 and parts[0] == PEOPLE and not parts[1].startswith((".", "~"))


class ContentStore:
    """Contents in a folder, each once, for as long as somebody has it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._holders: Counter[str] = Counter()

    def has(self, digest: str) -> bool:
        return self._place(digest).exists()

    def hold(self, digest: str) -> None:
        """One more has this content, or will."""
        self._holders[self._checked(digest)] += 1

    def let_go(self, digest: str) -> None:
        """One less; what nobody has is gone."""
        self._holders[digest] -= 1
        if self._holders[digest] <= 0:
            del self._holders[digest]
            self._place(digest).unlink(missing_ok=True)

    def put(self, data: bytes) -> str:
        """Keep a content that somebody holds; its digest."""
        digest = digest_of(data)
        if self._holders[digest] > 0 and not self.has(digest):
            with files.atomic_write(self._place(digest)) as part:
                part.write_bytes(data)
        return digest

    def get(self, digest: str) -> bytes:
        """Raises MienError where it isn't there."""
        try:
            return self._place(digest).read_bytes()
        except OSError:
            raise MienError("a file that should have travelled isn't there any more") from None

    def _checked(self, digest: str) -> str:
        if not _DIGEST.fullmatch(digest):
            raise MienError(f"'{digest[:20]}' is no SHA-256")
        return digest

    def _place(self, digest: str) -> Path:
        return self._folder / self._checked(digest)
