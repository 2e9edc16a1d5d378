"""The control socket: msgpack requests to a supervisor from nodes, workers and the command line.

Operations: ``parameters``, ``set`` (node, parameter, value), ``metrics``, ``graph``,
``restart`` (process), ``record`` (edge, path), ``record_stop`` (edge), ``stop``; ``presets``,
``preset_save`` (name, hotkey, and nodes or values), ``preset_apply`` (name), ``preset_delete``
(name), ``preset_import`` (presets), ``defaults``.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import zmq
import zmq.asyncio

from engine.errors import MienError, UsageError
from engine.wire import from_bytes, to_bytes

TIMEOUT_S = 5.0
Answer = Callable[[str, dict[str, Any]], Awaitable[Any]]


class Peer:
    """One end of a control connection: sends requests, answers requests, tells one-way news."""

    def __init__(self, socket: zmq.asyncio.Socket, answer: Answer) -> None:
        self._socket = socket
        self._answer = answer
        self._numbers = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[Any]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._router = socket.getsockopt(zmq.TYPE) == zmq.ROUTER
        self._reader = asyncio.get_running_loop().create_task(self._read())

    async def call(
        self, op: str, *, to: bytes | None = None, timeout_s: float = TIMEOUT_S, **arguments: Any
    ) -> Any:
        """Ask the other end. Raises MienError where it refuses or doesn't answer."""
        number = next(self._numbers)
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._waiting[number] = future
        try:
            await self._send(to, {"id": number, "op": op, "with": arguments})
            return await asyncio.wait_for(future, timeout_s)
        except TimeoutError:
            raise MienError(f"no answer to '{op}' within {timeout_s:.0f} s") from None
        finally:
            self._waiting.pop(number, None)

    async def tell(self, op: str, *, to: bytes | None = None, **arguments: Any) -> None:
        """Say something that needs no answer."""
        await self._send(to, {"op": op, "with": arguments})

    async def _send(self, to: bytes | None, message: dict[str, Any]) -> None:
        data = to_bytes(message)
        try:
            await self._socket.send_multipart([to, data] if to is not None else [data], zmq.NOBLOCK)
        except zmq.ZMQError as error:
            raise MienError(f"the control socket is closed: {error}") from None

    async def _read(self) -> None:
        while True:
            parts = await self._socket.recv_multipart()
            sender = parts[0] if self._router else None
            try:
                message = from_bytes(parts[-1])
                if "op" in message:
                    task = asyncio.get_running_loop().create_task(self._handle(sender, message))
                    self._tasks.add(task)
                    task.add_done_callback(self._tasks.discard)
                elif (future := self._waiting.get(message["id"])) and not future.done():
                    if "error" in message:
                        kind = UsageError if message.get("usage") else MienError
                        future.set_exception(kind(message["error"]))
                    else:
                        future.set_result(message.get("result"))
            except (ValueError, KeyError, TypeError, IndexError):
                continue  # not a request: nobody to answer to

    async def _handle(self, sender: bytes | None, message: dict[str, Any]) -> None:
        reply: dict[str, Any] = {"id": message.get("id")}
        try:
            arguments = {str(key): value for key, value in message.get("with", {}).items()}
            if sender is not None:
                arguments["sender"] = sender
            reply["result"] = await self._answer(str(message["op"]), arguments)
        except MienError as error:
            reply |= {"error": str(error), "usage": isinstance(error, UsageError)}
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            reply |= {"error": f"'{message['op']}' was refused: {error}", "usage": True}
        if message.get("id") is not None:
            try:
                await self._send(sender, reply)
            except MienError:
                return  # the asker is gone

    async def close(self) -> None:
        tasks = [self._reader, *self._tasks]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._socket.close(linger=0)


async def _refuse(op: str, arguments: dict[str, Any]) -> Any:
    raise UsageError(f"'{op}' is not for a client")


def ask(endpoint: str | Path, op: str, **arguments: Any) -> Any:
    """One request from outside, such as the command line. Raises MienError."""

    async def once() -> Any:
        context = zmq.asyncio.Context()
        socket = context.socket(zmq.DEALER)
        socket.linger = 0
        socket.connect(str(endpoint))
        peer = Peer(socket, _refuse)
        try:
            return await peer.call(op, **arguments)
        finally:
            await peer.close()
            context.destroy(linger=0)

    return asyncio.run(once())
