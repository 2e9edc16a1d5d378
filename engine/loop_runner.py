"""Drives a node on the event loop: its start and its end take their time, in tasks of their own."""

from __future__ import annotations

import asyncio
import time

from engine.errors import words
from engine.node import LoopNode
from engine.runner import Runner


class LoopRunner(Runner):
    """One that keeps failing is stopped and a new one started, as other nodes are set up again."""

    _change: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Raises what the node raises."""
        await self._node().start()
        self.set_up()

    async def stop(self) -> None:
        """Whatever is under way ends first; then the node, where it was started."""
        if self._change is not None:
            await asyncio.gather(self._change, return_exceptions=True)
        if self.is_set_up:
            self.is_set_up = False
            await self._node().stop()

    def close(self) -> None:
        """It failed too often: messages are left until another is there."""
        if self.is_set_up:
            self.is_set_up = False
            self._change = asyncio.get_running_loop().create_task(self._stop(self._node()))

    def _set_up_again(self) -> bool:
        changing = self._change is not None and not self._change.done()
        if not changing and not self._finished and time.monotonic_ns() >= self._retry_ns:
            self._change = asyncio.get_running_loop().create_task(self._start_again())
        return False

    async def _start_again(self) -> None:
        self.node = self.spec.node_type(self.spec.config, self.context)
        self._handlers = {port: getattr(self.node, f"on_{port}", None) for port in self.spec.inputs}
        node = self._node()
        try:
            await node.start()
        except Exception as error:
            self.stats.errors += 1
            self._status("failed", words(error))
            await self._stop(node)
            self._postpone()
            return
        self._failures = 0
        self.stats.restarts += 1
        self.set_up()
        self.host.event("warning", f"{self.name} was set up again")

    async def _stop(self, node: LoopNode) -> None:
        try:
            await node.stop()
        except Exception as error:  # a new one is started all the same
            self.host.event("error", f"{self.name}: stopping failed: {words(error)}")

    def _node(self) -> LoopNode:
        assert isinstance(self.node, LoopNode)
        return self.node
