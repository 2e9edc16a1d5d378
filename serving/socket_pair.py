"""A connection of two processes of one machine that keeps messages apart."""

from __future__ import annotations

import socket
from typing import Final

MESSAGE_MOST: Final = 1 << 20
"""bytes of one message"""


def pair() -> tuple[socket.socket, socket.socket]:
    """Both ends of a line."""
    return socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)


def received(line: socket.socket) -> bytes | None:
    """The next message; none has come yet: None; none will come any more: empty."""
    try:
        return line.recv(MESSAGE_MOST)
    except BlockingIOError:
        return None
    except OSError:
        return b""
