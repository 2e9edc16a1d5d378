"""Serves files of a person by the hash of their content, to those whose key was let in."""

from __future__ import annotations

from cluster import messages as ms
from cluster.link import Listener
from cluster.session_files import digest_of
from engine.dispatch import Dispatcher
from engine.errors import MienError


class FileServer:
    """Has contents, and gives each to whoever was let in and names its hash."""

    def __init__(self, address: str, contents: list[bytes]) -> None:
        self._contents = {digest_of(data): data for data in contents}
        dispatcher = Dispatcher("a file server has no answer to {op}")
        dispatcher.on(ms.Load, self._load)
        self._listener = Listener(address, dispatcher)

    def let_in(self, key: str) -> tuple[str, str]:
        """Where a link with this public key is answered, and by whose."""
        self._listener.let_in(key)
        return self._listener.endpoint, self._listener.keys.public

    def _load(self, asked: ms.Load) -> bytes:
        if asked.digest not in self._contents:
            raise MienError("there is no file of that hash")
        return self._contents[asked.digest]
