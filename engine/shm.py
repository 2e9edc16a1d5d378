"""Shared memory between two processes: a ring of slots, each owned by one side at a time."""

from __future__ import annotations

import ctypes
import itertools
import mmap
import os
import tempfile
import weakref
from pathlib import Path
from typing import Any

import numpy as np

from engine.types import U8

_PAGE = 4096
_FREE, _TAKEN = 0, 1
_numbers = itertools.count()


def folder() -> Path:
    """Where segments live: real shared memory on Linux, temporary files elsewhere."""
    linux = Path("/dev/shm")
    return linux if linux.is_dir() else Path(tempfile.gettempdir())


class Ring:
    """Slots for payloads of one edge.

    The producer takes a free slot, fills it and sends its number; the consumer gives it back when
    the last array over it is gone. A state is one byte and has one writer at a time, so no lock is
    needed. The segment vanishes with its name: the producer unlinks it, the supervisor sweeps up.
    """

    def __init__(self, path: Path, slots: int, slot_bytes: int, *, create: bool) -> None:
        self.path = path
        self.slots = slots
        self.slot_bytes = slot_bytes
        self._owner = create
        size = _PAGE + slots * slot_bytes
        flags = os.O_RDWR | (os.O_CREAT | os.O_EXCL if create else 0)
        descriptor = os.open(path, flags, 0o600)
        try:
            if create:
                # Reserve the pages now: a full /dev/shm must be an error here, not a SIGBUS later.
                try:
                    os.posix_fallocate(descriptor, 0, size)
                except OSError:
                    path.unlink()
                    raise
            elif os.fstat(descriptor).st_size < size:
                raise OSError(f"{path} is smaller than announced")
            populate = getattr(mmap, "MAP_POPULATE", 0)
            self._map = mmap.mmap(descriptor, size, flags=mmap.MAP_SHARED | populate)
        finally:
            os.close(descriptor)
        self._bytes: U8 = np.frombuffer(self._map, np.uint8)

    @classmethod
    def create(cls, run: str, slots: int, payload_bytes: int) -> Ring:
        """A new segment for payloads of up to ``payload_bytes``. Raises OSError where it's full."""
        slot_bytes = -(-payload_bytes // _PAGE) * _PAGE
        path = folder() / f"mien-{run}-{os.getpid()}-{next(_numbers)}"
        return cls(path, slots, slot_bytes, create=True)

    @classmethod
    def open(cls, name: str, slots: int, slot_bytes: int) -> Ring:
        """The consumer's side of an announced segment. Raises OSError."""
        if "/" in name or not name.startswith("mien-"):
            raise OSError(f"{name!r} is not a segment of Mien")
        return cls(folder() / name, slots, slot_bytes, create=False)

    def take(self) -> int | None:
        """The number of a free slot, or None; the lowest one, whose memory is likely in cache."""
        for slot in range(self.slots):
            if self._bytes[slot] == _FREE:
                self._bytes[slot] = _TAKEN
                return slot
        return None

    def give_back(self, slot: int) -> None:
        self._bytes[slot] = _FREE

    def slot(self, number: int) -> U8:
        """The bytes of a slot, uint8 [slot_bytes]."""
        start = _PAGE + number * self.slot_bytes
        return self._bytes[start : start + self.slot_bytes]

    def lease(self, number: int) -> Any:
        """A buffer over a filled slot; the slot is free again when nothing refers to it."""
        if not 0 <= number < self.slots:
            raise ValueError(f"slot {number} of {self.slots}")
        start = _PAGE + number * self.slot_bytes
        block = (ctypes.c_ubyte * self.slot_bytes).from_buffer(self._map, start)
        weakref.finalize(block, self.give_back, number).atexit = False
        return block

    def close(self) -> None:
        """Remove the name; the memory goes when the last array over it does."""
        if self._owner:
            self.path.unlink(missing_ok=True)


def sweep(run: str) -> int:
    """Remove what a run left behind; the number of segments."""
    segments = list(folder().glob(f"mien-{run}-*"))
    for segment in segments:
        segment.unlink(missing_ok=True)
    return len(segments)
