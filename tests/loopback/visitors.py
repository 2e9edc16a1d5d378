"""Synthetic visitors of a cluster: what the page does, with pictures that say whose they are."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import secrets
import signal
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

import aiohttp
import psutil

from cluster.certificate import Certificate
from cluster.front import ClusterFront, FarPlaces
from cluster.session_files import ContentStore
from cluster.sessions import FarSessions
from cluster.workers import Plan, Workers
from engine.folders import RunFolder
from engine.types import U8
from nodes.web.options import Options
from tests.loopback import fits
from tests.loopback.rig import STRAIGHT, Client, Pictures, Tone, read_number, until

MARKS = 4_000
"""numbers that a visitor's pictures can have"""
STORE_BYTES = 80 << 20
AGAIN_S = 0.1
OVERLAP_S = 0.5
"""as the page: what is on its way still comes"""


@contextlib.contextmanager
def nodes(cores: tuple[float, ...]) -> Iterator[Any]:
    """A Ray cluster of several nodes on this machine, on loopback alone: `ray.cluster_utils`."""
    scratch = tempfile.TemporaryDirectory(prefix="mien-ray-", ignore_cleanup_errors=True)
    os.environ |= {
        "RAY_TMPDIR": scratch.name,
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
        "RAY_AUTH_MODE": "token",
        "RAY_worker_niceness": "0",
        "RAY_AUTH_TOKEN": secrets.token_hex(32),
    }
    from ray.cluster_utils import Cluster

    head = {"num_cpus": cores[0], "include_dashboard": False, "object_store_memory": STORE_BYTES}
    cluster: Any = Cluster(initialize_head=True, head_node_args=head)
    try:
        for count in cores[1:]:
            cluster.add_node(num_cpus=count, object_store_memory=STORE_BYTES)
        yield cluster
    finally:
        cluster.shutdown()
        scratch.cleanup()


class House:
    """A front with its workers, one on each node that has cores, and what it told. With a
    certificate of theirs, offers are handed through to them over TLS."""

    def __init__(
        self, ray: Any, workers: int, most: int | None, certificate: Certificate | None = None
    ) -> None:
        self.events: list[str] = []
        self._folder = RunFolder()
        kept = ContentStore(self._folder.path)
        task: dict[str, Any] = {
            "graph": STRAIGHT, "first": {}, "references": [], "most": most,
            "measure": fits.__name__, "expect": "320x240@15", "cores": 1.0, "linger_s": 10.0,
            "networks": "own", "device": "cpu",
            "cert": certificate.cert if certificate else "",
            "key": certificate.key if certificate else "",
        }  # fmt: skip
        self.workers = Workers(ray, task, Plan(least=workers, most=workers), kept, self._event)
        self.sessions = FarSessions(self.workers, kept, self._event, {})
        self.front = ClusterFront(
            self.sessions, FarPlaces(self.sessions, self.workers), redirects=certificate is None
        )

    def _event(self, level: str, text: str) -> None:
        self.events.append(f"{level}: {text}")

    @contextlib.asynccontextmanager
    async def open(self) -> AsyncIterator[House]:
        try:
            await self.workers.start()
            await self.front.start(Options(port=0))
            yield self
        finally:
            await self.front.stop()
            await self.sessions.stop()
            await self.workers.stop()
            self._folder.release()

    async def admin(self, method: str, path: str) -> str:
        """What who runs the cluster asks."""
        headers = {"Authorization": f"Bearer {self.front.admin.token}"}
        where = self.front.binding.url + path
        async with aiohttp.request(method, where, headers=headers) as answer:
            assert answer.status < 300, (answer.status, await answer.text())
            return await answer.text()

    def address(self, name: str) -> str:
        return f"{self.front.binding.url}/s/{name}"


def kill_whole(node: Any) -> float:
    """A machine that is gone: every process of a node at once; when [monotonic s]."""
    raylets = [process.process.pid for process in node.all_processes["raylet"]]
    roots = [psutil.Process(pid) for pid in raylets]
    family = [process for root in roots for process in (*root.children(recursive=True), root)]
    at_s = time.monotonic()
    for process in family:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.send_signal(signal.SIGKILL)
    node.kill_all_processes(check_alive=False, allow_graceful=False)
    return at_s


