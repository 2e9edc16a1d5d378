"""The control socket: operations as msgpack, from nodes, workers and the command line."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from pathlib import Path
from typing import Any

import zmq
import zmq.asyncio

from engine.dispatch import Dispatcher
from engine.errors import MienError, UsageError, words
from engine.operations import Answer, Operation, answer_to, fields_of, op_of
from engine.transport.wire import from_bytes, to_bytes

TIMEOUT_S = 5.0
REPORTS_MOST = 32
"""messages that wait at either end of a worker's control socket"""
REQUESTS_MOST = 256
"""requests that are being answered; more are refused"""


class _BusyError(MienError):
    """What was sent before hasn't been read yet."""


class ControlSocket:
    """One end of a control connection: sends requests, answers requests, tells one-way news."""

    def __init__(self, socket: zmq.asyncio.Socket, dispatcher: Dispatcher) -> None:
        self._socket = socket
        self._dispatcher = dispatcher
        self.dropped = 0
        self._numbers = itertools.count(1)
        self._waiting: dict[int, tuple[bytes | None, asyncio.Future[Any]]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._router = socket.getsockopt(zmq.TYPE) == zmq.ROUTER
        self._reader = asyncio.get_running_loop().create_task(self._read())

    async def call(
        self,
        operation: Operation[Answer],
        *,
        to: bytes | None = None,
        timeout_s: float = TIMEOUT_S,
    ) -> Answer:
        """Ask the other end. Raises MienError where it refuses or doesn't answer."""
        op = op_of(type(operation))
        number = next(self._numbers)
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._waiting[number] = to, future
        try:
            await self._send(to, {"id": number, "op": op, "with": fields_of(operation)})
            return answer_to(operation, await asyncio.wait_for(future, timeout_s))
        except TimeoutError:
            raise MienError(f"no answer to '{op}' within {timeout_s:.0f} s") from None
        finally:
            self._waiting.pop(number, None)

    async def tell(self, operation: Operation[Any], *, to: bytes | None = None) -> None:
        """Say something that needs no answer; dropped and counted where the other end is slow."""
        try:
            op = op_of(type(operation))
            await self._send(to, {"op": op, "with": fields_of(operation)})
        except _BusyError:
            self.dropped += 1

    async def _send(self, to: bytes | None, message: dict[str, Any]) -> None:
        try:
            data = to_bytes(message)
        except (TypeError, ValueError, OverflowError) as error:
            raise UsageError(f"it can't be sent to another process: {error}") from None
        try:
            await self._socket.send_multipart([to, data] if to is not None else [data], zmq.NOBLOCK)
        except zmq.Again:
            raise _BusyError("the other end of the control socket is busy; try again") from None
        except zmq.ZMQError as error:
            raise MienError(f"the control socket is closed: {error}") from None

    async def _read(self) -> None:
        while True:
            parts = await self._socket.recv_multipart()
            # What is there already is had without waiting; others must have their turn, too.
            await asyncio.sleep(0)
            # What is neither a request nor an answer leaves nobody to tell.
            with contextlib.suppress(ValueError, KeyError, TypeError):
                self._take(parts[0] if self._router else None, from_bytes(parts[-1]))

    def _take(self, sender: bytes | None, message: Any) -> None:
        if not isinstance(message, dict):
            raise ValueError("no request")
        if "op" in message:
            task = asyncio.get_running_loop().create_task(self._handle(sender, message))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
            return
        asked, future = self._waiting[message["id"]]
        # Whoever else is at the socket has no say in it.
        if sender == asked and not future.done():
            if "error" in message:
                kind = UsageError if message.get("usage") else MienError
                future.set_exception(kind(str(message["error"])))
            else:
                future.set_result(message.get("result"))

    async def _handle(self, sender: bytes | None, message: dict[str, Any]) -> None:
        reply: dict[str, Any] = {"id": message.get("id")}
        try:
            if len(self._tasks) > REQUESTS_MOST:
                raise MienError("too many requests at once; try again")
            operation = self._dispatcher.read(message["op"], message.get("with", {}))
            reply["result"] = await self._dispatcher.call(operation, sender)
        except MienError as error:
            reply |= {"error": words(error), "usage": isinstance(error, UsageError)}
        except Exception as error:  # whatever was asked, the asker is told and others are served
            op = str(message["op"])[:40]
            reply |= {"error": f"{op!r} was refused: {words(error)}", "usage": True}
        if reply["id"] is not None:
            with contextlib.suppress(MienError):  # the asker is gone
                await self._send(sender, reply)

    async def close(self) -> None:
        tasks = [self._reader, *self._tasks]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._socket.close(linger=0)


def ask(endpoint: str | Path, operation: Operation[Answer]) -> Answer:
    """One request from outside, such as the command line. Raises MienError."""

    async def once() -> Answer:
        context = zmq.asyncio.Context()
        socket = context.socket(zmq.DEALER)
        socket.linger = 0
        socket.connect(str(endpoint))
        peer = ControlSocket(socket, Dispatcher("{op} is not for a client"))
        try:
            return await peer.call(operation)
        finally:
            await peer.close()
            context.destroy(linger=0)

    return asyncio.run(once())
