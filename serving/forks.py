"""The template, seen from the front: started, asked for forks, heard of how each one ends."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from collections.abc import Callable, Iterable
from typing import Any, Final

from engine.errors import MienError
from engine.program import ROOT
from engine.transport.wire import from_bytes, to_bytes
from serving.socket_pair import pair, received

START_WITHIN_S: Final = 60.0
END_WITHIN_S: Final = 3.0

Ended = Callable[[int], None]
"""told the exit code, negative for a signal"""


class Forks:
    """Processes forked from one template. ``lost`` is called when the template itself has ended."""

    def __init__(self, lost: Callable[[], None]) -> None:
        self.pid = 0
        self._lost = lost
        self._line: socket.socket | None = None
        self._process: asyncio.subprocess.Process | None = None
        self._ready = asyncio.Event()
        self._asked: dict[str, tuple[asyncio.Future[int], Ended]] = {}
        self._by_pid: dict[int, Ended] = {}

    async def start(self, modules: Iterable[str]) -> None:
        """Start the template, which also imports ``modules``. Raises MienError."""
        self._line, theirs = pair()
        self._line.setblocking(False)
        path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH", "")]))
        # Threads don't survive a fork; an arena of memory for each would stay in every session.
        alone = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "1"}
        try:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable, "-P", "-m", "serving.template", str(theirs.fileno()), *modules,
                stdin=asyncio.subprocess.DEVNULL, pass_fds=(theirs.fileno(),),
                env={**os.environ, **alone, "PYTHONPATH": path}, start_new_session=True,
            )  # fmt: skip
        finally:
            theirs.close()
        self.pid = self._process.pid
        asyncio.get_running_loop().add_reader(self._line, self._heard)
        try:
            await asyncio.wait_for(self._ready.wait(), START_WITHIN_S)
        except TimeoutError:
            raise MienError("the process that sessions are made from doesn't start") from None

    async def fork(self, task: dict[str, Any], line: socket.socket, ended: Ended) -> int:
        """The process id of a new session for ``task``, which has a name of its own and gets
        ``line``. Raises OSError where the template is gone."""
        if self._line is None:
            raise OSError("the template isn't running")
        forked: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._asked[task["name"]] = forked, ended
        socket.send_fds(self._line, [to_bytes(task)], [line.fileno()])
        line.close()
        return await forked

    async def stop(self) -> None:
        """End the template, and with it whatever was forked."""
        if self._line is not None:
            asyncio.get_running_loop().remove_reader(self._line)
            self._line.close()
            self._line = None
        if self._process is not None:
            try:
                await asyncio.wait_for(self._process.wait(), END_WITHIN_S)
            except TimeoutError:
                self._process.kill()
                await self._process.wait()

    def _heard(self) -> None:
        assert self._line is not None
        if (data := received(self._line)) is None:
            return
        if not data:
            asyncio.get_running_loop().remove_reader(self._line)
            self._ready.set()
            self._lost()
            return
        message = from_bytes(data)
        if "ready" in message:
            self._ready.set()
        elif "code" in message:
            if (ended := self._by_pid.pop(message["pid"], None)) is not None:
                ended(message["code"])
        elif (asked := self._asked.pop(message["name"], None)) is not None:
            forked, self._by_pid[message["pid"]] = asked
            forked.set_result(message["pid"])
