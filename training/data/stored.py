"""What lies within a file, read when it is asked for: bytes, and single arrays of an npz."""

from __future__ import annotations

import tarfile
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

DAMAGE: Final = (
    OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile, tarfile.TarError, zlib.error
)  # fmt: skip
"""what `Stored.arrays` raises where something else lies there"""


@dataclass(frozen=True, slots=True)
class Stored:
    """A member of a tar file, as bytes that are sliced. Nothing stays open."""

    file: Path
    start: int
    size: int

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, part: slice) -> bytes:
        """Raises OSError."""
        first, last, _ = part.indices(self.size)
        with self.file.open("rb", buffering=0) as file:
            file.seek(self.start + first)
            return file.read(last - first)

    def arrays(self, names: Sequence[str] = ()) -> dict[str, Any]:
        """Of an npz, by name; all where none is named. Raises DAMAGE."""
        member = tarfile.TarInfo()
        member.offset_data, member.size = self.start, self.size
        with (
            tarfile.open(self.file, "r:") as archive,
            np.load(archive.extractfile(member), allow_pickle=False) as data,  # type: ignore[arg-type]
        ):
            return {name: data[name] for name in names or data.files}
