"""The sessions of a cluster, each with one of its workers; begun elsewhere where that one dies."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import time
from collections import defaultdict
from collections.abc import Callable
from typing import Any, Final

from cluster import messages as ms
from cluster.session_files import ContentStore, travels
from cluster.workers import Worker, Workers
from engine.errors import MienError, words

INSIDE: Final = "http://session/"
"""how a front calls what it asks a session"""
WORKERS_OWN: Final = ("fps", "camera_fps", "latency_ms", "cpu_s", "pss_mb", "own_mb")
AGAIN_S: Final = 0.3
BEGIN_WITHIN_S: Final = 2.0
MOVE_WITHIN_S: Final = 60.0
"""how long who was with a worker that died waits for a place, which a new worker may bring"""
GRACE_S: Final = 1.0
LEFT_WITHIN_S: Final = 5.0
"""how long a session that has moved goes on where it was, until its page has left by itself"""


class Way:
    """HTTP to a session, wherever it is."""

    def __init__(self, session: FarSession) -> None:
        self._session = session

    def request(self, method: str, url: str, **more: Any) -> Any:
        return self._http.request(method, self._far(url), **more)

    def ws_connect(self, url: str, **more: Any) -> Any:
        return self._http.ws_connect(self._far(url), **more)

    @property
    def _http(self) -> Any:
        worker = self._session.worker
        if worker is None or worker.http is None or worker.http.closed:
            raise ConnectionError("its worker is gone")
        return worker.http

    def _far(self, url: str) -> str:
        return f"{self._session.url}/{url.removeprefix(INSIDE)}"


class FarSession:
    """One visitor's, with all that it needs to begin again: ``files`` are digests by path."""

    def __init__(self, name: str, number: int, files: dict[str, str]) -> None:
        self.name = name
        self.number = number
        self.label = f"session {number}"
        self.files = files
        self.state = "starting"
        self.failure = ""
        self.worker: Worker | None = None
        self.moves = 0
        self.since_s = time.time()
        self.sockets = 0
        self.used_s = 0.0
        self.settled = asyncio.Event()
        self.over = asyncio.Event()
        self.http = Way(self)

    @property
    def url(self) -> str:
        """Where its worker has it."""
        return f"{self.worker.url}/s/{self.name}" if self.worker is not None else ""

    async def ready(self) -> None:
        """Until it can be asked. Raises MienError where it can't be started."""
        while self.state in ("starting", "moving"):
            await self.settled.wait()
        if self.state != "running":
            raise MienError(self.failure or "this session has ended")


