"""Shared memory between two processes: a ring of slots, each owned by one side at a time."""

from __future__ import annotations

import ctypes
import itertools
import mmap
import os
import re
import stat
import struct
import tempfile
import time
import weakref
from pathlib import Path
from typing import Any

import numpy as np

from engine.types import U8

SLOTS_MOST = 64
SLOT_BYTES_MOST = 2**31
_PAGE = 4096
_SIZES = struct.Struct("<QQ")  # slots and bytes a slot, at the end of the first page
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
    says itself how large it is. It vanishes with its name: the producer unlinks it, or, where that
    one died, the supervisor does.
    """

    def __init__(self, path: Path, slots: int, slot_bytes: int, descriptor: int) -> None:
        self.path = path
        self.slots = slots
        self.slot_bytes = slot_bytes
        populate = getattr(mmap, "MAP_POPULATE", 0)
        size = _PAGE + slots * slot_bytes
        self._map = mmap.mmap(descriptor, size, flags=mmap.MAP_SHARED | populate)
        whole: U8 = np.frombuffer(self._map, np.uint8)
        self._held = whole[:slots]
        self._sent = whole[slots : 2 * slots]
        self._payloads = whole[_PAGE:].reshape(slots, slot_bytes)
        self._block = ctypes.c_ubyte * slot_bytes
        self._watched: list[weakref.ref[Any] | None] = [None] * slots
        self._blocks: dict[int, int] = {}
        self.used_s = time.monotonic()
        """when a slot was last held or leased"""

    @classmethod
    def create(cls, run: str, slots: int, payload_bytes: int) -> Ring:
        """A new segment for payloads of up to ``payload_bytes``. Raises OSError where it's full."""
        slot_bytes = max(1, -(-payload_bytes // _PAGE)) * _PAGE
        path = folder() / f"mien-{run}-{os.getpid()}-{next(_numbers)}"
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        try:
            # Reserve the pages now: a full /dev/shm must be an error here, not a SIGBUS later.
            os.posix_fallocate(descriptor, 0, _PAGE + slots * slot_bytes)
            os.pwrite(descriptor, _SIZES.pack(slots, slot_bytes), _PAGE - _SIZES.size)
            return cls(path, slots, slot_bytes, descriptor)
        except OSError:
            path.unlink()
            raise
        finally:
            os.close(descriptor)

    @classmethod
    def open(cls, name: str, run: str) -> Ring:
        """The consumer's side of an announced segment of a run.

        Raises OSError or ValueError where it is none, or isn't what it says.
        """
        if not re.fullmatch(rf"mien-{re.escape(run)}-\d+-\d+", name):
            raise ValueError(f"{name!r} is no segment of this run")
        path = folder() / name
        descriptor = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK)
        try:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode) or status.st_size < _PAGE:
                raise ValueError(f"{name} is no segment")
            slots, slot_bytes = _SIZES.unpack(
                os.pread(descriptor, _SIZES.size, _PAGE - _SIZES.size)
            )
            if not (
                0 < slots <= SLOTS_MOST
                and 0 < slot_bytes <= SLOT_BYTES_MOST
                and slot_bytes % _PAGE == 0
                and status.st_size == _PAGE + slots * slot_bytes
            ):
                raise ValueError(f"{name} isn't as large as it says")
            return cls(path, slots, slot_bytes, descriptor)
        finally:
            os.close(descriptor)

    def hold(self) -> int | None:
        """Hold a free slot: its number, or None. The lowest one's memory is likely in cache."""
        self.used_s = time.monotonic()
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

    def acquire(self, shape: tuple[int, ...]) -> U8 | None:
        """An array uint8 over a free slot, held for as long as anything here refers to it."""
        slot = self.hold()
        if slot is None:
            return None
        block = self._owned(slot, self._held)
        self._blocks[id(block)] = slot
        array: U8 = np.ndarray(shape, np.uint8, block)
        return array

    def acquired(self, array: np.ndarray) -> int | None:
        """The slot that ``array`` starts at, if it was acquired here and isn't on its way."""
        slot = self._blocks.get(id(array.base))
        return None if slot is None or self._sent[slot] else slot

    def lease(self, number: int) -> Any:
        """A buffer over a filled slot; the consumer gives it back when nothing refers to it.

        Raises ValueError where there is none, or it isn't filled, or leased already.
        """
        if type(number) is not int or not 0 <= number < self.slots:
            raise ValueError(f"there is no slot {number!r}")
        watched = self._watched[number]
        if not self._sent[number] or (watched is not None and watched() is not None):
            raise ValueError(f"slot {number} holds nothing new")
        self.used_s = time.monotonic()
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
        """Remove the name, as its producer; the memory goes when the last array over it does."""
        self.path.unlink(missing_ok=True)


def sweep(run: str, pid: int | None = None) -> int:
    """Remove what a run (or one process of it) left behind; the number of segments."""
    segments = list(folder().glob(f"mien-{run}-{'*' if pid is None else f'{pid}-*'}"))
    for segment in segments:
        segment.unlink(missing_ok=True)
    return len(segments)
