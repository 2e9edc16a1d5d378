"""The main program of a worker process: `python -m engine.child`, started by the supervisor.

It reads its task from standard input and ends when that input does, so that it never outlives
the supervisor, however that one ends.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import time
from typing import Any

import zmq
import zmq.asyncio

from engine import graph as graphs
from engine import operations as ops
from engine import plugins
from engine.control import REPORTS_MOST, ControlSocket
from engine.dispatch import Dispatcher
from engine.errors import MienError, words
from engine.loops import input_over, run_loop
from engine.run import Run
from engine.transport.wire import from_bytes
from engine.worker import TICK_S, Worker


async def main(task: dict[str, Any], parent: asyncio.StreamReader | None = None) -> int:
    """Run one process of a graph until told to stop."""
    plugins.look_where(task["path"])
    run = Run(**task["run"])
    process = task["process"]
    stopping = asyncio.Event()
    context = zmq.asyncio.Context()
    socket = context.socket(zmq.DEALER)
    socket.linger = 200
    # A supervisor that is slow gets what is new when it comes back, not minutes of old reports.
    socket.sndhwm = REPORTS_MOST
    socket.connect(run.control_endpoint)
    worker: Worker | None = None

    dispatcher = Dispatcher()
    dispatcher.on(ops.Stop, lambda _: stopping.set())
    peer = ControlSocket(socket, dispatcher)
    events: set[asyncio.Task[None]] = set()

    def event(level: str, text: str) -> None:
        note = asyncio.ensure_future(peer.tell(ops.Event(level, text)))
        events.add(note)
        note.add_done_callback(events.discard)

    watch = asyncio.ensure_future(input_over(stopping))
    code = 0
    try:
        graph = graphs.load(task["graph"])
        worker = Worker(graph, process, run, peer, event)
        worker.serve(dispatcher)
        await peer.tell(ops.Hello(process, os.getpid()))
        await worker.start()
        while not stopping.is_set():
            worker.tick()
            report = worker.snapshot()
            report["counts"]["reports_dropped"] = peer.dropped
            report["stalled"] = worker.stalled()
            report["finished"] = worker.finished.is_set() and worker.failure is None
            report["at_ns"] = time.monotonic_ns()
            await peer.tell(ops.Report(process, report))
            if worker.failure is not None:
                raise worker.failure
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stopping.wait(), TICK_S)
    except Exception as error:
        code = error.exit_code if isinstance(error, MienError) else 1
        await peer.tell(ops.Failed(process, words(error)))
    finally:
        watch.cancel()
        if worker is not None:
            await worker.stop()
        await asyncio.sleep(0)
        await peer.close()
        context.destroy(linger=200)
    return code


def start() -> int:
    """Read the task and run."""
    # Ctrl-C is the supervisor's business; it tells us to stop.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    sys.setswitchinterval(0.0005)
    size = int.from_bytes(sys.stdin.buffer.read(4), "little")
    task = from_bytes(sys.stdin.buffer.read(size))
    return run_loop(main(task))


if __name__ == "__main__":
    raise SystemExit(start())
