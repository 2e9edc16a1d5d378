"""A network that another process owns and runs for many: asked over a socket, tensors in memory.

Who asks makes the memory (a memfd) and hands it over with its first message, so that it is gone
when both ends are: nothing has a name that could be left behind. Inputs and outputs lie in it one
after the other; a byte says "run", one comes back when the answers are there.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import socket
import time
from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np

from engine.errors import MienError
from engine.transport.wire import from_bytes, to_bytes
from engine.types import F32
from inference.card import Card, Tensor

MESSAGE_MOST: Final = 1 << 16
RUN: Final = b"r"
DONE: Final = b"d"
ANSWER_WITHIN_S: Final = 5.0
OPEN_WITHIN_S: Final = 60.0
"""a network is read and measured when it is asked for first"""
BACK_WITHIN_S: Final = 5.0
"""an owner that was started again is there by then"""
_ALIGNED: Final = 64


class Layout:
    """Where each tensor lies in the memory."""

    def __init__(self, tensors: Sequence[Tensor]) -> None:
        self._places: dict[str, tuple[int, tuple[int, ...]]] = {}
        at = 0
        for tensor in tensors:
            self._places[tensor.name] = at, tensor.shape
            at += -(-4 * int(np.prod(tensor.shape)) // _ALIGNED) * _ALIGNED
        self.bytes = max(at, mmap.PAGESIZE)

    def views(self, memory: mmap.mmap, names: Sequence[str]) -> dict[str, F32]:
        """Those tensors as arrays over the memory."""
        found = {}
        for name in names:
            at, shape = self._places[name]
            flat = np.frombuffer(memory, np.float32, int(np.prod(shape)), at)
            found[name] = flat.reshape(shape)
        return found


def wanted(card: Card, outputs: frozenset[str]) -> list[Tensor]:
    """The outputs that are asked for; none named: all."""
    return [tensor for tensor in card.outputs if not outputs or tensor.name in outputs]


class SharedRuntime:
    """The asking end, in the place of a runtime of its own."""

    def __init__(self, card: Card, address: str, outputs: frozenset[str]) -> None:
        """Raises MienError where the owner isn't there, or can't run the network."""
        self._card = card
        given = wanted(card, outputs)
        layout = Layout([*card.inputs, *given])
        descriptor = os.memfd_create(f"mien-{card.name}")
        try:
            os.ftruncate(descriptor, layout.bytes)
            self._memory = mmap.mmap(descriptor, layout.bytes)
            self._line = _connected(card, address)
            hello = {"folder": str(card.folder.resolve()), "outputs": sorted(outputs)}
            socket.send_fds(self._line, [to_bytes(hello)], [descriptor])
        finally:
            os.close(descriptor)
        self._in: dict[str, F32] = {}
        self._out: dict[str, F32] = {}
        self._line.settimeout(OPEN_WITHIN_S)
        try:
            self.label = f"shared, {from_bytes(self._heard())['label']}"
        except MienError:
            self.close()
            raise
        self._line.settimeout(ANSWER_WITHIN_S)
        self._in = layout.views(self._memory, [tensor.name for tensor in card.inputs])
        self._out = layout.views(self._memory, [tensor.name for tensor in given])
        self.inputs = {tensor.name: tensor.shape for tensor in card.inputs}
        self.outputs = {tensor.name: tensor.shape for tensor in card.outputs}

    def run(self, tensors: Mapping[str, F32]) -> dict[str, F32]:
        """One step. Raises MienError where the owner has gone, or failed."""
        for name, value in tensors.items():
            self._in[name][...] = value
        try:
            self._line.send(RUN)
        except OSError:
            raise MienError(_gone(self._card)) from None
        self._heard()
        return {name: value.copy() for name, value in self._out.items()}

    def _heard(self) -> bytes:
        try:
            answer = self._line.recv(MESSAGE_MOST)
        except OSError:
            answer = b""
        if not answer:
            raise MienError(_gone(self._card))
        if answer != DONE and "error" in (message := from_bytes(answer)):
            raise MienError(message["error"])
        return answer

    def close(self) -> None:
        """Give the memory back."""
        self._line.close()
        self._in, self._out = {}, {}
        with contextlib.suppress(BufferError):  # somebody still reads an answer
            self._memory.close()


def _gone(card: Card) -> str:
    return f"{card.name} is shared, and the process that runs it doesn't answer"


def _connected(card: Card, address: str) -> socket.socket:
    """A line to the owner, who may be being started again."""
    deadline_s = time.monotonic() + BACK_WITHIN_S
    while True:
        line = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            line.connect(address)
            return line
        except OSError:
            line.close()
            if time.monotonic() > deadline_s:
                raise MienError(_gone(card)) from None
            time.sleep(0.05)
