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
_numbers = itertools.count()


def folder() -> Path:
    """Where segments live: real shared memory on Linux, temporary files elsewhere."""
    linux = Path("/dev/shm")
    return linux if linux.is_dir() else Path(tempfile.gettempdir())


class Ring:
    """Slots for payloads of one edge.

    A slot has two flags: ``held`` while the producer writes or still refers to it, ``sent`` from
    when it is sent until the consumer's last array over it is gone. Each flag is one byte that
    only one side clears, so no lock is needed; a slot is free when both are clear. The segment
    vanishes with its name: the producer unlinks it, the supervisor sweeps up.
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
        whole: U8 = np.frombuffer(self._map, np.uint8)
        self._held = whole[:slots]
        self._sent = whole[slots : 2 * slots]
        self._payloads = whole[_PAGE:].reshape(slots, slot_bytes)
        self._block = ctypes.c_ubyte * slot_bytes
        self._watched: list[weakref.ref[Any] | None] = [None] * slots
        self._blocks: dict[int, int] = {}

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
        """Hold a free slot: its number, or None. The lowest one's memory is likely in cache."""
        for slot in range(self.slots):
            if not (self._held[slot] or self._sent[slot]):
                self._held[slot] = 1
                return slot
        return None

    def let_go(self, slot: int) -> None:
        """The producer has done with a slot."""
        self._held[slot] = 0

    def mark_sent(self, slot: int, sent: bool = True) -> None:
        """The slot is the consumer's from now on (or, where sending failed, is not)."""
        self._sent[slot] = sent

    def slot(self, number: int) -> U8:
        """The bytes of a slot, uint8 [slot_bytes]."""
        payload: U8 = self._payloads[number]
        return payload

    def lend(self, shape: tuple[int, ...]) -> U8 | None:
        """An array uint8 over a free slot, held for as long as anything here refers to it."""
        slot = self.take()
        if slot is None:
            return None
        block = self._owned(slot, self._held)
        self._blocks[id(block)] = slot
        array: U8 = np.ndarray(shape, np.uint8, block)
        return array

    def lent(self, array: np.ndarray) -> int | None:
        """The slot that ``array`` starts at, if it was lent here and isn't on its way already."""
        slot = self._blocks.get(id(array.base))
        return None if slot is None or self._sent[slot] else slot

    def lease(self, number: int) -> Any:
        """A buffer over a filled slot; the consumer gives it back when nothing refers to it."""
        if not 0 <= number < self.slots:
            raise ValueError(f"slot {number} of {self.slots}")
        return self._owned(number, self._sent)

    def _owned(self, slot: int, flags: U8) -> Any:
        """A buffer over a slot that clears its flag when nothing refers to it any more."""
        block = self._block.from_buffer(self._map, _PAGE + slot * self.slot_bytes)

        identity, blocks = id(block), self._blocks

        def gone(_: object) -> None:
            blocks.pop(identity, None)
            flags[slot] = 0

        self._watched[slot] = weakref.ref(block, gone)
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
