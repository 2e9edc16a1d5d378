"""Sends files of a person to where work is done: by the hash of their content, encrypted.

Ray hands over public keys only; contents go over a link of their own.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import importlib
import secrets
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from cluster import messages as ms
from cluster import remote
from cluster.link import Line, new_keys
from cluster.session_files import digest_of
from engine.dispatch import Dispatcher
from engine.errors import MienError
from engine.folders import RunFolder

_CALL_S = 60.0


class Parcel(NamedTuple):
    """A file that is on its way: who has it, the hash of its content, its name."""

    server: str
    digest: str
    name: str


@contextlib.contextmanager
def sent(ray: Any, files: Mapping[str, Path]) -> Iterator[dict[str, Parcel]]:
    """What stands for each file until the block ends. Raises MienError where one can't be read."""
    try:
        contents = {key: path.read_bytes() for key, path in files.items()}
    except OSError as error:
        raise MienError(f"{error.filename} can't be read: {error.strerror}") from None
    if not contents:
        yield {}
        return
    name = f"mien-server-{secrets.token_hex(8)}"
    strategies: Any = importlib.import_module("ray.util.scheduling_strategies")
    here = strategies.NodeAffinitySchedulingStrategy(
        node_id=ray.get_runtime_context().get_node_id(), soft=False
    )
    server = (
        ray.remote(remote.FileActor)
        .options(name=name, num_cpus=0, scheduling_strategy=here)
        .remote()
    )
    try:
        ray.get(server.open.remote(list(contents.values())))
        yield {
            key: Parcel(name, digest_of(data), files[key].name) for key, data in contents.items()
        }
    finally:
        ray.kill(server)


@cache
def received(parcel: Parcel) -> Path:
    """The file, on this machine for as long as this process lives. Raises MienError."""
    ray: Any = importlib.import_module("ray")
    keys = new_keys()
    server = ray.get_actor(parcel.server)
    endpoint, server_key = ray.get(server.let_in.remote(keys.public))

    async def load() -> bytes:
        line = Line(endpoint, server_key, secrets.token_hex(8), keys, Dispatcher())
        try:
            return await line.peer.call(ms.Load(parcel.digest), timeout_s=_CALL_S)
        finally:
            await line.close()

    data = asyncio.run(load())
    if digest_of(data) != parcel.digest:
        raise MienError(f"{parcel.name} isn't what it should be")
    place = _folder() / parcel.digest / parcel.name
    place.parent.mkdir(mode=0o700)
    place.touch(mode=0o600)
    place.write_bytes(data)
    return place


@cache
def _folder() -> Path:
    folder = RunFolder()
    atexit.register(folder.release)
    return folder.path
