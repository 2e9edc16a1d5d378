"""Tunnel: TLS to a server whose certificate is checked, for who speaks without it.

FFmpeg's own TLS asks nobody for who they are unless it is told to, and PyAV has no way to tell it:
a stream's key would go to whoever answers. PyAV connects without letting other threads run, so
what carries bytes is a process of its own, `python -m nodes.sinks.tunnel HOST PORT`, which ends
with its standard input.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import ssl
import subprocess
import sys
from collections.abc import Coroutine
from typing import Any, Final

from engine.errors import MienError
from engine.program import ROOT
from nodes.trust import reason

WITHIN_S: Final = 5.0
_BLOCK: Final = 65_536
"""bytes on the way; more would hide from the sender that the network is slow"""
_END_S: Final = 2.0


class Tunnel:
    """What the first who connects to ``port`` of this machine says goes to a server, encrypted, and
    back."""

    def __init__(self, host: str, port: int, without: str = "") -> None:
        """``without``: a variable of this process's that isn't handed on. Raises MienError where
        no trusted connection comes about, with the reason."""
        path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH", "")]))
        handed = {name: value for name, value in os.environ.items() if name != without}
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "nodes.sinks.tunnel", host, str(port)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True,
            env={**handed, "PYTHONPATH": path},
        )  # fmt: skip
        assert self._process.stdout is not None
        with self._process.stdout as told:
            said = told.readline().strip()
        if not said.isdecimal():
            self.close()
            raise MienError(said or "what speaks TLS for it didn't start")
        self.port = int(said)

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            self._process.wait(_END_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


async def carry_between(host: str, port: int) -> None:
    """Say a port, and carry for who connects to it until either side ends. Raises MienError."""
    try:
        async with asyncio.timeout(WITHIN_S):
            far, to_far = await asyncio.open_connection(
                host, port, ssl=ssl.create_default_context()
            )
    except TimeoutError:
        raise MienError("no answer comes") from None
    except (OSError, UnicodeError) as error:
        raise MienError(reason(error)) from None
    with socket.create_server(("127.0.0.1", 0), backlog=1) as door:
        door.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BLOCK)
        door.setblocking(False)
        print(door.getsockname()[1], flush=True)
        connection, _ = await asyncio.get_running_loop().sock_accept(door)
    near, to_near = await asyncio.open_connection(sock=connection)
    await _first(_carry(near, to_far), _carry(far, to_near))
    to_near.close()
    to_far.close()


async def _carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):  # it went away
        while block := await reader.read(_BLOCK):
            writer.write(block)
            await writer.drain()


async def _first(*works: Coroutine[Any, Any, None]) -> None:
    """Until one of them ends; then the others do. Raises what that one raises."""
    tasks = [asyncio.ensure_future(work) for work in works]
    done, others = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
    for task in done:
        task.result()


async def main(host: str, port: int) -> None:
    """Carry until this process's standard input ends; one line of output: a port, or a reason."""

    async def ended() -> None:
        await asyncio.to_thread(sys.stdin.read)

    try:
        await _first(carry_between(host, port), ended())
    except MienError as error:
        print(error, flush=True)
    os._exit(0)  # whoever still waits for standard input ends here


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2])))
