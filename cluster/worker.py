"""The process of one worker: `python -m cluster.worker`, started where Ray has found room.

It carries sessions as `mien serve` does on one machine, begins and ends them as the front says, and
tells it of files that a session needs to begin elsewhere. It ends when its standard input does.
"""

from __future__ import annotations

import asyncio
import contextlib
import copy
import importlib
import signal
import sys
from pathlib import Path
from typing import Any, Final

from cluster import messages as ms
from cluster.certificate import Certificate
from cluster.link import Keys, Line
from cluster.references import unpack
from cluster.session_files import PEOPLE, SETTINGS, digest_of, travels
from cluster.worker_front import WorkerFront
from engine.dispatch import Dispatcher
from engine.errors import MienError, words
from engine.folders import RunFolder
from engine.loops import input_over, run_loop
from engine.transport.wire import from_bytes
from nodes.web.options import Options
from nodes.web.security import is_loopback
from serving.device import device_of
from serving.machine import Machine
from serving.sessions import Session

CALL_S: Final = 20.0

Seen = tuple[int, int]
"""a file as it was: when it was changed [ns], bytes"""


class Worker:
    """``task``: graph, most (None: as many as fit, with cameras as ``expect`` says, into ``cores``,
    which the module ``measure`` finds out), linger_s, networks, device, first (what sessions begin
    with, digests by path), references (`cluster.references`); address, cert, key; of the front
    endpoint and server_key; name, keys (public, secret)."""

    _machine: Machine

    def __init__(self, task: dict[str, Any]) -> None:
        self._task = task
        self._stopping = asyncio.Event()
        self._told: set[asyncio.Task[None]] = set()
        self._seen: dict[tuple[str, str], Seen] = {}
        dispatcher = Dispatcher("{op} is not for a worker")
        dispatcher.on(ms.Begin, self._begin)
        dispatcher.on(ms.End, lambda asked: self._machine.sessions.end(asked.session))
        dispatcher.on(ms.Ping, lambda _: None)
        dispatcher.on(ms.Leave, lambda _: self._stopping.set())
        keys = Keys(*task["keys"])
        self._line = Line(task["endpoint"], task["server_key"], task["name"], keys, dispatcher)
        self._front = self._line.peer

    async def main(self) -> int:
        """Until it is told to leave; the exit code."""
        orphaned = asyncio.ensure_future(input_over(self._stopping))
        beside: list[asyncio.Future[None]] = []
        machine, code = None, 0
        given = RunFolder()
        try:
            machine = self._machine = self._make(await self._graph(given.path))
            certificate = self._certificate()
            cert, key = (certificate.cert, certificate.key) if certificate else ("", "")
            await machine.start()
            machine.sessions.first = await self._load(self._task["first"])
            await self._settle(machine)
            place = Options(host=self._task["address"], port=0, cert=cert, key=key)
            await machine.open(place, watched=self._task["most"] is None)
            fingerprint = certificate.fingerprint if certificate else ""
            url = machine.front.binding.url.partition("/?")[0]  # its token is nobody's
            hello = ms.Hello(url, fingerprint, machine.places.most)
            await self._front.call(hello, timeout_s=CALL_S)
            beside += [asyncio.ensure_future(self._replicate_all())]
            beside += [asyncio.ensure_future(self._figures())]
            while not self._stopping.is_set():
                await self._front.tell(ms.Beat(machine.places.free))
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._stopping.wait(), ms.BEAT_S)
        except MienError as error:
            code = error.exit_code
            await self._front.tell(ms.News("error", words(error)))
        finally:
            orphaned.cancel()
            for each in beside:
                each.cancel()
            if machine is not None:
                await machine.stop()
            await asyncio.gather(*self._told)
            await self._line.close()
            given.release()
        return code

    async def _graph(self, folder: Path) -> dict[str, Any]:
        """With its references on this machine."""
        graph: dict[str, Any] = copy.deepcopy(self._task["graph"])
        rows = self._task["references"]
        unpack(graph, rows, {digest: await self._fetch(digest) for digest, *_ in rows}, folder)
        return graph

    async def _settle(self, machine: Machine) -> None:
        """One session there and gone; how many fit, where that is to be measured."""
        task = self._task
        if task["most"] is not None:
            await machine.warm()
            return
        fits = importlib.import_module(task["measure"]).fits
        machine.places.most, told = await fits(machine, task["expect"], task["cores"])
        self._news("info", told)

    def _make(self, graph: dict[str, Any]) -> Machine:
        task = self._task
        machine = Machine(
            graph, self._news, most=task["most"] or 1, linger_s=task["linger_s"],
            networks=task["networks"], device=device_of(task["device"]), front=WorkerFront,
        )  # fmt: skip
        machine.sessions.on_end = self._ended
        return machine

    def _certificate(self) -> Certificate | None:
        """What encrypts the way to this worker where others could listen. Raises MienError."""
        if self._task["cert"]:
            return Certificate.read(self._task["cert"], self._task["key"])
        if is_loopback(self._task["address"]):
            return None
        return Certificate.made(self._machine.folder.path, self._task["address"])

    # -- sessions ----------------------------------------------------------------------------------

    async def _begin(self, asked: ms.Begin) -> None:
        session = self._machine.sessions.by_name.get(asked.session)
        if session is None:
            contents = await self._load(asked.files)
            session = self._machine.sessions.open(asked.session, contents)
            for path in contents:
                self._seen[session.name, path] = _seen(session.folder / path)
        await session.ready()

    async def _load(self, files: dict[str, str]) -> dict[str, bytes]:
        contents = {}
        for path, digest in files.items():
            if not travels(path):
                raise MienError(f"{path} is no file of a session")
            contents[path] = await self._fetch(digest)
        return contents

    async def _fetch(self, digest: str) -> bytes:
        data = await self._front.call(ms.Load(digest), timeout_s=CALL_S)
        if digest_of(data) != digest:
            raise MienError("what came of a file isn't what was asked for")
        return data

    def _ended(self, session: Session) -> None:
        for name, path in [key for key in self._seen if key[0] == session.name]:
            del self._seen[name, path]
        self._tell(ms.Over(session.name))

    async def _replicate_all(self) -> None:
        """Tell of each file that has changed, and give its content where it is wanted."""
        while True:
            for session in list(self._machine.sessions.by_name.values()):
                with contextlib.suppress(MienError):  # the front may know better; else soon again
                    await self._replicate(session)
            await asyncio.sleep(ms.BEAT_S)

    async def _replicate(self, session: Session) -> None:
        there = {path: place for path, place in _files(session.folder) if travels(path)}
        known = [path for name, path in self._seen if name == session.name]
        for path in [path for path in known if path not in there]:
            await self._front.call(ms.Keep(session.name, path, ""), timeout_s=CALL_S)
            self._seen.pop((session.name, path), None)
        for path, place in there.items():
            with contextlib.suppress(OSError):  # it was taken away meanwhile
                await self._send_new(session.name, path, place)

    async def _send_new(self, name: str, path: str, place: Path) -> None:
        seen = _seen(place)
        if self._seen.get((name, path)) == seen or seen[1] > ms.FILE_MOST:
            return
        data = await asyncio.to_thread(place.read_bytes)
        if await self._front.call(ms.Keep(name, path, digest_of(data)), timeout_s=CALL_S):
            await self._front.call(ms.Store(data), timeout_s=CALL_S)
        self._seen[name, path] = seen

    async def _figures(self) -> None:
        device = self._machine.device
        while True:
            await asyncio.sleep(ms.FIGURES_S)
            rows = dict(
                zip(self._machine.sessions.by_name, self._machine.sessions.figures(), strict=True)
            )
            await self._front.tell(ms.Figures(rows, device.figures if device is not None else {}))

    # -- words -------------------------------------------------------------------------------------

    def _news(self, level: str, text: str) -> None:
        self._tell(ms.News(level, text))

    def _tell(self, message: ms.News | ms.Over) -> None:
        task = asyncio.ensure_future(self._front.tell(message))
        self._told.add(task)
        task.add_done_callback(self._told.discard)


def _files(folder: Path) -> list[tuple[str, Path]]:
    places = [folder / SETTINGS, *sorted((folder / PEOPLE).glob("*"))]
    return [(place.relative_to(folder).as_posix(), place) for place in places if place.is_file()]


def _seen(place: Path) -> Seen:
    state = place.stat()
    return state.st_mtime_ns, state.st_size


async def _main(task: dict[str, Any]) -> int:
    return await Worker(task).main()


def start() -> int:
    """Read the task and run."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    size = int.from_bytes(sys.stdin.buffer.read(4), "little")
    task = from_bytes(sys.stdin.buffer.read(size))
    return run_loop(_main(task))


if __name__ == "__main__":
    raise SystemExit(start())
