"""Real processes, real ZeroMQ, real signals."""

from __future__ import annotations

import asyncio
import os
import re
import signal
from pathlib import Path
from typing import Any

import psutil
import pytest
import zmq

from engine import control
from engine import operations as ops
from engine.errors import MienError, UsageError
from engine.graph import load
from engine.local import run_local
from engine.supervisor import Supervisor
from engine.transport import shm
from engine.transport.wire import to_bytes
from tests.loopback.small_graph import command as _command
from tests.loopback.small_graph import graph as _graph
from tests.loopback.small_graph import lines as _lines
from tests.loopback.small_graph import until as _until
from tests.loopback.small_graph import write_toml as _write_toml

pytestmark = pytest.mark.usefixtures("runtime")


def _nothing_left(pid: int) -> bool:
    return not list(shm.folder().glob(f"mien-{pid}-*"))


def _runs(runtime: Path) -> list[Path]:
    return list(runtime.glob("mien-*/*"))


async def test_pictures_and_sound_cross_processes(tmp_path: Path, runtime: Path) -> None:
    async with Supervisor(load(_graph(tmp_path))) as supervisor:
        await _until(lambda: len(_lines(tmp_path)) > 30)
        metrics = supervisor.metrics()
    assert all(value == 1 for _, value, _ in _lines(tmp_path))
    sound = [number for number, _, _ in _lines(tmp_path, "audio")]
    assert sound == list(range(len(sound)))
    assert metrics["nodes"]["add"]["fps_in"] > 0
    assert metrics["nodes"]["collect"]["total"]["age_ms"]["p50"] < 1000
    assert metrics["processes"]["middle"]["rss_mb"] > 10
    assert _nothing_left(os.getpid())
    assert not _runs(runtime)


class Explode(ops.Operation[None]):
    """What nobody answers."""


async def test_a_parameter_changes_while_it_runs(tmp_path: Path) -> None:
    async with Supervisor(load(_graph(tmp_path))) as supervisor:
        assert supervisor.run is not None
        endpoint = supervisor.run.control_endpoint
        taken = await asyncio.to_thread(control.ask, endpoint, ops.Set("add", "amount", "9"))
        assert taken == 9
        await _until(lambda: _lines(tmp_path)[-1:] != [] and _lines(tmp_path)[-1][1] == 9)
        parameters = await asyncio.to_thread(control.ask, endpoint, ops.Parameters())
        assert next(row for row in parameters["add"] if row["name"] == "amount")["value"] == 9
        refused: list[tuple[ops.Operation[Any], str]] = [
            (ops.Set("add", "amount", 500), "out of range"),
            (ops.Set("ad", "amount", 5), "did you mean 'add'?"),
            (ops.Set("collect", "path", "x"), "fixed while"),
            (ops.Set("add", "amount", [5]), "it takes node, parameter, value (Expected"),  # type: ignore[arg-type]
            (Explode(), "unknown operation 'explode'"),
        ]
        for wrong, says in refused:
            with pytest.raises(UsageError, match=re.escape(says)):
                await asyncio.to_thread(control.ask, endpoint, wrong)


async def test_what_was_set_outlives_a_killed_process(tmp_path: Path) -> None:
    async with Supervisor(load(_graph(tmp_path))) as supervisor:
        await supervisor.call(ops.Set("add", "amount", 5))
        await _until(lambda: len(_lines(tmp_path)) > 5)
        child = supervisor.processes["middle"].child
        assert child is not None
        os.kill(child.pid, signal.SIGKILL)
        await _until(lambda: supervisor.processes["middle"].restarts == 1)
        seen = len(_lines(tmp_path))
        assert await _until(lambda: len(_lines(tmp_path)) > seen + 5) < 2.0
        assert _lines(tmp_path)[-1][1] == 5
        events = [event["text"] for event in supervisor.metrics()["events"]]
        assert "middle was ended by SIGKILL; restarted (1)" in events
        assert supervisor.metrics()["processes"]["middle"]["restarts"] == 1
    assert _nothing_left(os.getpid())


