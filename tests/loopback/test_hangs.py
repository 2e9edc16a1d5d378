"""Processes that are stopped, held or slow recover or are started again, and it is counted."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import threading
import time
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import pytest
import zmq
import zmq.asyncio

from engine import operations as ops
from engine.control import ControlSocket, ask
from engine.dispatch import Dispatcher
from engine.folders import running
from engine.graph import load
from engine.supervisor import Supervisor
from engine.transport import shm
from engine.transport.wire import to_bytes
from tests.fuzz_headers import Bench
from tests.loopback.small_graph import command, graph, lines, until, write_toml

pytestmark = pytest.mark.usefixtures("runtime")


def _figures(supervisor: Supervisor, process: str = "middle") -> dict[str, Any]:
    figures: dict[str, Any] = supervisor.metrics()["processes"][process]
    return figures


def _events(supervisor: Supervisor) -> str:
    return "\n".join(event["text"] for event in supervisor.events)


async def test_a_process_that_was_stopped_goes_on(tmp_path: Path) -> None:
    """Its own figures say that a step took longer than allowed; it didn't."""
    raw = graph(tmp_path, stalled_after_s=1, silent_after_s=30)
    async with Supervisor(load(raw)) as supervisor:
        await until(lambda: len(lines(tmp_path)) > 5)
        pid = _figures(supervisor)["pid"]
        os.kill(pid, signal.SIGSTOP)
        await until(lambda: _figures(supervisor)["state"] == "silent")
        await asyncio.sleep(1.0)
        os.kill(pid, signal.SIGCONT)
        await until(lambda: _figures(supervisor)["state"] == "running")
        seen = len(lines(tmp_path))
        await until(lambda: len(lines(tmp_path)) > seen + 50)
        figures = _figures(supervisor)
        assert (figures["pid"], figures["restarts"], figures["hangs"]) == (pid, 0, 1)
        assert "middle answers again, after" in _events(supervisor)


@pytest.mark.parametrize("how", ["stopped", "held"])
async def test_a_process_that_cannot_report_is_started_again(tmp_path: Path, how: str) -> None:
    async with Supervisor(load(graph(tmp_path, silent_after_s=1.6))) as supervisor:
        await until(lambda: len(lines(tmp_path)) > 5)
        if how == "stopped":
            os.kill(_figures(supervisor)["pid"], signal.SIGSTOP)
        else:
            assert supervisor._peer is not None
            await supervisor._peer.tell(  # straight to the worker: the next one starts without it
                ops.Set("add", "mode", "hold"), to=supervisor.processes["middle"].identity
            )
        await until(lambda: _figures(supervisor)["restarts"] == 1)
        seen = len(lines(tmp_path))
        await until(lambda: len(lines(tmp_path)) > seen + 5)
        assert _figures(supervisor)["hangs"] == 1
        assert "middle: no answer for" in _events(supervisor)


async def test_an_engine_that_was_stopped_keeps_its_processes(tmp_path: Path) -> None:
    """As Ctrl-Z does it: pictures go on meanwhile, and afterwards everything is as it was."""
    engine = command(tmp_path, "graph", str(write_toml(tmp_path)))
    try:
        await until(lambda: len(lines(tmp_path)) > 5)
        workers = set(psutil.Process(engine.pid).children())
        engine.send_signal(signal.SIGSTOP)
        stopped = len(lines(tmp_path))
        await asyncio.sleep(4.0)
        assert len(lines(tmp_path)) > stopped + 50
        engine.send_signal(signal.SIGCONT)
        endpoint = f"ipc://{running(engine.pid)[0]}/control.sock"
        await asyncio.sleep(2.0)
        figures = (await asyncio.to_thread(ask, endpoint, ops.Metrics()))["processes"]
        assert figures["supervisor"]["hangs"] == 1
        assert [figures[name]["restarts"] for name in ("first", "second")] == [0, 0]
        assert set(psutil.Process(engine.pid).children()) == workers
    finally:
        engine.kill()
        engine.communicate()


