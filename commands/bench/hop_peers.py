"""Other ways to bring a picture from one process to another, timed like the engine's edge.

Run as `python -m commands.bench.hop_peers NAME WIDTH HEIGHT FPS SECONDS FILE.npy`; FPS 0 sends as
fast as the pictures are taken. The file has the rows of nodes/sinks/stopwatch.py.
"""

from __future__ import annotations

import multiprocessing
import sys
import tempfile
import time
from collections.abc import AsyncGenerator, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nodes.sinks.stopwatch import write_rows
from nodes.sources.pattern import PICTURES, make_pictures

Rows = list[tuple[int, int, int, int]]
DEPTH = 2  # how many pictures may wait where nothing paces them


@dataclass(frozen=True)
class Plan:
    """What to send, how fast, where to note it."""

    width_px: int
    height_px: int
    fps: float
    seconds: float
    path: Path

    def pictures(self) -> Iterator[tuple[Any, int, int]]:
        """(pixels, stamp [ns], CPU time [ns]), each made when it is its turn to be sent."""
        pictures = make_pictures(self.height_px, self.width_px)
        start_ns = next_ns = time.monotonic_ns()
        number = 0
        while time.monotonic_ns() - start_ns < self.seconds * 1e9:
            if self.fps:
                time.sleep(max(0, next_ns - time.monotonic_ns()) / 1e9)
                next_ns += int(1e9 / self.fps)
            pixels = pictures[number % PICTURES]
            number += 1
            cpu_ns = time.process_time_ns()
            yield pixels, time.monotonic_ns(), cpu_ns


def note(rows: Rows, stamp_ns: int, cpu_ns: int) -> None:
    rows.append((stamp_ns, time.monotonic_ns(), cpu_ns, time.process_time_ns()))


def multiprocessing_queue(plan: Plan) -> None:
    """The standard library's queue: pickled through a pipe by a feeder thread."""
    context = multiprocessing.get_context("spawn")
    queue = context.Queue(DEPTH)
    consumer = context.Process(target=_take_from_queue, args=(queue, plan.path))
    consumer.start()
    for item in plan.pictures():
        queue.put(item)
    queue.put(None)
    consumer.join()


def _take_from_queue(queue: Any, path: Path) -> None:
    rows: Rows = []
    while (item := queue.get()) is not None:
        note(rows, item[1], item[2])
    write_rows(path, rows)


def pyzmq_copy(plan: Plan) -> None:
    """ZeroMQ over ipc, the pixels inside the message."""
    import zmq

    with tempfile.TemporaryDirectory() as folder:
        address = f"ipc://{folder}/hop"
        context = multiprocessing.get_context("spawn")
        consumer = context.Process(target=_take_from_socket, args=(address, plan.path))
        with zmq.Context() as zmq_context, zmq_context.socket(zmq.PUSH) as socket:
            socket.sndhwm = DEPTH
            socket.bind(address)
            consumer.start()
            for pixels, stamp_ns, cpu_ns in plan.pictures():
                socket.send_multipart([b"%d %d" % (stamp_ns, cpu_ns), pixels], copy=True)
            socket.send_multipart([b"", b""])
            consumer.join()


def _take_from_socket(address: str, path: Path) -> None:
    import numpy as np
    import zmq

    rows: Rows = []
    with zmq.Context() as context, context.socket(zmq.PULL) as socket:
        socket.rcvhwm = DEPTH
        socket.connect(address)
        while True:
            head, body = socket.recv_multipart(copy=True)
            if not head:
                break
            pixels = np.frombuffer(body, np.uint8)
            stamp_ns, cpu_ns = head.split()
            assert pixels.size
            note(rows, int(stamp_ns), int(cpu_ns))
    write_rows(path, rows)


def ezmsg(plan: Plan) -> None:
    """ezmsg with its own shared-memory transport: two units in two processes."""
    import asyncio

    import ezmsg.core as ez

    # Its classes and decorators come without types.
    class Settings(ez.Settings):  # type: ignore[misc]
        plan: Plan

    class Producer(ez.Unit):  # type: ignore[misc]
        SETTINGS = Settings
        OUTPUT = ez.OutputStream(tuple)

        @ez.publisher(OUTPUT)  # type: ignore[untyped-decorator]
        async def send(self) -> AsyncGenerator[Any, None]:
            await asyncio.sleep(1.0)  # until the other side has subscribed
            plan = self.SETTINGS.plan
            for item in plan.pictures():
                yield self.OUTPUT, item
                await asyncio.sleep(0)
            yield self.OUTPUT, None
            await asyncio.sleep(0.5)
            raise ez.Complete

    class Consumer(ez.Unit):  # type: ignore[misc]
        SETTINGS = Settings
        INPUT = ez.InputStream(tuple)

        async def initialize(self) -> None:
            self.rows: Rows = []

        @ez.subscriber(INPUT)  # type: ignore[untyped-decorator]
        async def take(self, item: Any) -> None:
            if item is None:
                write_rows(self.SETTINGS.plan.path, self.rows)
                raise ez.NormalTermination
            note(self.rows, item[1], item[2])

    settings = Settings(plan=plan)
    producer, consumer = Producer(settings), Consumer(settings)
    ez.run(
        PRODUCER=producer,
        CONSUMER=consumer,
        connections=((producer.OUTPUT, consumer.INPUT),),
        process_components=(producer, consumer),
    )


PEERS: dict[str, Callable[[Plan], None]] = {
    "multiprocessing_queue": multiprocessing_queue,
    "pyzmq_copy": pyzmq_copy,
    "ezmsg": ezmsg,
}


def main(arguments: list[str]) -> None:
    name, width, height, fps, seconds, path = arguments
    PEERS[name](Plan(int(width), int(height), float(fps), float(seconds), Path(path)))


if __name__ == "__main__":
    main(sys.argv[1:])