async def test_a_failing_node_leaves_the_rest_alone(tmp_path: Path) -> None:
    async with Supervisor(load(_graph(tmp_path))) as supervisor:
        await _until(lambda: len(_lines(tmp_path)) > 5)
        await supervisor.call(ops.Set("add", "mode", "fail"))
        await _until(lambda: supervisor.metrics()["nodes"]["add"]["errors"] >= 5)
        assert supervisor.metrics()["nodes"]["add"]["status"] == ["failed", "asked to fail"]
        sound = len(_lines(tmp_path, "audio"))
        await _until(lambda: len(_lines(tmp_path, "audio")) > sound + 10)
        pictures = len(_lines(tmp_path))
        await supervisor.call(ops.Set("add", "mode", "add"))
        await _until(lambda: len(_lines(tmp_path)) > pictures + 5)
        await _until(lambda: supervisor.metrics()["nodes"]["add"]["status"][0] == "ok")


async def test_a_file_graph_loses_nothing_across_processes(tmp_path: Path) -> None:
    raw = _graph(tmp_path, delivery="lossless")
    raw["nodes"]["numbers"]["parameters"] |= {"count": 200, "period_ms": 0}
    async with Supervisor(load(raw)) as supervisor:
        await asyncio.wait_for(supervisor.wait(), 20)
        assert {edge["dropped"] for edge in supervisor.metrics()["edges"].values()} == {0}
    assert [number for number, _, _ in _lines(tmp_path)] == list(range(200))
    assert [number for number, _, _ in _lines(tmp_path, "audio")] == list(range(200))


async def test_a_file_graph_runs_in_this_process_too(tmp_path: Path) -> None:
    raw = _graph(tmp_path, delivery="lossless", processes={})
    raw["nodes"]["numbers"]["parameters"] |= {"count": 200, "period_ms": 0}
    snapshot = await run_local(load(raw))
    assert snapshot["nodes"]["pair"]["count_out"] == 200
    assert [value for _, value, _ in _lines(tmp_path)] == [1] * 200
    assert len(_lines(tmp_path, "end")) == 1


async def test_a_slow_thread_draws_all_that_was_made_for_it(tmp_path: Path) -> None:
    raw = _graph(tmp_path, processes={})
    raw["nodes"]["numbers"]["parameters"] |= {"count": 100, "period_ms": 8}
    raw["nodes"]["add"]["parameters"] = {"wait_ms": 4}
    raw["nodes"]["pair"] |= {
        "type": "tests.small_nodes:SlowPair", "thread": True, "backpressure": True,
    }  # fmt: skip
    nodes = (await run_local(load(raw)))["nodes"]
    assert 5 < nodes["pair"]["count_in"] <= nodes["add"]["count_in"]  # 30 when idle
    # The last picture may come when the stream has ended.
    assert nodes["add"]["count_in"] - nodes["pair"]["count_in"] <= 2


async def test_a_file_graph_stops_at_the_first_failure(tmp_path: Path) -> None:
    raw = _graph(tmp_path, delivery="lossless", processes={})
    raw["nodes"]["numbers"]["parameters"] |= {"count": 200, "period_ms": 0}
    raw["nodes"]["add"]["parameters"] = {"mode": "fail"}
    with pytest.raises(MienError, match="asked to fail"):
        await run_local(load(raw))
    assert _lines(tmp_path, "end") == []


async def test_a_node_that_cannot_start_ends_the_run_in_one_line(tmp_path: Path) -> None:
    raw = _graph(tmp_path)
    raw["nodes"]["collect"]["parameters"]["path"] = str(tmp_path / "none" / "out.txt")
    with pytest.raises(MienError, match=r"collect: FileNotFoundError.*out\.txt"):
        async with Supervisor(load(raw)):
            pass
    assert _nothing_left(os.getpid())


