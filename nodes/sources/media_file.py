"""MediaFile: pictures and sound from a file, as fast as possible or in its own time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import partial
from typing import ClassVar

from engine.errors import EndOfStream, MienError
from engine.node import Source
from engine.parameters import parameter
from engine.types import AudioFrame, VideoFrame
from media.reader import Item, MediaReader

BLOCK_MS = 20
_NS = 1_000_000_000


class MediaFile(Source):
    """Play a file. -> video (upright BGR), audio (int16).

    Every picture that decodes comes out once, with its own time (pts from the file's start).
    ``capture_ns`` is the start of playing plus media time, in both paces, so that whatever
    smooths over time does the same at any speed. Damaged packets are skipped and counted.
    """

    outputs: ClassVar = {"video": VideoFrame, "audio": AudioFrame}

    @dataclass(frozen=True, kw_only=True, slots=True)
    class Config:
        path: str = parameter("", "the file to play", live=False)
        paced: bool = parameter(False, "play in real time, like a camera; else at full speed")
        loop: bool = parameter(False, "start over at the end")
        pictures: bool = parameter(True, "emit the pictures", live=False)
        sound: bool = parameter(True, "emit the sound too, where there is any", live=False)

    _reader: MediaReader | None = None
    _messages: Iterator[Item] = iter(())
    _pending: Item | None = None

    def setup(self) -> None:
        self._epoch_ns: int | None = None
        self._reader = None
        self._open()
        self._pending = next(self._messages, None)
        self.context.gauge("ready_ns", self.context.clock.now_ns())
        if self._pending is None:
            self.close()
            if not self.config.pictures:
                raise MienError(f"{self.config.path} has no sound; a voice is needed")
            raise MienError(
                f"not one picture of {self.config.path} can be decoded; the file is damaged"
            )

    def read(self) -> dict[str, VideoFrame | AudioFrame] | None:
        if self._pending is None:
            self._pending = self._next()
        port, media_ns, make = self._pending
        now_ns = self.context.clock.now_ns()
        if self._epoch_ns is None:
            self._epoch_ns = now_ns - media_ns
        if self.config.paced:
            due_ns = self._epoch_ns + media_ns
            if now_ns - due_ns > _NS // 2:  # the machine slept: go on from here, in no hurry
                self._epoch_ns += now_ns - due_ns
            elif due_ns - now_ns > _NS // 2:
                self.context.clock.wait_until(now_ns + _NS // 2)
                return None
            else:
                self.context.clock.wait_until(due_ns)
        self._pending = None
        return {port: make(self._epoch_ns + media_ns)}

    def close(self) -> None:
        self._messages = iter(())
        if self._reader is not None:
            self._reader.close()

    def _next(self) -> Item:
        began_ns = self.context.clock.now_ns()
        item = next(self._messages, None)
        if item is None and self.config.loop:
            self.close()
            self._open()
            item = next(self._messages, None)
        if item is None:
            raise EndOfStream
        self.context.observe("decode", (self.context.clock.now_ns() - began_ns) / 1e6)
        return item

    def _open(self) -> None:
        """Begin at the beginning; what comes is placed after what has been."""
        self._reader = MediaReader(
            self.config.path,
            pictures=self.config.pictures,
            sound=self.config.sound,
            begin_s=self._reader.end_s if self._reader else Fraction(0),
            count=self.context.count,
        )
        self._messages = iter(self._reader)
        if self.config.paced and not self.config.pictures:
            self._messages = _short_blocks(self._messages)


def _short_blocks(items: Iterator[Item]) -> Iterator[Item]:
    """Sound in blocks of BLOCK_MS at most, as a microphone gives it: a file's may be as long as
    several pictures, which would then come all at once."""
    for item in items:
        block = item[2](0) if item[0] == "audio" else None
        if not isinstance(block, AudioFrame):
            yield item
            continue
        size = max(1, block.rate_hz * BLOCK_MS // 1000)
        for start in range(0, len(block.samples), size):
            later_ns = start * _NS // block.rate_hz
            part = replace(
                block,
                samples=block.samples[start : start + size],
                pts=block.pts + round(Fraction(start, block.rate_hz) / block.time_base),
            )
            yield "audio", item[1] + later_ns, partial(_stamped, part)


def _stamped(block: AudioFrame, capture_ns: int) -> AudioFrame:
    return replace(block, capture_ns=capture_ns)
