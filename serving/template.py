"""The process that sessions are forked from: all is imported once, and its memory is shared.

Started by `serving.forks` as `python -m serving.template FD MODULE...`. It has one thread, no
event loop and no socket but the line to the front, so that a fork is whole. It ends, with its
children, when that line does.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import os
import selectors
import signal
import socket
import sys
import time
import traceback
from typing import Any, Final, NoReturn

from engine.transport.wire import from_bytes, to_bytes
from serving.socket_pair import MESSAGE_MOST

END_WITHIN_S: Final = 2.0
IMPORTED: Final = (
    "aiohttp.web", "aiortc", "av", "cv2", "numpy", "uvloop", "prometheus_client",
    "numpy.ma.extras", "cryptography.hazmat.backends.openssl.backend",
    "cryptography.hazmat.primitives.serialization.ssh", "ai_edge_litert.interpreter",
    "serving.session", "nodes.web.avatar_file", "nodes.web.server", "nodes.web.intake",
    "nodes.web.encode", "nodes.web.viewer", "nodes.web.voice", "nodes.web.figures",
    "nodes.web.color", "nodes.web.stamps", "inference.model", "face.render.actor",
    "face.render.warp", "face.expression.people",
)  # fmt: skip
"""what sessions need sooner or later"""


class Template:
    """Forks a session per request and says how each one ends."""

    def __init__(self, front: socket.socket) -> None:
        self._front = front
        self._children: set[int] = set()
        self._wake, self._woken = socket.socketpair()
        self._wake.setblocking(False)
        self._selector = selectors.DefaultSelector()

    def run(self) -> None:
        """Until the front is gone."""
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(self._wake.fileno(), warn_on_full_buffer=False)
        self._selector.register(self._front, selectors.EVENT_READ)
        self._selector.register(self._woken, selectors.EVENT_READ)
        self._tell({"ready": True})
        while True:
            for key, _ in self._selector.select():
                if key.fileobj is self._woken:
                    self._woken.recv(4096)
                    self._reap()
                elif not self._asked():
                    self._end()
                    return

    def _asked(self) -> bool:
        data, descriptors, _, _ = socket.recv_fds(self._front, MESSAGE_MOST, 1)
        if not data:
            return False
        task = from_bytes(data)
        (descriptor,) = descriptors
        pid = os.fork()
        if pid == 0:
            self._become(task, socket.socket(fileno=descriptor))
        os.close(descriptor)
        self._children.add(pid)
        self._tell({"name": task["name"], "pid": pid})
        return True

    def _become(self, task: dict[str, Any], line: socket.socket) -> NoReturn:
        """The child's life: a session, and nothing of the template's."""
        code = 1
        try:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            self._selector.close()
            for end in (self._front, self._wake, self._woken):
                end.close()
            code = importlib.import_module("serving.session").run(task, line)
        except BaseException:
            traceback.print_exc()
        finally:
            with contextlib.suppress(Exception):
                sys.stderr.flush()
            os._exit(code)

    def _reap(self) -> None:
        while self._children:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                return
            self._children.discard(pid)
            self._tell({"pid": pid, "code": os.waitstatus_to_exitcode(status)})

    def _end(self) -> None:
        """Sessions end by themselves when the front does; those that can't are ended."""
        deadline_s = time.monotonic() + END_WITHIN_S
        while self._children and time.monotonic() < deadline_s:
            self._selector.select(deadline_s - time.monotonic())
            with contextlib.suppress(BlockingIOError):
                self._woken.setblocking(False)
                self._woken.recv(4096)
            self._reap()
        for pid in self._children:
            os.kill(pid, signal.SIGKILL)

    def _tell(self, message: dict[str, Any]) -> None:
        with contextlib.suppress(OSError):  # the front is gone, which is seen at the next select
            self._front.send(to_bytes(message))


def main(arguments: list[str]) -> int:
    """``arguments``: the line's descriptor, and what else the sessions' graph imports."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # the front's business
    front = socket.socket(fileno=int(arguments[0]))
    sys.setswitchinterval(0.0005)
    for name in (*IMPORTED, *arguments[1:]):
        importlib.import_module(name)
    from serving.session import warm

    warm()
    gc.collect()
    gc.freeze()  # what is here stays here: a collection in a child would copy its pages
    Template(front).run()
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
