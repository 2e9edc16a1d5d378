"""The encrypted line between a front and its workers: CURVE, and only keys that were let in."""

from __future__ import annotations

import contextlib
from typing import Any, NamedTuple

import zmq
import zmq.asyncio

from cluster.messages import FILE_MOST
from engine.control import ControlSocket
from engine.dispatch import Dispatcher
from engine.errors import MienError
from engine.run import Authenticator

_SLACK = 1 << 16


class Keys(NamedTuple):
    """A key pair, as text (Z85)."""

    public: str
    secret: str


def new_keys() -> Keys:
    """A pair for one run."""
    public, secret = zmq.curve_keypair()
    return Keys(public.decode(), secret.decode())


class Listener:
    """The front's end: a worker is called as its link is named, once its key was let in."""

    def __init__(self, address: str, dispatcher: Dispatcher) -> None:
        """Listen on a free port. Raises MienError."""
        self.keys = new_keys()
        self._context = zmq.asyncio.Context()
        self._authenticator = Authenticator(self._context, [])
        socket = _prepared(self._context.socket(zmq.ROUTER), self.keys)
        socket.curve_server = True
        socket.router_mandatory = True  # a worker that is gone is an error, not silence
        socket.setsockopt(zmq.ZAP_DOMAIN, b"mien")
        try:
            port = socket.bind_to_random_port(f"tcp://{address}")
        except zmq.ZMQError as error:
            self._authenticator.stop()
            self._context.destroy(linger=0)
            raise MienError(f"can't listen on {address}: {error}") from None
        self.endpoint = f"tcp://{address}:{port}"
        self.peer = ControlSocket(socket, dispatcher)

    def let_in(self, key: str) -> None:
        self._authenticator.let_in(key)

    async def close(self) -> None:
        await self.peer.close()
        with contextlib.suppress(RuntimeError):
            self._authenticator.stop()
        self._context.destroy(linger=0)


class Line:
    """A worker's end."""

    def __init__(
        self, endpoint: str, server_key: str, name: str, keys: Keys, dispatcher: Dispatcher
    ) -> None:
        self._context = zmq.asyncio.Context()
        socket = _prepared(self._context.socket(zmq.DEALER), keys)
        socket.curve_serverkey = server_key.encode()
        socket.routing_id = name.encode()
        socket.connect(endpoint)
        self.peer = ControlSocket(socket, dispatcher)

    async def close(self) -> None:
        await self.peer.close()
        self._context.destroy(linger=0)


def _prepared(socket: Any, keys: Keys) -> Any:
    socket.linger = 0
    socket.maxmsgsize = FILE_MOST + _SLACK
    socket.curve_publickey = keys.public.encode()
    socket.curve_secretkey = keys.secret.encode()
    return socket