class Visitor:
    """Comes, stays, and comes again whenever the line to its session breaks, as the page does: what
    there is goes on until its successor is there."""

    def __init__(self, house: House, number: int, fps: int = 15) -> None:
        self.name = f"visitor-{number:03d}-{secrets.token_hex(8)}"
        self.address = house.address(self.name)
        self.pictures = Pictures(fps=fps, first=number * MARKS)
        self.seen: list[tuple[float, int]] = []
        """when [monotonic s] which mark came back"""
        self.comings = 0
        self._clients: list[Client] = []
        self._leaving: asyncio.Task[None] | None = None
        self._fps = fps
        self._living = asyncio.ensure_future(self._live())

    @property
    def own(self) -> range:
        return range(self.pictures.first, self.pictures.first + MARKS)

    async def leave(self) -> None:
        self._living.cancel()
        await asyncio.gather(self._living, return_exceptions=True)
        if self._leaving is not None:
            await self._leaving
        await self._hang_up(self._clients)

    async def ask(self, op: str, **fields: Any) -> Any:
        """What its page asks its engine."""
        async with (
            aiohttp.ClientSession() as http,
            http.ws_connect(self.address + "/ws") as line,
        ):
            await line.send_json({"id": 1, "op": op, **fields})
            async for message in line:
                if (answer := message.json()).get("id") == 1:
                    return answer["result"]
        raise AssertionError("no answer")

    async def value(self, node: str, parameter: str) -> Any:
        rows = (await self.ask("parameters"))[node]
        return next(row["value"] for row in rows if row["name"] == parameter)

    def back_s(self, since_s: float) -> float | None:
        """How long after ``since_s`` a picture came back that was sent after it."""
        sent_s = {number: ns / 1e9 for number, ns in list(self.pictures.sent_ns.items())}
        came = [at for at, mark in self.seen if sent_s.get(mark, 0) > since_s]
        return came[0] - since_s if came else None

    def foreign(self) -> list[int]:
        """Marks of others that were seen here."""
        return [mark for _, mark in self.seen if mark not in self.own]

    def twice(self) -> int:
        """How many pictures came back by two connections."""
        return len(self.seen) - len({mark for _, mark in self.seen})

    def pause_s(self, since_s: float) -> float:
        """The longest pause between pictures since then."""
        times = [at for at, _ in self.seen if at >= since_s - 0.5]
        return max(after - before for before, after in itertools.pairwise(times))

    async def _live(self) -> None:
        async with aiohttp.ClientSession() as http:
            while True:
                with contextlib.suppress(aiohttp.ClientError, AssertionError, OSError):
                    async with http.get(self.address + "/seat") as seat:
                        if seat.status != 200:
                            raise OSError("no place yet")
                    async with http.ws_connect(self.address + "/ws") as line:
                        await self._come()
                        async for _ in line:
                            pass
                await asyncio.sleep(AGAIN_S)

    async def _come(self) -> None:
        """Anew: a camera's pictures go on where they were."""
        last = self.pictures
        self.pictures = Pictures(fps=self._fps, first=last.first)
        self.pictures.number, self.pictures.sent_ns = last.number, last.sent_ns
        self.pictures._start_s = time.monotonic() - last.number / self._fps
        up, down = clients = [Client(self.address), Client(self.address)]
        down.pictures = _Read(self.seen)  # type: ignore[assignment]  # it is appended to
        try:
            await _connected(await up.publish("/session", self.pictures, Tone()))
            await _connected(await down.view())
        except BaseException:
            await asyncio.gather(*(client.close() for client in clients), return_exceptions=True)
            raise
        former, self._clients = self._clients, clients
        self.comings += 1
        self._leaving = asyncio.ensure_future(self._hang_up(former, OVERLAP_S))

    async def _hang_up(self, clients: list[Client], after_s: float = 0.0) -> None:
        await asyncio.sleep(after_s)
        await asyncio.gather(*(client.close() for client in clients), return_exceptions=True)


async def _connected(client: Client) -> None:
    await until(lambda: client.connection.connectionState == "connected", within_s=5)


class _Read:
    """Takes pictures as they come, and keeps their marks."""

    def __init__(self, seen: list[tuple[float, int]]) -> None:
        self._seen = seen

    def append(self, came: tuple[int, Any]) -> None:
        at_ns, frame = came
        picture = frame.to_ndarray(format="bgr24")
        if is_marked(picture):
            self._seen.append((at_ns / 1e9, read_number(picture)))


def is_marked(picture: U8) -> bool:
    """Whether it is a visitor's picture, rather than a title: each bit is black or white."""
    if picture.shape[:2] != (240, 320):
        return False
    row = picture[12:20, 8:264].reshape(8, 16, 16, 3)[:, :, 4:12].mean(axis=(0, 2, 3))
    return bool(((row < 60) | (row > 190)).all())
