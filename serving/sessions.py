"""The sessions of one machine: started, heard, restarted alone where they fail, ended whole."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import shutil
import signal
import socket
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import aiohttp
import psutil

from engine.clock import RunningTime
from engine.errors import MienError
from engine.process import how_it_ended
from engine.transport.wire import from_bytes, to_bytes
from serving.forks import END_WITHIN_S, Forks
from serving.socket_pair import pair, received

READY_WITHIN_S: Final = 60.0
WATCH_EVERY_S: Final = 0.5
RESTARTS_MOST: Final = 3
"""lives in a row that are over within ``HEALTHY_AFTER_S``"""
HEALTHY_AFTER_S: Final = 10.0

Event = Callable[[str, str], None]


class Session:
    """One visitor's process, through all its lives. ``number`` is what others call it."""

    def __init__(self, name: str, number: int, folder: Path) -> None:
        self.name = name
        self.number = number
        self.folder = folder
        self.label = f"session {number}"
        self.since_s = time.time()
        self.state = "starting"
        self.failure = ""
        self.restarts = 0
        self.short_lives = 0
        self.pid = 0
        self.line: socket.socket | None = None
        self.beat: dict[str, Any] = {}
        self.sockets = 0
        """what the front holds open for it: pages' lines"""
        self.heard_s = self.used_s = self.started_s = 0.0
        self.settled = asyncio.Event()
        """it is ready, or has failed"""
        self.over = asyncio.Event()
        self.http = aiohttp.ClientSession(
            connector=aiohttp.UnixConnector(str(folder / "http.sock"), limit=0),
            timeout=aiohttp.ClientTimeout(total=READY_WITHIN_S),
            auto_decompress=False,
        )

    @property
    def connected(self) -> int:
        return int(self.beat.get("connected", 0))

    @property
    def in_use(self) -> bool:
        """Whether anybody is there, or about to be."""
        return self.sockets > 0 or int(self.beat.get("peers", 0)) > 0

    async def ready(self) -> None:
        """Until it can be asked. Raises MienError where it can't be started."""
        while self.state in ("starting", "restarting"):
            await self.settled.wait()
        if self.state != "running":
            raise MienError(self.failure or "this session has ended")

    def tell(self, message: dict[str, Any]) -> None:
        if self.line is not None:
            with contextlib.suppress(OSError):
                self.line.send(to_bytes(message))

    def kill(self) -> None:
        if self.pid:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)


