"""Local media as bytes: whatever a file is called or says, nothing but that file is read."""

from __future__ import annotations

import contextlib
import os
import re
from pathlib import Path
from typing import Any, BinaryIO, Final

from engine import files
from engine.errors import MienError

# FFmpeg may open no file or address by itself, such as those that a playlist names.
ALONE: Final = {"protocol_whitelist": "none"}
_LFS: Final = b"version https://git-lfs.github.com/spec/"
# High-efficiency pictures (ISO 23008-12): FFmpeg takes one tile of many for the whole.
_HEIC: Final = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx")
_PLAYLIST: Final = re.compile(
    rb"\s*(#EXTM3U|ffconcat version|\[playlist\]|v=0\s|(<\?xml[^>]*>\s*)?<(MPD|smil|asx)\b)", re.I
)


class LocalFile:
    """A file for PyAV to read, closed with whoever reads it last.

    PyAV gets no name from it but the suffix, so that ``a:b.mp4`` is no address and ``%03d.png`` no
    row of pictures.
    """

    def __init__(self, path: Path) -> None:
        self._file: BinaryIO = path.open("rb", buffering=0)
        self.name = f"media{path.suffix.lower()}"

    def read(self, count: int = -1) -> bytes:
        return self._file.read(count)

    def seek(self, offset: int, whence: int = 0) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()

    def close(self) -> None:
        self._file.close()

    def __del__(self) -> None:
        with contextlib.suppress(AttributeError):  # it was never opened
            self._file.close()


def local_file(path: Path) -> LocalFile:
    """Open what may hold pictures or sound. Raises MienError with one line where it can't be."""
    if path.is_dir():
        raise MienError(f"{path} is a folder, not a video; name a file in it")
    files.check_source(path)
    try:
        file = LocalFile(path)
        head = file.read(512)
        file.seek(0)
    except FileNotFoundError:
        raise MienError(f"no such file: {path}") from None
    except OSError as error:
        raise MienError(f"cannot read {path}: {error.strerror}") from None
    if not head:
        raise MienError(f"{path} is empty (0 bytes); copy or record it again")
    if head.startswith(_LFS):
        raise MienError(f"{path} is a Git LFS pointer, not the file itself; run git lfs pull")
    if head[4:8] == b"ftyp" and head[8:12] in _HEIC:
        raise MienError(f"{path} is a HEIC picture, which can't be read here; save it as JPEG")
    if _PLAYLIST.match(head):
        raise MienError(f"{path} is a playlist; name the video that it plays")
    return file


def as_output(path: Path) -> str:
    """A place to write as FFmpeg takes it: a file, whatever its name looks like."""
    return f"file:{os.fspath(path)}"


def open_alone(path: Path) -> Any:
    """An av input container over this one file. Raises MienError with one line."""
    import av

    try:
        return av.open(local_file(path), metadata_errors="replace", container_options=dict(ALONE))
    except (av.FFmpegError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise MienError(
            f"cannot read {path}: {reason}; is it a whole video or sound file? (a recording that "
            "was cut off before its end cannot be opened)"
        ) from None