async def test_what_the_other_end_does_not_read_is_dropped_and_counted(runtime: Path) -> None:
    context = zmq.asyncio.Context()
    deaf, speaker = context.socket(zmq.ROUTER), context.socket(zmq.DEALER)
    deaf.rcvhwm = speaker.sndhwm = 4
    deaf.bind(f"ipc://{runtime}/x.sock")
    speaker.connect(f"ipc://{runtime}/x.sock")

    peer = ControlSocket(speaker, Dispatcher())
    try:
        for _ in range(1000):
            await peer.tell(ops.Failed("x", "x" * 10_000))
        assert 0 < peer.dropped < 1000
    finally:
        await peer.close()
        deaf.close()
        context.destroy(linger=0)


async def test_only_who_was_asked_answers(runtime: Path) -> None:
    context = zmq.asyncio.Context()
    asking, asked, stranger = map(context.socket, (zmq.ROUTER, zmq.DEALER, zmq.DEALER))
    asking.bind(f"ipc://{runtime}/x.sock")
    asked.identity = b"asked"
    hello = asyncio.Event()

    async def answer(_: ops.Set) -> str:
        await stranger.send(to_bytes({"id": 1, "result": "a stranger's"}))
        await stranger.send(to_bytes({"op": "hello", "with": {"process": "x", "pid": 1}}))
        await hello.wait()
        return "whom it was asked"

    greets, answers = Dispatcher(), Dispatcher()
    greets.on(ops.Hello, lambda _: hello.set())
    answers.on(ops.Set, answer)

    for socket_ in (asked, stranger):
        socket_.connect(f"ipc://{runtime}/x.sock")
    peers = ControlSocket(asking, greets), ControlSocket(asked, answers)
    try:
        await peers[1].tell(ops.Hello("x", 1))
        await hello.wait()
        hello.clear()
        whose = await peers[0].call(ops.Set("node", "parameter", 1), to=b"asked")
        assert whose == "whom it was asked"
    finally:
        for peer in peers:
            await peer.close()
        context.destroy(linger=0)


async def test_a_terminal_that_blocks_holds_nobody_up(tmp_path: Path) -> None:
    release, told = threading.Event(), list[str]()

    def terminal(level: str, text: str) -> None:
        release.wait(20)
        told.append(text)

    async with Supervisor(load(graph(tmp_path)), on_event=terminal) as supervisor:
        await until(lambda: len(lines(tmp_path)) > 5)
        for number in range(500):
            supervisor.event("warning", f"number {number}")
        seen = len(lines(tmp_path))
        await until(lambda: len(lines(tmp_path)) > seen + 5)
        assert await supervisor.call(ops.Set("add", "amount", 2)) == 2
        release.set()
    assert told[:2] == ["number 0", "number 1"]
    assert len(told) <= 101


async def test_junk_on_the_control_socket_holds_nobody_up(tmp_path: Path) -> None:
    async with Supervisor(load(graph(tmp_path))) as supervisor:
        assert supervisor.run is not None
        context = zmq.Context()
        stranger = context.socket(zmq.DEALER)
        stranger.sndtimeo = 20_000  # nobody reads once the supervisor is gone
        stranger.connect(supervisor.run.control_endpoint)
        junk = [
            b"", b"\xc1", to_bytes("op"), to_bytes(["op"]), to_bytes({"id": []}), to_bytes(5),
            to_bytes({"op": {}, "with": 3}), to_bytes({"op": "set", "with": {"node": []}, "id": 1}),
            to_bytes({"op": "hello", "with": {"process": "middle", "pid": 1}}),
            to_bytes({"op": "report", "with": {"process": "middle", "report": {"stalled": "x"}}}),
            to_bytes({"op": "failed", "with": {"process": "middle", "text": 3}, "id": {}}),
            to_bytes({"op": "restart", "with": {"process": [1]}}), to_bytes({"id": 1, "error": 1}),
        ]  # fmt: skip

        def flood() -> None:
            for number in range(20_000):
                stranger.send(junk[number % len(junk)])

        flooding = asyncio.create_task(asyncio.to_thread(flood))
        while not flooding.done():
            assert await supervisor.call(ops.Set("add", "amount", 2)) == 2
            await asyncio.sleep(0.02)
        endpoint = supervisor.run.control_endpoint
        metrics = await asyncio.to_thread(ask, endpoint, ops.Metrics())
        assert [row["restarts"] for row in metrics["processes"].values()] == [0, 0, 0]
        seen = len(lines(tmp_path))
        await until(lambda: len(lines(tmp_path)) > seen + 5)
        context.destroy(linger=0)