class Sessions:
    """Sessions by name. ``event`` (level, text) is for a person; ``graph`` is plain data."""

    def __init__(
        self,
        graph: dict[str, Any],
        folder: Path,
        event: Event,
        *,
        linger_s: float = 5.0,
        silent_after_s: float = 5.0,
    ) -> None:
        self.by_name: dict[str, Session] = {}
        self.ended: dict[str, Any] = {"count": 0, "restarts": 0}
        self.on_end: Callable[[Session], None] = lambda _: None
        self.first: Mapping[str, bytes] = {}
        """files that each session begins with, by their path in its folder"""
        self.linger_s = linger_s
        """how long a session waits for its visitor to come back"""
        self._graph = graph
        self._folder = folder
        self._event = event
        self._silent_after_s = silent_after_s
        self._numbers = itertools.count(1)
        self._forks = Forks(self._lost)
        self._tasks: set[asyncio.Task[Any]] = set()
        self._ran = RunningTime(2 * WATCH_EVERY_S)
        self._watch: asyncio.Task[None] | None = None

    @property
    def pid(self) -> int:
        """The process that sessions are forked from."""
        return self._forks.pid

    @property
    def now_s(self) -> float:
        """Seconds for which this process ran."""
        return self._ran.seconds

    # -- the template ------------------------------------------------------------------------------

    async def start(self) -> None:
        """Start the process that sessions are forked from. Raises MienError."""
        if sys.platform != "linux":
            raise MienError("sessions that share a machine need Linux; elsewhere run live for each")
        types = {str(node["type"]) for node in self._graph["nodes"].values()}
        await self._forks.start(sorted(name.partition(":")[0] for name in types if ":" in name))
        self._watch = asyncio.ensure_future(self._look())

    async def stop(self) -> None:
        """End all of them, and leave nothing behind."""
        if self._watch is not None:
            self._watch.cancel()
        await asyncio.gather(*(self.end(name) for name in list(self.by_name)))
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._forks.stop()

    def _lost(self) -> None:
        self._event("error", "the process that sessions are made from has ended; start anew")
        for orphan in list(self.by_name.values()):  # nobody would say how they end
            orphan.kill()
            self._spawn(self._bury(orphan))

    def _spawn(self, coroutine: Any) -> None:
        task = asyncio.ensure_future(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # -- a session's life --------------------------------------------------------------------------

    def open(self, name: str, contents: Mapping[str, bytes] | None = None) -> Session:
        """A new session; ``ready`` waits for it. It begins with these files in its folder, else
        with those that each begins with."""
        number = next(self._numbers)
        folder = self._folder / f"s{number}"
        folder.mkdir(mode=0o700)
        for path, data in (self.first if contents is None else contents).items():
            place = folder / path
            place.parent.mkdir(mode=0o700, exist_ok=True)
            place.touch(mode=0o600)
            place.write_bytes(data)
        session = self.by_name[name] = Session(name, number, folder)
        session.used_s = self._ran.seconds
        self._spawn(self._fork(session))
        return session

    async def end(self, name: str) -> None:
        """End one, and free all that it held."""
        session = self.by_name.get(name)
        if session is None:
            return
        if session.state != "ending":
            session.state = "ending"
            session.settled.set()
            session.tell({"stop": True})  # one that is being forked is told when it is there
            try:
                await asyncio.wait_for(session.over.wait(), END_WITHIN_S)
            except TimeoutError:
                session.kill()
        await session.over.wait()

    async def _fork(self, session: Session) -> None:
        mine, theirs = pair()
        mine.setblocking(False)
        raw = self._graph
        out = raw["nodes"][raw.get("roles", {}).get("out", "out")]
        out["parameters"] = {
            **out.get("parameters", {}), "socket": str(session.folder / "http.sock")
        }  # fmt: skip
        task = {"name": session.name, "graph": raw, "folder": str(session.folder)}
        session.beat = {}
        session.started_s = session.heard_s = self._ran.seconds
        session.line = mine
        (session.folder / "http.sock").unlink(missing_ok=True)
        try:
            session.pid = await self._forks.fork(
                task, theirs, lambda code: self._spawn(self._died(session, code))
            )
        except OSError:
            session.failure = "sessions can't be started any more"
            await self._bury(session)
            return
        finally:
            theirs.close()
        asyncio.get_running_loop().add_reader(mine, self._beat, session, mine)
        if session.state == "ending":
            session.tell({"stop": True})

    def _beat(self, session: Session, line: socket.socket) -> None:
        if (data := received(line)) is None:
            return
        if not data:
            asyncio.get_running_loop().remove_reader(line)
            return
        session.heard_s = self._ran.seconds
        message = from_bytes(data)
        if "beat" in message:
            session.beat = message["beat"]
            if stalled := message["stalled"]:
                self._hang(session, f"{stalled} hangs")
        elif "ready" in message:
            if session.state != "ending":
                session.state, session.used_s = "running", self._ran.seconds
            session.settled.set()
        elif "failed" in message:
            session.failure = message["failed"]
        elif "event" in message:
            level, text = message["event"]
            self._event(level, f"{session.label}: {text}")

    async def _died(self, session: Session, code: int) -> None:
        session.pid = 0
        if session.line is not None:
            self._beat_rest(session)
        lived_s = self._ran.seconds - session.started_s
        session.short_lives = 0 if lived_s > HEALTHY_AFTER_S else session.short_lives + 1
        if session.state == "ending":
            await self._bury(session)
        elif session.short_lives > RESTARTS_MOST or (session.failure and session.restarts == 0):
            session.failure = session.failure or f"this session {how_it_ended(code)}"
            self._event("error", f"{session.label}: {session.failure}")
            await self._bury(session)
        else:
            session.restarts += 1
            self.ended["restarts"] += 1
            session.state = "restarting"
            session.settled.clear()
            self._event("error", f"{session.label} {how_it_ended(code)}; restarted")
            await self._fork(session)

    def _beat_rest(self, session: Session) -> None:
        """Hear what it said before it died; then its line is closed."""
        line = session.line
        assert line is not None
        with contextlib.suppress(OSError):
            for _ in range(64):
                before = session.heard_s
                self._beat(session, line)
                if session.heard_s == before:
                    break
        asyncio.get_running_loop().remove_reader(line)
        line.close()
        session.line = None

    async def _bury(self, session: Session) -> None:
        session.state = "ended"
        session.settled.set()
        if session.line is not None:
            asyncio.get_running_loop().remove_reader(session.line)
            session.line.close()
            session.line = None
        await session.http.close()
        await asyncio.to_thread(shutil.rmtree, session.folder, ignore_errors=True)
        if self.by_name.get(session.name) is session:
            del self.by_name[session.name]
        self.ended["count"] += 1
        session.over.set()
        self.on_end(session)

    # -- watching ----------------------------------------------------------------------------------

    async def _look(self) -> None:
        """End who is silent, and who has been left."""
        while True:
            await asyncio.sleep(WATCH_EVERY_S)
            self._ran.tick()
            now_s = self._ran.seconds
            for session in list(self.by_name.values()):
                if session.in_use:
                    session.used_s = now_s
                silent_s = now_s - session.heard_s
                if session.state == "running" and silent_s > self._silent_after_s:
                    self._hang(session, f"no answer for {silent_s:.1f} s")
                elif session.state == "starting" and silent_s > READY_WITHIN_S:
                    self._hang(session, f"wasn't ready within {READY_WITHIN_S:.0f} s")
                elif session.state == "running" and now_s - session.used_s > self.linger_s:
                    self._spawn(self.end(session.name))

    def _hang(self, session: Session, how: str) -> None:
        if session.state == "running":
            session.state = "restarting"
            session.settled.clear()
        self._event("error", f"{session.label}: {how}; it is started again")
        session.kill()

    # -- figures -----------------------------------------------------------------------------------

    def figures(self) -> list[dict[str, Any]]:
        """Each session, by number; no word of who is in it."""
        return [
            {
                "number": session.number,
                "state": session.state,
                "since_s": round(time.time() - session.since_s, 1),
                "connected": session.connected,
                "pages": session.sockets,
                "restarts": session.restarts,
                **{key: session.beat.get(key) for key in ("fps", "camera_fps", "latency_ms")},
                **usage(session.pid),
            }
            for session in self.by_name.values()
        ]


def usage(pid: int) -> dict[str, Any]:
    """Processor seconds and memory of a process: ``pss_mb`` divides what is shared among those that
    share it, ``own_mb`` counts what would be free without it."""
    if not pid:
        return {"cpu_s": None, "pss_mb": None, "own_mb": None}
    try:
        process = psutil.Process(pid)
        times, memory = process.cpu_times(), process.memory_full_info()
    except psutil.Error:
        return {"cpu_s": None, "pss_mb": None, "own_mb": None}
    return {
        "cpu_s": round(times.user + times.system, 2),
        "pss_mb": round(memory.pss / 2**20, 1),
        "own_mb": round(memory.uss / 2**20, 1),
    }