async def test_strangers_on_an_edge_are_refused(tmp_path: Path) -> None:
    async with Supervisor(load(_graph(tmp_path))) as supervisor:
        assert supervisor.run is not None
        context = zmq.Context()
        socket = context.socket(zmq.PUSH)
        socket.connect(f"ipc://{supervisor.run.folder}/middle.sock")
        nobody = to_bytes(("nobody.video", None, None))
        unfilled = to_bytes(("numbers.video", [["|u1", [64, 64, 3], 0]], None))
        elsewhere = to_bytes(("numbers.video", [["|u1", [1, 1, 3], 0]], "../x"))
        refused = [
            b"\xc1",
            b"\xff",
            to_bytes((b"\xc1", None, 0, [], "")),
            to_bytes((nobody, None, 0, [], "")),
            to_bytes((unfilled, None, 0, [], "", 0)),
            to_bytes((elsewhere, 0, 0, [], "", 0)),
        ]
        for header in refused:
            socket.send(header)
            socket.send_multipart((header, b"xyz"))
        count = 2 * len(refused)
        await _until(lambda: supervisor.metrics()["processes"]["middle"].get("refused") == count)
        assert any("a message was refused" in event["text"] for event in supervisor.events)
        seen = len(_lines(tmp_path))
        await _until(lambda: len(_lines(tmp_path)) > seen + 5)
        context.destroy(linger=0)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_ctrl_c_ends_everything(tmp_path: Path, number: signal.Signals) -> None:
    engine = _command(tmp_path, "graph", str(_write_toml(tmp_path)))
    try:
        await _until(lambda: len(_lines(tmp_path)) > 5)
        children = psutil.Process(engine.pid).children(recursive=True)
        assert len(children) == 2
        assert not _nothing_left(engine.pid)
        engine.send_signal(number)
        output, _ = await asyncio.to_thread(engine.communicate, timeout=3)
        assert engine.returncode == 0, output
        assert "Traceback" not in output
        assert not any(child.is_running() for child in children)
        assert _nothing_left(engine.pid)
    finally:
        engine.kill()
        engine.communicate()


async def test_a_killed_supervisor_leaves_no_process_and_the_next_sweeps_up(
    tmp_path: Path, runtime: Path
) -> None:
    graph = _write_toml(tmp_path)
    engine = _command(tmp_path, "graph", str(graph))
    await _until(lambda: len(_lines(tmp_path)) > 5)
    children = psutil.Process(engine.pid).children(recursive=True)
    engine.kill()
    await asyncio.to_thread(engine.communicate)
    await _until(lambda: not any(child.is_running() for child in children), 5)
    again = _command(tmp_path, "graph", str(graph), "--seconds", "0.5")
    output, _ = await asyncio.to_thread(again.communicate, timeout=20)
    assert again.returncode == 0, output
    assert _nothing_left(engine.pid)
    assert not _runs(runtime)


async def test_set_from_the_command_line(tmp_path: Path) -> None:
    engine = _command(tmp_path, "graph", str(_write_toml(tmp_path)))
    try:
        await _until(lambda: len(_lines(tmp_path)) > 5)
        for arguments, code, says in (
            (["add.amount", "42"], 0, "add.amount = 42"),
            (["add.amount", "420"], 2, "out of range, 0 to 100"),
            (["add.amuont", "4"], 2, "did you mean 'amount'?"),
            (["add.amount"], 2, "NODE.PARAMETER VALUE"),
            ([], 0, "add.amount"),
        ):
            command = _command(tmp_path, "set", *arguments)
            output, _ = await asyncio.to_thread(command.communicate, timeout=20)
            assert (command.returncode, says in output) == (code, True), output
            assert "Traceback" not in output
    finally:
        engine.send_signal(signal.SIGINT)
        await asyncio.to_thread(engine.communicate)
    command = _command(tmp_path, "set", "add.amount", "1")
    output, _ = await asyncio.to_thread(command.communicate, timeout=20)
    assert command.returncode == 1
    assert "no engine is running" in output


