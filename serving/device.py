"""The process that owns a device, as the front sees it: started, asked for figures, kept alive."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from engine.errors import MienError
from engine.process import how_it_ended
from engine.program import ROOT
from inference.model import missing

EVERY_S: Final = 1.0
"""how often figures are asked for"""
AGAIN_AFTER_S: Final = 0.5
ANSWER_WITHIN_S: Final = 5.0


def device_of(asked: str) -> str:
    """auto, cpu or gpu as one of this machine. Raises MienError where a GPU is asked for and there
    is none."""
    why_not = missing("tensorrt")
    if asked == "gpu" and why_not is not None:
        raise MienError(f"--device gpu: {why_not}")
    return "cpu" if asked == "cpu" or why_not is not None else "gpu"


class Device:
    """One owner of a device's networks, through all its lives. ``address`` stays the same."""

    def __init__(self, folder: Path, name: str, event: Callable[[str, str], None]) -> None:
        """``name``: cpu or gpu; ``event`` (level, text) is for a person."""
        self.name = name
        self.address = str(folder / f"inference-{name}.sock")
        self.figures: dict[str, Any] = {"device": name, "networks": {}}
        self.pid = 0
        self._event = event
        self._listening: socket.socket | None = None
        self._process: asyncio.subprocess.Process | None = None
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Start it. Sessions may connect from here on; each network is loaded when it is wanted."""
        self._listening = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._listening.bind(self.address)
        self._listening.listen(256)
        await self._spawn()
        self._tasks = [asyncio.ensure_future(self._keep()), asyncio.ensure_future(self._look())]

    async def _spawn(self) -> None:
        assert self._listening is not None
        path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH", "")]))
        number = self._listening.fileno()
        self._process = await asyncio.create_subprocess_exec(
            sys.executable, "-P", "-m", "inference.owner", str(number), self.name,
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, pass_fds=(number,),
            env={**os.environ, "PYTHONPATH": path}, start_new_session=True,
        )  # fmt: skip
        self.pid = self._process.pid

    async def _keep(self) -> None:
        """A new one for one that died; sessions' nodes connect again by themselves."""
        while True:
            assert self._process is not None
            code = await self._process.wait()
            how = how_it_ended(code)
            self._event("error", f"what runs networks on the {self.name} {how}; restarted")
            await asyncio.sleep(AGAIN_AFTER_S)
            await self._spawn()

    async def _look(self) -> None:
        while True:
            with contextlib.suppress(OSError, TimeoutError, ValueError, MienError):
                async with asyncio.timeout(ANSWER_WITHIN_S):
                    self.figures = await self._ask()
            await asyncio.sleep(EVERY_S)

    async def _ask(self) -> dict[str, Any]:
        process = self._process
        if process is None or process.stdin is None or process.stdout is None:
            raise MienError("it isn't there")
        process.stdin.write(b"\n")
        await process.stdin.drain()
        figures: dict[str, Any] = json.loads(await process.stdout.readline())
        return figures

    async def stop(self) -> None:
        """End it."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()
            await self._process.wait()
        if self._listening is not None:
            self._listening.close()
