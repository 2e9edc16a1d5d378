"""Networks that one process runs for many: the same answers, in batches, states apart."""

from __future__ import annotations

import asyncio
import os
import signal
import tempfile
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import pytest_asyncio

from engine.errors import MienError
from engine.graph import load
from engine.node import Context
from engine.types import F32
from inference.model import Model
from inference.weights import SERVICE, open_model
from serving.device import Device
from tests.loopback.rig import until

pytestmark = pytest.mark.asyncio(loop_scope="module")
ROOT = Path(__file__).parents[2]
NETWORK = ROOT / "weights" / "activity"
CALLERS, STEPS = 8, 5


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def device() -> AsyncIterator[Device]:
    with tempfile.TemporaryDirectory(prefix="mien") as folder:
        running = Device(Path(folder), "cpu", lambda *_: None)
        await running.start()
        yield running
        await running.stop()
        assert not psutil.pid_exists(running.pid)


def sounds(seed: int) -> list[F32]:
    rng = np.random.default_rng(seed)
    return [rng.uniform(-0.5, 0.5, (1, 576)).astype(np.float32) for _ in range(STEPS)]


def heard(model: Model, seed: int) -> list[float]:
    """What a network that remembers says of a sound, step by step."""
    state, said = model.begin(), []
    for sound in sounds(seed):
        answer = model(sound=sound, **state)
        state = model.carry(answer)
        said.append(float(answer["spoken"][0, 0]))
    return said


async def test_many_are_answered_in_batches_as_if_each_was_alone(device: Device) -> None:
    context = Context(services={SERVICE: device.address})
    gauges: dict[str, Any] = {}
    context.gauge = lambda name, value: gauges.update({name: value})

    def opened() -> Model:
        return open_model(
            "activity", "", context, inputs=("sound", "state"), outputs=("spoken", "state_next")
        )

    with ThreadPoolExecutor(CALLERS) as pool:
        loop = asyncio.get_running_loop()
        shared = await asyncio.gather(*(loop.run_in_executor(pool, opened) for _ in range(CALLERS)))
        assert gauges["backend"].startswith("shared, batches")

        async def all_heard() -> list[list[float]]:
            asked = (loop.run_in_executor(pool, heard, model, k) for k, model in enumerate(shared))
            return await asyncio.gather(*asked)

        async with asyncio.timeout(20):
            while device.figures["networks"].get("activity", {"most": 1})["most"] == 1:
                await all_heard()  # one by one, until it is seen that calls are left behind
        answers = await all_heard()
    alone = Model(NETWORK, backend="openvino", log=lambda _: None)
    for number, answer in enumerate(answers):
        assert np.allclose(answer, heard(alone, number), atol=1e-4)
    alone.close()
    await until(lambda: device.figures["networks"]["activity"]["mean_batch"] > 1)
    row = device.figures["networks"]["activity"]
    assert row["callers"] == CALLERS and row["requests"] >= CALLERS * STEPS
    held = psutil.Process(device.pid).num_fds()  # a line and a memory of each
    for model in shared:
        model.close()
    await until(lambda: device.figures["networks"]["activity"]["callers"] == 0)
    await until(lambda: psutil.Process(device.pid).num_fds() == held - 2 * CALLERS)


async def test_an_owner_that_dies_is_said_and_comes_back(device: Device) -> None:
    model = await asyncio.to_thread(
        Model, NETWORK, shared=device.address, outputs=("spoken", "state_next"), log=lambda _: None
    )
    dead = device.pid
    os.kill(dead, signal.SIGKILL)
    with pytest.raises(MienError, match="activity is shared, and the process"):
        await asyncio.to_thread(heard, model, 0)
    model.close()
    again = await asyncio.to_thread(
        Model, NETWORK, shared=device.address, outputs=("spoken", "state_next"), log=lambda _: None
    )
    assert device.pid != dead
    assert len(await asyncio.to_thread(heard, again, 0)) == STEPS
    again.close()


async def test_what_cannot_be_run_is_said_to_who_asks(
    device: Device, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    damaged = tmp_path / "activity"
    damaged.mkdir()
    (damaged / "card.toml").write_bytes((NETWORK / "card.toml").read_bytes())
    (damaged / "model.onnx").write_bytes(b"no network")
    with pytest.raises(MienError, match=r"model\.onnx"):
        await asyncio.to_thread(Model, damaged, shared=device.address, log=lambda _: None)
    monkeypatch.setattr("inference.shared.BACK_WITHIN_S", 0.1)
    with pytest.raises(MienError, match="doesn't answer"):
        await asyncio.to_thread(Model, NETWORK, shared=str(tmp_path / "none"), log=lambda _: None)


async def test_the_graph_says_where_networks_are() -> None:
    node = {"type": "nodes.sources.pattern:Pattern"}
    graph = load({"nodes": {"p": node}, "services": {"inference": "/run/x.sock"}})
    assert graph.services == {"inference": "/run/x.sock"}
    with pytest.raises(MienError, match="inference is an address"):
        load({"nodes": {"p": node}, "services": {"inference": 7}})
