"""Runs a whole graph inside this process, and answers for it as a supervisor does."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Callable, Mapping
from typing import Any

import psutil

from engine.dispatch import Dispatcher
from engine.errors import MienError, words
from engine.graph_spec import Graph
from engine.keeper import Keeper
from engine.operations import Answer, Operation
from engine.process import Process
from engine.settings import Settings
from engine.supervisor import Supervisor
from engine.worker import TICK_S, Worker


class Solo(Supervisor):
    """Parameters, presets, governor and figures as of any graph; no process, folder or socket.

    The graph has one process, this one. Nobody here ends a step that hangs: who started this
    process looks at ``stalled`` and starts another.
    """

    def __init__(
        self,
        graph: Graph,
        on_event: Callable[[str, str], None],
        settings: Settings | None = None,
    ) -> None:
        """``on_event`` (level, text) is called at once, on the event loop."""
        self._tell = on_event
        super().__init__(graph, settings=settings)

    def event(self, level: str, text: str) -> None:
        super().event(level, text)
        self._tell(level, text)

    def stalled(self) -> str:
        """What lasts too long, or ""."""
        assert isinstance(self._keeper, Inside)
        return self._keeper.stalled

    @property
    def shared(self) -> Mapping[str, Any]:
        """What the nodes have in common, by name."""
        assert isinstance(self._keeper, Inside)
        return self._keeper.shared

    def metrics(self, merged: bool = True) -> dict[str, Any]:
        figures = super().metrics(merged)
        del figures["processes"]["supervisor"]  # the same process
        return figures

    def _make_keeper(self, host: str) -> Keeper:
        return Inside(self)

    async def _launch(self) -> None:
        assert isinstance(self._keeper, Inside)
        self._keeper.begin()


class Itself(Process):
    """This process, as it stands in its own figures."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.usage = psutil.Process()

    def kill(self) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    def figures(self) -> dict[str, Any]:
        return {**super().figures(), "pid": os.getpid()}


class Inside(Keeper):
    """The one process of a graph that is this one."""

    def __init__(self, solo: Solo) -> None:
        super().__init__(solo.graph, "", solo.event, solo._fail, solo.request_stop)
        self.stalled = ""
        self.processes = {name: Itself(name) for name in self.processes}
        self._solo = solo
        self._worker: Worker | None = None
        self._own = Dispatcher()

    @property
    def shared(self) -> Mapping[str, Any]:
        return {} if self._worker is None else self._worker.shared

    def begin(self) -> None:
        """Start the nodes."""
        self._watchers.append(asyncio.ensure_future(self._live()))

    async def _live(self) -> None:
        (process,) = self.processes.values()
        worker = self._worker = Worker(self._graph, None, None, self._solo, self._event)
        worker.serve(self._own)
        try:
            await worker.start()
        except MienError as error:
            self._fail(error)
            return
        except Exception as error:
            self._fail(MienError(words(error)))
            return
        process.state = "running"
        process.ready.set()
        while not self._stopping:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(worker.finished.wait(), TICK_S)
            if worker.finished.is_set():
                break
            self.ran.tick()
            worker.tick()
            self.stalled = worker.stalled()
        if worker.failure is not None:
            self._fail(worker.failure)
        self._finished()

    async def call(self, name: str, operation: Operation[Answer]) -> Answer:
        return await self._own.call(operation)

    def tell_all(self, operation: Operation[None]) -> None:
        raise NotImplementedError  # a graph in one process has no other hosts

    async def stop(self) -> None:
        self._stopping = True
        if self._worker is not None:
            await self._worker.stop()
        for watcher in self._watchers:
            watcher.cancel()
        await asyncio.gather(*self._watchers, return_exceptions=True)

    def counted(self) -> tuple[dict[str, Any], dict[str, dict[str, int]]]:
        if self._worker is not None:
            (process,) = self.processes.values()
            process.report = self._worker.snapshot()
        return super().counted()