class FarSessions:
    """What `serving.sessions.Sessions` is for one machine. ``first`` is what every session begins
    with: digests by path, held by ``kept``."""

    def __init__(
        self,
        workers: Workers,
        kept: ContentStore,
        event: Callable[[str, str], None],
        first: dict[str, str],
    ) -> None:
        self.by_name: dict[str, FarSession] = {}
        self.ended: dict[str, Any] = {"count": 0, "moves": 0}
        self.lines: defaultdict[str, set[asyncio.Transport | None]] = defaultdict(set)
        """pages that are in touch, by session"""
        self.workers = workers
        self._kept = kept
        self._event = event
        self._first = first
        self._numbers = itertools.count(1)
        self._tasks: set[asyncio.Task[Any]] = set()
        workers.on_lost = self._lost
        workers.on_over = self._over
        workers.on_keep = self._keep

    @property
    def now_s(self) -> float:
        return time.monotonic()

    def open(self, name: str) -> FarSession:
        """A new session; ``ready`` waits for it."""
        session = FarSession(name, next(self._numbers), dict(self._first))
        for digest in session.files.values():
            self._kept.hold(digest)
        self.by_name[name] = session
        self._spawn(self._begin(session))
        return session

    async def end(self, name: str) -> None:
        """End one, and forget all of it."""
        session = self.by_name.get(name)
        if session is None:
            return
        worker, session.state = session.worker, "ending"
        session.settled.set()
        if worker is not None and worker in self.workers.there:
            try:
                await self.workers.call(worker, ms.End(name))
            except MienError:
                self.workers.suspect(worker)
        self._forget(session)

    async def stop(self) -> None:
        """Forget all; the workers end them."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for session in list(self.by_name.values()):
            self._forget(session)

    async def drain(self, worker: Worker) -> None:
        """Move its sessions to others, one after another, and let it go.

        Each is ready elsewhere before it ends here, so that its visitor misses what a connection
        takes. Raises MienError where the others have too few places; the rest stays where it is.
        """
        worker.state = "closing"
        ends = []
        try:
            for session in [each for each in self.by_name.values() if each.worker is worker]:
                await self._move(session, worker)
                ends.append(asyncio.ensure_future(self._end_there(session, worker)))
        except MienError:
            worker.state = "ready"
            raise
        finally:
            await asyncio.gather(*ends)
        if worker in self.workers.there:
            self.workers.retire(worker)

    def suspect(self, name: str) -> None:
        """A line to this session has broken."""
        session = self.by_name.get(name)
        if session is not None and session.worker is not None:
            self.workers.suspect(session.worker)

    def figures(self) -> list[dict[str, Any]]:
        """Each session, by number; no word of who is in it."""
        return [
            {
                **self._there(session),
                "number": session.number,
                "state": session.state,
                "since_s": round(time.time() - session.since_s, 1),
                "pages": session.sockets,
                "worker": session.worker.name if session.worker is not None else None,
                "moves": session.moves,
            }
            for session in self.by_name.values()
        ]

    def _there(self, session: FarSession) -> dict[str, Any]:
        """What its worker says of it."""
        known = session.worker.figures.get(session.name, {}) if session.worker is not None else {}
        return dict.fromkeys(WORKERS_OWN) | {"connected": 0, "restarts": 0} | known

    # -- where it is -------------------------------------------------------------------------------

    async def _begin(self, session: FarSession) -> None:
        """Find a place for a session that has none."""
        within_s = BEGIN_WITHIN_S if session.state == "starting" else MOVE_WITHIN_S
        until_s = time.monotonic() + within_s
        while session.state in ("starting", "moving"):
            worker = self.workers.roomiest()
            if worker is None:
                session.failure = "no machine has a place for it just now"
            else:
                worker.taken.add(session.name)
                try:
                    await self.workers.call(worker, ms.Begin(session.name, session.files))
                except MienError as error:
                    worker.taken.discard(session.name)
                    session.failure = words(error)
                    self.workers.suspect(worker)
                else:
                    if session.state in ("starting", "moving") and worker.state != "lost":
                        session.worker, session.state, session.failure = worker, "running", ""
                        session.settled.set()
                    if session.worker is worker:
                        return
                    worker.taken.discard(session.name)
            if time.monotonic() > until_s:
                self._event("error", f"{session.label}: {session.failure}")
                self._forget(session)
            else:
                await asyncio.sleep(AGAIN_S)

    async def _move(self, session: FarSession, worker: Worker) -> None:
        other = self.workers.roomiest()
        if other is None:
            raise MienError(f"the other workers have no place for {session.label}")
        other.taken.add(session.name)
        try:
            await self.workers.call(other, ms.Begin(session.name, session.files))
        except MienError:
            other.taken.discard(session.name)
            raise
        session.worker = other
        session.moves += 1
        self.ended["moves"] += 1
        for transport in self.lines.get(session.name, ()):
            if transport is not None:
                transport.abort()  # without a goodbye, so that the page hurries back

    async def _end_there(self, session: FarSession, worker: Worker) -> None:
        """End what has moved, where it was, once nobody is connected there any more."""
        until_s = time.monotonic() + LEFT_WITHIN_S
        await asyncio.sleep(GRACE_S)
        while time.monotonic() < until_s and worker in self.workers.there:
            if not worker.figures.get(session.name, {}).get("connected"):
                break
            await asyncio.sleep(AGAIN_S)
        with contextlib.suppress(MienError):  # the worker ends it, too, or is gone
            await self.workers.call(worker, ms.End(session.name))
        worker.taken.discard(session.name)

    def _lost(self, worker: Worker) -> None:
        for session in list(self.by_name.values()):
            if session.worker is worker and session.state == "running":
                session.worker, session.state = None, "moving"
                session.settled.clear()
                session.moves += 1
                self.ended["moves"] += 1
                self._spawn(self._begin(session))

    # -- what workers say --------------------------------------------------------------------------

    def _over(self, name: str, worker: Worker) -> None:
        """Its visitor has left, or it can't be run."""
        worker.taken.discard(name)
        session = self.by_name.get(name)
        if session is not None and session.worker is worker:
            self._forget(session)

    def _keep(self, said: ms.Keep, worker: Worker) -> bool:
        session = self.by_name.get(said.session)
        if session is None or session.worker is not worker or not travels(said.path):
            return False
        if said.digest:
            self._kept.hold(said.digest)
        if before := session.files.pop(said.path, ""):
            self._kept.let_go(before)
        if not said.digest:
            return False
        session.files[said.path] = said.digest
        return not self._kept.has(said.digest)

    def _forget(self, session: FarSession) -> None:
        if self.by_name.get(session.name) is not session:
            return
        del self.by_name[session.name]
        for digest in session.files.values():
            self._kept.let_go(digest)
        if session.worker is not None:
            session.worker.taken.discard(session.name)
        self.ended["count"] += 1
        session.state = "ended"
        session.settled.set()
        session.over.set()

    def _spawn(self, coroutine: Any) -> None:
        task = asyncio.ensure_future(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
