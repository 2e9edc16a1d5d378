"""The process that owns a device's networks and runs them for all sessions, in batches.

`python -m inference.owner FD DEVICE`: FD is a listening socket; standard input ends with whoever
started it, and so does this. A call joins the batch that starts next; an idle network waits for
more for ``WAIT_S`` at most. Each caller has one call on its way at a time, and they are taken in
the order in which they came, so that nobody can crowd out another.
"""

from __future__ import annotations

import contextlib
import json
import mmap
import os
import selectors
import signal
import socket
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from engine.errors import MienError, words
from engine.transport.wire import from_bytes, to_bytes
from engine.types import F32
from inference.batches import Batches, open_batches
from inference.card import read_card
from inference.shared import DONE, MESSAGE_MOST, Layout, wanted

WAIT_S: Final = 0.002
"""less than half a frame of any camera up to 250 pictures a second"""
CROWDED: Final = 8
"""batches that left calls behind, less those that didn't, after which a larger size pays"""
AMPLE: Final = 8
"""callers for each call of the largest batch, from which on a larger one is worth its memory"""
Key = tuple[str, frozenset[str]]


class Caller:
    """One model of one session: its line and its memory."""

    def __init__(self, line: socket.socket) -> None:
        self.line = line
        self.network: Network | None = None
        self.came_s = 0.0
        self.inputs: dict[str, F32] = {}
        self.outputs: dict[str, F32] = {}
        self.gone = False
        self._memory: mmap.mmap | None = None

    def take(self, descriptor: int, network: Network) -> None:
        """The memory that it made. Raises MienError where that is too small."""
        layout = network.layout
        if os.fstat(descriptor).st_size < layout.bytes:
            raise MienError(f"the memory for {network.name} is too small")
        self._memory = mmap.mmap(descriptor, layout.bytes)
        self.inputs = layout.views(self._memory, network.inputs)
        self.outputs = layout.views(self._memory, network.outputs)
        self.network = network

    def answer(self, data: bytes) -> None:
        with contextlib.suppress(OSError):  # it has gone
            self.line.send(data, socket.MSG_DONTWAIT)

    def close(self) -> None:
        self.gone = True
        self.line.close()
        self.inputs, self.outputs = {}, {}
        if self._memory is not None:
            with contextlib.suppress(BufferError):  # a batch is at it; it goes with the batch
                self._memory.close()
            self._memory = None


Taken = list[tuple[Caller, dict[str, F32], dict[str, F32]]]
"""callers of one batch, their inputs and where their outputs go"""


class Network:
    """One network, its threads and who waits for it."""

    def __init__(self, key: Key, device: str, log: Callable[[str], None]) -> None:
        """Reads and measures it. Raises MienError."""
        folder, asked = key
        card = read_card(Path(folder))
        given = wanted(card, asked)
        self.name = card.name
        self.layout = Layout([*card.inputs, *given])
        self.inputs = [tensor.name for tensor in card.inputs]
        self.outputs = [tensor.name for tensor in given]
        self.callers = 0
        self.requests = 0
        self.sizes: Counter[int] = Counter()
        self.busy_s = 0.0
        self._batches: Batches = open_batches(card, asked, log, device)
        self.label = self._batches.label
        self._waiting: list[Caller] = []
        self._crowded = 0
        self._changed = threading.Condition()
        for number in range(self._batches.streams):
            name = f"{card.name}-{number}"
            threading.Thread(target=self._run, name=name, daemon=True).start()

    def put(self, caller: Caller) -> None:
        """A call that waits for its turn."""
        with self._changed:
            caller.came_s = time.monotonic()
            self._waiting.append(caller)
            self._changed.notify()

    def join(self) -> None:
        """One more will ask."""
        with self._changed:
            self.callers += 1

    def leave(self, caller: Caller) -> None:
        with self._changed:
            self.callers -= 1
            if caller in self._waiting:
                self._waiting.remove(caller)

    def _next(self) -> Taken:
        """Who goes into the batch that starts now, with what they brought."""
        most = self._batches.most
        with self._changed:
            while not self._waiting:
                self._changed.wait()
            until_s = self._waiting[0].came_s + WAIT_S
            while self._waiting and len(self._waiting) < min(most, self.callers):
                if (left_s := until_s - time.monotonic()) <= 0:
                    break
                self._changed.wait(left_s)
            taken, self._waiting = self._waiting[:most], self._waiting[most:]
            self._crowded = max(0, self._crowded + (1 if self._waiting else -1))
            ample = self._batches.streams == 1 and self.callers >= AMPLE * most
            if self._crowded >= CROWDED and ample:
                self._crowded = 0
                threading.Thread(target=self._batches.grow, daemon=True).start()
            return [(caller, caller.inputs, caller.outputs) for caller in taken]

    def _run(self) -> None:
        while True:
            self._serve(self._next())  # nothing of it is held while the next calls are waited for

    def _serve(self, taken: Taken) -> None:
        """Run a batch and tell who is in it."""
        if not taken:
            return
        began_s = time.monotonic()
        try:
            answers = self._batches.run([inputs for _, inputs, _ in taken])
            for (_, _, outputs), answer in zip(taken, answers, strict=True):
                for name in self.outputs:
                    outputs[name][...] = answer[name]
            data = DONE
        except Exception as error:  # who asked is told; the next batch is another one
            data = to_bytes({"error": f"{self.name} failed: {words(error)}"})
        for caller, _, _ in taken:
            caller.answer(data)
        with self._changed:
            self.requests += len(taken)
            self.sizes[len(taken)] += 1
            self.busy_s += time.monotonic() - began_s

    def figures(self) -> dict[str, Any]:
        """Of all that was answered so far."""
        runs = sum(self.sizes.values())
        return {
            "label": self.label,
            "callers": self.callers,
            "most": self._batches.most,
            "requests": self.requests,
            "batches": {str(size): count for size, count in sorted(self.sizes.items())},
            "mean_batch": round(self.requests / runs, 2) if runs else 0.0,
            "ms": round(1000 * self.busy_s / runs, 2) if runs else None,
        }


