"""Record what leaves a port, and play it back with its timing."""

from __future__ import annotations

import dataclasses
import struct
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from engine import files
from engine.errors import EndOfStream, MienError, UsageError
from engine.node import Source
from engine.parameters import parameter
from engine.transport.wire import (
    HEADER_BYTES_MOST,
    Envelope,
    Form,
    from_bytes,
    from_header,
    pack,
    to_bytes,
)
from engine.types import MESSAGES, Message, Outputs

MAGIC = b"mien-recording-2\n"
_SIZES = struct.Struct("<II")


class Recorder:
    """Writes envelopes to a file: a header that names the type, then (sizes, header, payload).

    Raises MienError where the file can't be written.
    """

    def __init__(self, path: Path, message_type: type[Message]) -> None:
        self.path = path
        self.count = 0
        self._part = files.begin(path)
        self._lock = threading.Lock()
        try:
            self._file: BinaryIO | None = self._part.open("wb")
        except OSError as error:
            raise files.explain(error, path) from None
        name = f"{message_type.__module__}:{message_type.__qualname__}"
        head = to_bytes({"type": name})
        self._file.write(MAGIC + struct.pack("<I", len(head)) + head)

    def write(self, envelope: Envelope) -> None:
        """Append one message. Raises MienError where the disk is full; the file then is removed."""
        with self._lock:
            if self._file is None:
                return
            packed = pack(envelope)
            head = to_bytes((packed.layout, packed.values))
            try:
                self._file.write(_SIZES.pack(len(head), packed.size) + head)
                self._file.write(packed.payload().data)
            except OSError as error:
                self._file.close()
                self._file = None
                self._part.unlink(missing_ok=True)
                raise MienError(f"{self.path}: recording stopped: {error.strerror}") from None
            self.count += 1

    def close(self) -> None:
        """Complete the file under its name."""
        with self._lock:
            if self._file is not None:
                self._file.close()
                self._file = None
                files.complete(self._part, self.path)


def read_type(path: Path) -> type[Message]:
    """The type of a recording's messages. Raises MienError."""
    with _open(path) as file:
        return _read_head(path, file)


def read(path: Path) -> Iterator[Envelope]:
    """The messages of a recording, in order. Raises MienError."""
    with _open(path) as file:
        message_type = _read_head(path, file)
        while sizes := file.read(_SIZES.size):
            try:
                head, size = _SIZES.unpack(sizes)
                if head > HEADER_BYTES_MOST:
                    raise ValueError("a header is too large")
                parts = from_header(file.read(head))
                if len(parts) != 2 or type(parts[1]) is not tuple:
                    raise ValueError("a header is none")
                form = Form(message_type, parts[0])
                if not form.fits(size):
                    raise ValueError("a header doesn't fit what it describes")
                payload = file.read(size)
                if len(payload) < size:
                    raise ValueError("it ends inside a message")
                yield form.unpack(parts[1], payload)
            except (ValueError, struct.error) as error:
                raise MienError(f"{path}: damaged: {error}") from None


def _open(path: Path) -> BinaryIO:
    files.check_source(path)
    try:
        return path.open("rb")
    except OSError as error:
        raise MienError(f"{path}: can't be read: {error.strerror}") from None


def _read_head(path: Path, file: BinaryIO) -> type[Message]:
    try:
        if file.read(len(MAGIC)) != MAGIC:
            raise ValueError("not a recording of Mien")
        (size,) = struct.unpack("<I", file.read(4))
        name = str(from_bytes(file.read(size))["type"])
        if name not in MESSAGES:
            raise ValueError(f"messages of type {name} are known to no node of this graph")
    except (ValueError, KeyError, TypeError, struct.error) as error:
        raise MienError(f"{path}: {error}") from None
    return MESSAGES[name]


class Replay(Source):
    """Plays recordings in place of the node whose ports they were made of."""

    @dataclass(frozen=True, kw_only=True, slots=True)
    class Config:
        files: str = parameter("", "port=FILE, several with commas", live=False)
        paced: bool = parameter(True, "as fast as it was recorded, not as fast as can be")
        loop: bool = parameter(False, "start again at the end")

    config: Config

    @classmethod
    def declared_outputs(cls, config: Any) -> Mapping[str, type[Message]]:
        return {port: read_type(path) for port, path in _files(config.files).items()}

    def setup(self) -> None:
        self._streams: dict[str, Iterator[Envelope]] = {}
        self.outputs = self.declared_outputs(self.config)  # type: ignore[misc]  # per instance
        self._begin()

    def _begin(self) -> None:
        self._streams = {port: read(path) for port, path in _files(self.config.files).items()}
        self._next: dict[str, Message] = {}
        for port in list(self._streams):
            self._advance(port)
        if not self._next:
            raise MienError(f"{self.config.files}: the recording is empty")
        self._start_ns = self.context.clock.now_ns()
        self._first_ns = min(message.capture_ns for message in self._next.values())

    def _advance(self, port: str) -> None:
        self._next.pop(port, None)
        for envelope in self._streams[port]:
            if envelope.message is not None:
                self._next[port] = envelope.message
                return

    def read(self) -> Outputs:
        if not self._next:
            if not self.config.loop:
                raise EndOfStream
            self._begin()
        port = min(self._next, key=lambda name: self._next[name].capture_ns)
        message = self._next[port]
        due_ns = self._start_ns + message.capture_ns - self._first_ns
        if self.config.paced:
            self.context.clock.wait_until(due_ns)
        self._advance(port)
        return {port: dataclasses.replace(message, capture_ns=due_ns)}

    def close(self) -> None:
        self._streams.clear()  # closes their files


def _files(text: str) -> dict[str, Path]:
    files = {}
    for item in filter(None, text.split(",")):
        port, equals, path = item.partition("=")
        if not equals:
            raise UsageError(f"files: '{item}' should be port=FILE")
        files[port.strip()] = Path(path.strip())
    if not files:
        raise UsageError("files: name at least one port=FILE")
    return files