async def test_record_then_replay_gives_the_same_run(tmp_path: Path) -> None:
    raw = _graph(tmp_path)
    async with Supervisor(load(raw)) as supervisor:
        path = tmp_path / "video.mrec"
        await supervisor.call(ops.Record("numbers.video", str(path)))
        await asyncio.sleep(0.5)
        count = await supervisor.call(ops.RecordStop("numbers.video"))
        with pytest.raises(UsageError, match="not being recorded"):
            await supervisor.call(ops.RecordStop("numbers.video"))
    assert count > 10
    (tmp_path / "out.txt").unlink()
    raw["nodes"]["numbers"] = {
        "type": "engine.record:Replay",
        "parameters": {"files": f"video={path}"},
    }
    del raw["nodes"]["collect"]["inputs"]["audio"]
    raw |= {"delivery": "lossless", "processes": {}}
    await run_local(load(raw))
    numbers = [number for number, _, _ in _lines(tmp_path)]
    assert numbers == list(range(numbers[0], numbers[0] + count))


async def test_two_hosts_speak_encrypted_and_know_their_clocks(
    tmp_path: Path, runtime: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = {}
    folders = {}
    for host in ("studio", "render"):
        folders[host] = runtime / host
        (folders[host] / "mien").mkdir(parents=True)
        public, secret = zmq.curve_keypair()
        keys[host] = public.decode()
        (folders[host] / "mien" / "host.key").write_bytes(secret)
    raw = _graph(tmp_path)
    raw["hosts"] = {
        "studio": {"address": "127.0.0.1", "port": 47100, "public_key": keys["studio"]},
        "render": {"address": "127.0.0.2", "port": 47200, "public_key": keys["render"]},
    }
    raw["processes"]["ends"]["host"] = "studio"
    raw["processes"]["middle"]["host"] = "render"

    def supervisor(host: str) -> Supervisor:
        monkeypatch.setenv("XDG_CONFIG_HOME", str(folders[host]))
        monkeypatch.setenv("XDG_RUNTIME_DIR", str(folders[host]))
        return Supervisor(load(raw), host)

    async with supervisor("studio") as studio, supervisor("render") as render:
        await _until(lambda: len(_lines(tmp_path)) > 20)
        await _until(lambda: studio.metrics()["hosts"]["render"].get("clock_error_ms", 99) < 25)
        metrics = studio.metrics()
        clock = metrics["hosts"]["render"]
        assert abs(clock["clock_offset_ms"]) <= clock["clock_error_ms"]
        await _until(lambda: studio.metrics()["nodes"].get("add", {}).get("count_in", 0) > 0)
        metrics = studio.metrics()
        assert metrics["processes"]["middle"]["host"] == "render"
        assert render.metrics()["nodes"]["collect"]["total"]["age_ms"]["p50"] < 1000
        await studio.call(ops.Set("add", "amount", 3))
        await _until(lambda: _lines(tmp_path)[-1][1] == 3)
        stranger = zmq.Context()
        socket = stranger.socket(zmq.PUSH)
        socket.curve_publickey, socket.curve_secretkey = zmq.curve_keypair()
        socket.curve_serverkey = keys["render"].encode()
        socket.immediate = 1
        socket.connect("tcp://127.0.0.2:47201")
        assert socket.poll(500, zmq.POLLOUT) == 0, "a stranger's key was let in"
        stranger.destroy(linger=0)
    assert {value for _, value, _ in _lines(tmp_path)} == {1, 3}


async def test_a_hanging_process_is_killed_and_restarted(tmp_path: Path) -> None:
    async with Supervisor(load(_graph(tmp_path, stalled_after_s=1))) as supervisor:
        await _until(lambda: len(_lines(tmp_path)) > 5)
        assert supervisor._peer is not None
        identity = supervisor.processes["middle"].identity
        # Straight to the worker, so that the restarted process starts without it.
        await supervisor._peer.call(ops.Set("add", "mode", "hang"), to=identity)
        await _until(lambda: supervisor.processes["middle"].restarts == 1, 8)
        seen = len(_lines(tmp_path))
        await _until(lambda: len(_lines(tmp_path)) > seen + 5)
        events = [event["text"] for event in supervisor.metrics()["events"]]
        assert "middle: executor hangs; the process is killed" in events
