"""A cluster's workers, as the front sees them: started by Ray, heard over the link, replaced."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import aiohttp

from cluster import messages as ms
from cluster import remote
from cluster.link import Listener
from cluster.session_files import ContentStore
from engine.clock import RunningTime
from engine.dispatch import Dispatcher
from engine.errors import MienError, words
from engine.operations import Answer, Operation
from engine.process import how_it_ended
from engine.transport.wire import to_bytes
from serving.sessions import READY_WITHIN_S

SILENT_S: Final = 2.5
"""who isn't heard for so long counts as dead"""
CONNECT_WITHIN_S: Final = 1.0
ENOUGH_S: Final = 60.0
"""a worker closes where for so long enough places were free without it"""
AGAIN_S: Final = 2.0
FIRST_WITHIN_S: Final = 120.0
_CALL_S: Final = READY_WITHIN_S + 5


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How many workers, and what each takes of the machine that it is on."""

    least: int = 1
    most: int = 1
    spare: int = 1
    """places that should be free: below it another worker is asked for"""
    cores: float = 1.0
    gpus: float = 0.0


class Worker:
    """One of them."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.state = "starting"
        self.url = ""
        self.most = 0
        self.taken: set[str] = set()
        """sessions that it has, or is about to have"""
        self.figures: dict[str, dict[str, Any]] = {}
        """of its sessions, by name"""
        self.device: dict[str, Any] = {}
        self.heard_s = 0.0
        self.beat_free = 0
        self.actor: Any = None
        self.http: aiohttp.ClientSession | None = None
        self.gone = asyncio.Event()

    @property
    def free(self) -> int:
        """How many sessions more it may be given."""
        if self.state != "ready":
            return 0
        return max(0, min(self.most - len(self.taken), self.beat_free))