async def test_malformed_messages_to_live_sockets_cost_nobody_anything(tmp_path: Path) -> None:
    bench = Bench(seed=9, source="numbers")
    lies = [bench.refused() for _ in range(2000)]
    bench.close()
    async with Supervisor(load(graph(tmp_path))) as supervisor:
        assert supervisor.run is not None
        await until(lambda: len(lines(tmp_path)) > 50)
        before_mb = {name: _figures(supervisor, name)["rss_mb"] for name in ("ends", "middle")}
        context = zmq.Context()

        def flood(name: str) -> zmq.Socket[bytes]:
            assert supervisor.run is not None
            stranger = context.socket(zmq.PUSH)
            stranger.connect(f"ipc://{supervisor.run.folder}/{name}.sock")
            for number in range(10_000):
                stranger.send_multipart(lies[number % len(lies)])
            return stranger

        strangers = [await asyncio.to_thread(flood, name) for name in before_mb]
        await until(
            lambda: all(_figures(supervisor, name)["refused"] == 10_000 for name in before_mb)
        )
        seen = len(lines(tmp_path))
        await until(lambda: len(lines(tmp_path)) > seen + 5)
        for name, rss_mb in before_mb.items():
            figures = _figures(supervisor, name)
            assert figures["rss_mb"] - rss_mb < 30
            assert (figures["restarts"], figures["escaped"]) == (0, 0)
        assert 2 <= sum("was refused" in event["text"] for event in supervisor.events) < 20
        for stranger in strangers:
            stranger.close()
        context.destroy(linger=0)
    sound = [number for number, _, _ in lines(tmp_path, "audio")]
    assert sound == list(range(len(sound)))


async def test_bytes_that_are_no_zeromq_are_turned_away(tmp_path: Path) -> None:
    async with Supervisor(load(graph(tmp_path))) as supervisor:
        assert supervisor.run is not None
        for name in ("middle", "ends", "control"):
            for junk in (b"GET / HTTP/1.1\r\n\r\n", bytes(1000), b"\xff" * 1000, os.urandom(1000)):
                with socket.socket(socket.AF_UNIX) as stranger:
                    stranger.connect(f"{supervisor.run.folder}/{name}.sock")
                    stranger.sendall(junk)
        seen = len(lines(tmp_path))
        await until(lambda: len(lines(tmp_path)) > seen + 5)
        assert _figures(supervisor)["restarts"] == 0


async def test_killed_processes_leave_no_shared_memory(tmp_path: Path) -> None:
    def segments() -> int:
        return len(list(shm.folder().glob(f"mien-{os.getpid()}-*")))

    def restarted(name: str, times: int) -> bool:
        return bool(_figures(supervisor, name)["restarts"] == times)

    def more(than: int) -> bool:
        return len(lines(tmp_path)) > than

    async with Supervisor(load(graph(tmp_path))) as supervisor:
        await until(lambda: len(lines(tmp_path)) > 5)
        before = segments()
        for number in range(1, 4):
            for name in ("ends", "middle"):
                supervisor.processes[name].kill()
                await until(partial(restarted, name, number))
            await until(partial(more, len(lines(tmp_path)) + 5))
        assert segments() == before
        for name, edge in supervisor.metrics()["edges"].items():
            assert edge["received"] + edge["gaps"] <= edge["sent"], (name, edge)


def test_an_absence_does_not_count_as_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    from engine.clock import RunningTime

    now_s = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now_s[0])
    ran = RunningTime(0.5)
    for passed_s, late_s, total_s in ((0.25, 0, 0.25), (0.5, 0, 0.75), (60.0, 59.5, 1.25)):
        now_s[0] += passed_s
        assert (ran.tick(), ran.seconds) == (late_s, total_s)