class Owner:
    """Takes callers in, and hands their calls to the network that each asked for."""

    def __init__(self, listening: socket.socket, device: str) -> None:
        self._device = device
        self._listening = listening
        self._networks: dict[Key, Network] = {}
        self._loading: dict[Key, list[tuple[Caller, int]]] = {}
        self._selector = selectors.DefaultSelector()
        self._lock = threading.Lock()

    def run(self) -> None:
        """Until standard input ends; a line there asks for figures."""
        self._selector.register(self._listening, selectors.EVENT_READ)
        self._selector.register(sys.stdin, selectors.EVENT_READ)
        while True:
            for key, _ in self._selector.select():
                if key.fileobj is self._listening:
                    line, _ = self._listening.accept()
                    self._selector.register(line, selectors.EVENT_READ, Caller(line))
                elif key.fd == sys.stdin.fileno():
                    if not os.read(key.fd, 4096):
                        return
                    print(json.dumps(self.figures()), flush=True)
                else:
                    self._hear(key.data)

    def _hear(self, caller: Caller) -> None:
        descriptors: list[int] = []
        try:
            data, descriptors, _, _ = socket.recv_fds(caller.line, MESSAGE_MOST, 1)
        except OSError:
            data = b""
        if not data:
            self._selector.unregister(caller.line)
            with self._lock:
                if caller.network is not None:
                    caller.network.leave(caller)
                caller.close()
        elif caller.network is not None:
            caller.network.put(caller)
        elif descriptors:
            self._open(caller, from_bytes(data), descriptors[0])
            return
        for descriptor in descriptors:
            os.close(descriptor)

    def _open(self, caller: Caller, hello: dict[str, Any], descriptor: int) -> None:
        """Loading takes seconds: it is done beside, and who else asks for it meanwhile waits."""
        key = hello["folder"], frozenset(hello["outputs"])
        with self._lock:
            if key in self._networks:
                self._join(caller, self._networks[key], descriptor)
            elif key in self._loading:
                self._loading[key].append((caller, descriptor))
            else:
                self._loading[key] = [(caller, descriptor)]
                threading.Thread(target=self._load, args=(key,), daemon=True).start()

    def _load(self, key: Key) -> None:
        error = ""
        try:
            network = Network(key, self._device, _say)
        except Exception as failure:
            error = words(failure)
        with self._lock:
            if not error:
                self._networks[key] = network
            for caller, descriptor in self._loading.pop(key):
                if error:
                    os.close(descriptor)
                    caller.answer(to_bytes({"error": error}))
                else:
                    self._join(caller, network, descriptor)

    def _join(self, caller: Caller, network: Network, descriptor: int) -> None:
        try:
            if not caller.gone:
                caller.take(descriptor, network)
                network.join()
                caller.answer(to_bytes({"label": network.label}))
        except MienError as error:
            caller.answer(to_bytes({"error": str(error)}))
        finally:
            os.close(descriptor)

    def figures(self) -> dict[str, Any]:
        """Of every network, by name."""
        with self._lock:
            networks = {one.name: one.figures() for one in self._networks.values()}
        return {"device": self._device, "networks": networks}


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def main(arguments: list[str]) -> int:
    """Run until whoever started it is gone."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    sys.setswitchinterval(0.0005)
    Owner(socket.socket(fileno=int(arguments[0])), arguments[1]).run()
    os._exit(0)  # threads of a runtime would be waited for


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