class Workers:
    """``task`` is what all of them get; ``event`` (level, text) is for a person."""

    def __init__(
        self,
        ray: Any,
        task: dict[str, Any],
        plan: Plan,
        kept: ContentStore,
        event: Callable[[str, str], None],
    ) -> None:
        self.by_name: dict[str, Worker] = {}
        self.on_lost: Callable[[Worker], None] = lambda _: None
        self.on_over: Callable[[str, Worker], None] = lambda *_: None
        self.on_keep: Callable[[ms.Keep, Worker], bool] = lambda *_: False
        self.plan = plan
        self._ray = ray
        self._task = task
        self._kept = kept
        self._event = event
        self._numbers = itertools.count(1)
        self._tasks: set[asyncio.Task[Any]] = set()
        self._ran = RunningTime(2 * ms.BEAT_S)
        self._ready = asyncio.Event()
        self._asked_for = -1
        self._enough_since_s = 0.0
        dispatcher = Dispatcher("{op} is not for a front")
        dispatcher.on_from(ms.Hello, self._hello)
        dispatcher.on_from(ms.Beat, self._beat)
        dispatcher.on_from(ms.Figures, self._figures)
        dispatcher.on_from(ms.Keep, lambda asked, who: self.on_keep(asked, self._of(who)))
        dispatcher.on(ms.Store, self._store)
        dispatcher.on(ms.Load, lambda asked: self._kept.get(asked.digest))
        dispatcher.on_from(ms.Over, lambda asked, who: self.on_over(asked.session, self._of(who)))
        dispatcher.on_from(ms.News, self._news)
        self.address = ray.util.get_node_ip_address()
        self._listener = Listener(self.address, dispatcher)

    # -- from start to stop ------------------------------------------------------------------------

    async def start(self) -> None:
        """Ask for the first ones, and wait until one is ready. Raises MienError."""
        for _ in range(self.plan.least):
            self._launch()
        self._spawn(self._watch())
        try:
            await asyncio.wait_for(self._ready.wait(), FIRST_WITHIN_S)
        except TimeoutError:
            needs = f"{self.plan.cores:g} cores" + f", {self.plan.gpus:g} GPUs" * (
                self.plan.gpus > 0
            )
            raise MienError(
                f"no worker was ready within {FIRST_WITHIN_S:.0f} s; does a machine of the cluster "
                f"have {needs} free?"
            ) from None
        if not self.ready:
            raise MienError("no worker could be started; the lines above say why")

    async def stop(self) -> None:
        """End all of them."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.gather(*(self._dismiss(worker) for worker in list(self.by_name.values())))
        await self._listener.close()

    @property
    def ready(self) -> list[Worker]:
        return [worker for worker in self.by_name.values() if worker.state == "ready"]

    @property
    def there(self) -> list[Worker]:
        """Those that have sessions, or can have them."""
        return [each for each in self.by_name.values() if each.state not in ("starting", "leaving")]

    @property
    def places(self) -> int:
        """How many sessions they carry together."""
        return sum(worker.most for worker in self.ready)

    def origins(self) -> list[str]:
        """Where they are, on whatever port, as a policy for pages says it."""
        return sorted({worker.url.rpartition(":")[0] + ":*" for worker in self.there})

    @property
    def free(self) -> int:
        return sum(worker.free for worker in self.ready)

    def roomiest(self) -> Worker | None:
        """The one with the most free places, None where no place is free."""
        best = max(self.ready, key=lambda worker: worker.free, default=None)
        return best if best is not None and best.free > 0 else None

    async def call(
        self, worker: Worker, asked: Operation[Answer], timeout_s: float = _CALL_S
    ) -> Answer:
        """Ask one of them. Raises MienError, also where it dies meanwhile."""
        to = worker.name.encode()
        answer = asyncio.ensure_future(self._listener.peer.call(asked, to=to, timeout_s=timeout_s))
        gone = asyncio.ensure_future(worker.gone.wait())
        try:
            await asyncio.wait({answer, gone}, return_when=asyncio.FIRST_COMPLETED)
            if not answer.done():
                raise MienError(f"{worker.name} is gone")
            return answer.result()
        finally:
            answer.cancel()
            gone.cancel()

    # -- one worker's life -------------------------------------------------------------------------

    def _launch(self) -> None:
        worker = Worker(f"worker {next(self._numbers)}")
        self.by_name[worker.name] = worker
        self._spawn(self._live(worker))

    async def _live(self, worker: Worker) -> None:
        plan, exceptions = self.plan, self._ray.exceptions
        holder = self._ray.remote(remote.Holder)
        worker.actor = holder.options(
            num_cpus=plan.cores, num_gpus=plan.gpus, scheduling_strategy="SPREAD"
        ).remote()
        how = ""
        try:
            key, address = await worker.actor.keys.remote()
            self._listener.let_in(key)
            task = {
                **self._task, "name": worker.name, "address": address,
                "endpoint": self._listener.endpoint, "server_key": self._listener.keys.public,
            }  # fmt: skip
            how = how_it_ended(await worker.actor.run.remote(to_bytes(task)))
        except exceptions.RayError as error:
            how = f"is gone ({type(error).__name__})"
        await self._lost(worker, how)

    async def _lost(self, worker: Worker, how: str) -> None:
        """It is dead, or counts as such: its sessions go elsewhere, and another one is started."""
        if self.by_name.get(worker.name) is not worker:
            return
        expected, never = worker.state == "leaving", worker.state == "starting"
        worker.state = "lost"
        worker.gone.set()
        del self.by_name[worker.name]
        if not expected:
            self._event("error", f"{worker.name} {how}")
        self.on_lost(worker)
        self._spawn(self._dismiss(worker))
        if expected:
            return
        if never:
            await asyncio.sleep(AGAIN_S)  # what fails at once would be tried without end
            self._ready.set() if not self.by_name else None
        if len(self.by_name) < self.plan.least:
            self._launch()

    async def _dismiss(self, worker: Worker) -> None:
        with contextlib.suppress(MienError):
            await self._listener.peer.tell(ms.Leave(), to=worker.name.encode())
        if worker.http is not None:
            await worker.http.close()
        if worker.actor is not None:
            with contextlib.suppress(Exception):
                self._ray.kill(worker.actor)

    def suspect(self, worker: Worker) -> None:
        """A line to it has broken: if its link has, too, it needn't be waited for."""

        async def ask() -> None:
            try:
                await self._listener.peer.tell(ms.Ping(), to=worker.name.encode())
            except MienError as error:  # its end of the link is closed
                await self._lost(worker, f"is gone ({words(error)})")

        if worker in self.there:
            self._spawn(ask())

    def retire(self, worker: Worker) -> None:
        """It is empty and may go."""
        worker.state = "leaving"
        self._spawn(self._lost(worker, ""))

    # -- what they say -----------------------------------------------------------------------------

    def _of(self, sender: bytes | None) -> Worker:
        worker = self.by_name.get((sender or b"").decode(errors="replace"))
        if worker is None:
            raise MienError("this worker counts as dead; another one has its sessions")
        return worker

    def _hello(self, said: ms.Hello, sender: bytes | None) -> None:
        worker = self._of(sender)
        worker.url, worker.most, worker.beat_free = said.url, said.most, said.most
        pinned = aiohttp.Fingerprint(bytes.fromhex(said.fingerprint)) if said.fingerprint else True
        worker.http = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, ssl=pinned),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_WITHIN_S),
            auto_decompress=False,
        )
        worker.heard_s = self._ran.seconds
        worker.state = "ready"
        self._ready.set()

    async def _beat(self, said: ms.Beat, sender: bytes | None) -> None:
        try:
            worker = self._of(sender)
        except MienError:
            await self._listener.peer.tell(ms.Leave(), to=sender)
            return
        worker.heard_s = self._ran.seconds
        worker.beat_free = said.free

    def _store(self, said: ms.Store) -> None:
        self._kept.put(said.data)

    def _figures(self, said: ms.Figures, sender: bytes | None) -> None:
        worker = self._of(sender)
        worker.figures, worker.device = said.sessions, said.device

    def _news(self, said: ms.News, sender: bytes | None) -> None:
        self._event(said.level, f"{(sender or b'').decode(errors='replace')}: {said.text}")

    async def _watch(self) -> None:
        """Who is silent is dead; who is missing is asked for; who is too many may go."""
        while True:
            await asyncio.sleep(ms.BEAT_S)
            self._ran.tick()
            now_s = self._ran.seconds
            for worker in self.there:
                if (silent_s := now_s - worker.heard_s) > SILENT_S:
                    await self._lost(worker, f"is silent for {silent_s:.1f} s")
            self._scale(now_s)

    def _scale(self, now_s: float) -> None:
        """One more where too few places are free; where enough are without it for a while, the one
        with the fewest sessions gets no new ones, and goes when the last has left."""
        plan, there = self.plan, self.there
        starting = any(worker.state == "starting" for worker in self.by_name.values())
        closing = [worker for worker in there if worker.state == "closing"]
        if self.free < plan.spare:
            if closing:
                closing[0].state = "ready"
            elif not starting and len(self.by_name) < plan.most:
                self._launch()
        for worker in closing:
            if not worker.taken:
                self.retire(worker)
        least = min(self.ready, key=lambda worker: len(worker.taken), default=None)
        without = self.free - least.free if least is not None and not closing else 0
        if least is None or len(there) <= plan.least or without < max(1, plan.spare):
            self._enough_since_s = now_s
        elif now_s - self._enough_since_s > ENOUGH_S:
            least.state = "closing"
        self._ask_for(len(self.by_name))

    def _ask_for(self, workers: int) -> None:
        """Tell an autoscaler (KubeRay's, say) for how many there should be room."""
        if workers == self._asked_for:
            return
        self._asked_for = workers
        each = {"CPU": self.plan.cores, **({"GPU": self.plan.gpus} if self.plan.gpus else {})}
        self._ray.autoscaler.sdk.request_resources(bundles=[each] * workers)

    def _spawn(self, coroutine: Any) -> None:
        task = asyncio.ensure_future(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
