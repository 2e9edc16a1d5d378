"""Sessions that share a machine: nothing of one in another, places, one that dies, nothing left."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import signal
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import numpy as np
import psutil
import pytest
import pytest_asyncio
from av import AudioFrame as AvAudio
from av import VideoFrame as AvVideo

from commands import capacity
from commands.bench.callers import Callers
from engine.errors import UsageError
from engine.transport.shm import folder
from nodes.web.options import Options
from serving.machine import Machine
from tests.loopback.rig import (
    STRAIGHT,
    Client,
    Pictures,
    Tone,
    offer_of,
    read_number,
    until,
)

pytestmark = pytest.mark.asyncio(loop_scope="module")
SDP = {"Content-Type": "application/sdp"}
ANNA, BERT = "annas-own-session", "berts-own-session"


class Server:
    """A front with places for two, and what it told."""

    def __init__(self) -> None:
        self.events: list[str] = []
        self.machine = Machine(
            STRAIGHT,
            lambda _, text: self.events.append(text),
            most=2,
            linger_s=60,
            networks="own",
        )
        self.folder = self.machine.folder
        self.sessions, self.places = self.machine.sessions, self.machine.places
        self.front = self.machine.front

    @property
    def url(self) -> str:
        return self.front.binding.url

    def address(self, name: str) -> str:
        return f"{self.url}/s/{name}"

    async def start(self) -> None:
        await self.machine.start()
        await self.machine.open(Options(port=0))

    async def stop(self) -> None:
        await self.machine.stop()

    async def ask(self, session: str, op: str, **fields: Any) -> Any:
        """What the page of a session asks its engine."""
        async with (
            aiohttp.ClientSession() as http,
            http.ws_connect(self.address(session) + "/ws") as line,
        ):
            await line.send_json({"id": 1, "op": op, **fields})
            async for message in line:
                if (answer := message.json()).get("id") == 1:
                    return answer["result"]
        raise AssertionError("no answer")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server() -> AsyncIterator[Server]:
    with (
        tempfile.TemporaryDirectory(prefix="mien") as folder,
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setenv("XDG_RUNTIME_DIR", folder)
        patch.setenv("MIEN_PEOPLE", folder + "/people")
        (Path(folder) / "people").mkdir()
        (Path(folder) / "people" / "owner.person").touch()
        running = Server()
        await running.start()
        yield running
        await running.stop()
        left = list(Path(folder).glob("mien-*/*"))  # noqa: ASYNC240 - it is over
        assert not left


@pytest_asyncio.fixture(loop_scope="module")
async def alone(server: Server) -> AsyncIterator[Server]:
    """The server without a session; with none afterwards."""
    yield server
    for name in list(server.sessions.by_name):
        await server.sessions.end(name)
    server.places.most, server.places.draining = 2, False
    server.places._line.clear()


class Person:
    """A visitor: pictures numbered from ``first`` on, a tone of its own; and what comes back."""

    def __init__(self, server: Server, name: str, first: int, hz: float) -> None:
        self.up, self.down = (Client(server.address(name)) for _ in range(2))
        self.pictures, self.tone = Pictures(fps=15, first=first), Tone(hz)

    async def come(self) -> None:
        await self.up.publish("/session", self.pictures, self.tone)
        await self.down.view()

    def answered(self) -> bool:
        return len(self.down.pictures) > 40 and len(self.down.sounds) > 60

    def numbers(self) -> list[int]:
        """Those of the pictures that came back."""
        frames: list[AvVideo] = [frame for _, frame in list(self.down.pictures)]
        pictures = [np.asarray(frame.to_ndarray(format="bgr24"), np.uint8) for frame in frames]
        return [read_number(picture) for picture in pictures]

    def heard_hz(self) -> float:
        """The loudest pitch of the last half second."""
        last: list[AvAudio] = [frame for _, frame in list(self.down.sounds)[-25:]]
        sound = np.concatenate([frame.to_ndarray().reshape(-1, 2)[:, 0] for frame in last])
        spectrum = np.abs(np.fft.rfft(sound * np.hanning(sound.size)))
        return float(np.argmax(spectrum) * 48_000 / sound.size)

    async def leave(self) -> None:
        await self.up.close()
        await self.down.close()


async def test_nothing_of_one_session_is_in_another(alone: Server) -> None:
    anna, bert = Person(alone, ANNA, 1_000, 440), Person(alone, BERT, 30_000, 1_000)
    try:
        await asyncio.gather(anna.come(), bert.come())
        for person in (anna, bert):
            await until(person.answered)
        seen = {person: person.numbers() for person in (anna, bert)}
        for person, other in ((anna, bert), (bert, anna)):
            own = [number for number in seen[person] if number in person.pictures.sent_ns]
            assert len(own) > 10
            began = seen[person].index(own[0])  # a title until the first one comes
            assert seen[person][began:] == own
            assert not set(seen[person]) & set(other.pictures.sent_ns)
        assert abs(anna.heard_hz() - 440) < 20 and abs(bert.heard_hz() - 1_000) < 20
    finally:
        await anna.leave()
        await bert.leave()
    # Settings, presets, people.
    assert await alone.ask(ANNA, "set", node="out", parameter="codec", value="vp8") == "vp8"
    await alone.ask(ANNA, "preset_save", name="mine", nodes=["out"])
    people = alone.sessions.by_name[ANNA].folder / "people"
    people.mkdir()
    (people / "anna.person").touch()
    rows = {row["name"]: row["value"] for row in (await alone.ask(BERT, "parameters"))["out"]}
    assert rows["codec"] == "h264"
    assert [row["name"] for row in await alone.ask(ANNA, "presets")] == ["mine"]
    assert await alone.ask(BERT, "presets") == []
    assert await alone.ask(ANNA, "people") == ["anna"]
    assert await alone.ask(BERT, "people") == []  # nor the owner's


async def test_each_begins_with_what_all_begin_with(alone: Server) -> None:
    alone.sessions.first = {"people/owner.person": b"faces"}
    try:
        assert await alone.ask(ANNA, "people") == ["owner"]
    finally:
        alone.sessions.first = {}
    assert await alone.ask(BERT, "people") == []


async def test_one_that_dies_comes_back_alone_with_its_settings(alone: Server) -> None:
    await alone.ask(ANNA, "set", node="out", parameter="bitrate_kbps", value=700)
    await alone.ask(BERT, "metrics")
    anna, bert = alone.sessions.by_name[ANNA], alone.sessions.by_name[BERT]
    await until(lambda: (anna.folder / "settings.json").is_file())
    theirs = bert.pid
    dead = anna.pid
    os.kill(dead, signal.SIGKILL)
    await until(lambda: anna.restarts == 1)
    rows = {row["name"]: row["value"] for row in (await alone.ask(ANNA, "parameters"))["out"]}
    assert rows["bitrate_kbps"] == 700
    assert anna.pid != dead and (bert.pid, bert.restarts) == (theirs, 0)
    assert any("session" in text and "SIGKILL" in text for text in alone.events)


async def test_one_that_hangs_is_started_again(alone: Server) -> None:
    await alone.ask(ANNA, "metrics")
    anna = alone.sessions.by_name[ANNA]
    alone.sessions._silent_after_s = 1.0
    os.kill(anna.pid, signal.SIGSTOP)
    await until(lambda: anna.restarts == 1)
    assert (await alone.ask(ANNA, "metrics"))["name"] == "straight"
    alone.sessions._silent_after_s = 5.0


async def test_who_comes_too_late_waits_in_line(alone: Server) -> None:
    late, later = "one-who-is-late-1", "one-who-is-late-2"
    async with aiohttp.ClientSession() as http:

        async def seat(name: str) -> tuple[int, str]:
            async with http.get(alone.address(name) + "/seat") as answer:
                if answer.status == 503:
                    assert int(answer.headers["Retry-After"]) > 0
                return answer.status, await answer.text()

        assert (await seat(ANNA))[0] == (await seat(BERT))[0] == 200
        status, text = await seat(late)
        assert status == 503 and "2 people are here" in text and "number 1 in line" in text
        assert "number 2 in line" in (await seat(later))[1]
        async with http.post(alone.url + "/whip", data="v=0", headers=SDP) as answer:
            assert answer.status == 503 and int(answer.headers["Retry-After"]) > 0
        async with http.delete(alone.address(ANNA) + "/") as answer:
            assert answer.status == 204
        assert "number 2 in line" in (await seat(later))[1]  # the place is the first one's
        assert (await seat(late))[0] == 200
        alone.places.draining = True
        assert "shut down" in (await seat(later))[1]


async def test_whip_makes_a_session_and_names_it(alone: Server) -> None:
    offer = await offer_of("video", direction="sendonly")
    async with aiohttp.ClientSession() as http:
        async with http.post(alone.url + "/whip", data=offer, headers=SDP) as answer:
            assert answer.status == 201, await answer.text()
            place = answer.headers["Location"]
        name = place.split("/")[2]
        assert place.startswith(f"/s/{name}/whip/") and list(alone.sessions.by_name) == [name]
        async with http.delete(alone.url + place) as answer:
            assert answer.status == 200
        for path, words in (
            ("/whep", "whose?"), ("/s/short/whip", "16 to 64"), (f"/s/{ANNA}/whep", "nobody"),
        ):  # fmt: skip
            async with http.post(alone.url + path, data=offer, headers=SDP) as answer:
                assert answer.status == 404 and words in await answer.text()
        async with http.post(alone.url + "/whip", data="v=0", headers=SDP) as answer:
            assert answer.status == 400
        await until(lambda: list(alone.sessions.by_name) == [name])  # none is left of the bad one
        async with http.get(alone.url, allow_redirects=False) as answer:
            assert answer.status == 302 and answer.headers["Location"].startswith("/s/")


def held(server: Server, sessions: list[int]) -> dict[str, int]:
    """Processes, descriptors, files and those sessions' segments that there are."""
    gc.collect()
    template = psutil.Process(server.sessions.pid)
    return {
        "processes": len(psutil.Process().children(recursive=True)),
        "descriptors": psutil.Process().num_fds() + template.num_fds(),
        "segments": sum(len(list(folder().glob(f"mien-{pid}-*"))) for pid in sessions),
        "files": len(list(server.folder.path.rglob("*"))),
    }


async def test_coming_and_going_leaves_nothing(alone: Server) -> None:
    count = int(os.environ.get("MIEN_COMINGS", "20"))
    before, memory, pids = {}, [], []
    for number in range(count):
        name = f"visitor-number-{number:04d}"
        await alone.ask(name, "metrics")
        pids.append(alone.sessions.by_name[name].pid)
        await alone.sessions.end(name)
        if number == 4:
            before = held(alone, pids)
        memory.append(
            sum(psutil.Process(pid).memory_info().rss for pid in (os.getpid(), alone.sessions.pid))
        )
    alone.sessions.open(ANNA)
    await alone.sessions.end(ANNA)  # before it is there
    assert held(alone, pids) == before
    assert memory[-1] - memory[4] < 4 << 20


async def test_the_admin_sees_sessions_and_no_names(alone: Server) -> None:
    await alone.ask(ANNA, "metrics")
    keys = {"Authorization": f"Bearer {alone.front.admin.token}"}
    jar = aiohttp.CookieJar(unsafe=True)  # of addresses, not of names alone
    async with aiohttp.ClientSession(cookie_jar=jar) as http:
        for path in ("/admin", "/admin/state", "/metrics"):
            async with http.get(alone.url + path) as answer:
                assert answer.status == 401 and "admin's token" in await answer.text()
        async with http.get(alone.url + "/admin/state", headers=keys) as answer:
            text = await answer.text()
        (session,) = json.loads(text)["sessions"]
        assert session["state"] == "running" and session["pss_mb"] > session["own_mb"] > 0
        async with http.get(alone.url + "/metrics", headers=keys) as answer:
            exposed = await answer.text()
        assert 'mien_sessions{class="idle"} 1.0' in exposed and "mien_places 2.0" in exposed
        assert ANNA not in text + exposed
        async with http.get(alone.front.admin_url) as page:  # the cookie opens it from then on
            assert page.status == 200 and "<h1>Sessions</h1>" in await page.text()
        async with http.post(alone.url + "/admin/drain", headers=keys) as answer:
            assert answer.status == 204 and alone.places.draining
        number = alone.sessions.by_name[ANNA].number
        async with http.delete(f"{alone.url}/admin/sessions/{number}", headers=keys) as answer:
            assert answer.status == 204 and not alone.sessions.by_name


async def test_synthetic_callers_measure_and_see_nobody_else(alone: Server) -> None:
    callers = Callers()
    size = {"width": 320, "height": 240, "fps": 15}
    await callers.prepare({**size, "most": 2, "input": "", "voice": ""})
    urls = [alone.address(name) + "/" for name in (ANNA, BERT)]
    assert await callers.call({"urls": urls}) == {"told": ["", ""]}
    assert await callers.connected({"within_s": 20}) == {"connected": 2}
    rows = (await callers.measure({"seconds": 1.0}))["callers"]
    for row in rows:
        assert row["foreign"] == 0 and row["unreadable"] == 0
        assert row["fps"] > 5 and 0 < row["latency_ms"]["p50"] < 1000
    again = await callers.call({"urls": [alone.address("one-too-many-here")]})
    assert "2 people are here, as many as this machine can carry" in again["told"][0]
    knocks = [alone.address(f"one-too-many-{number:04d}") + "/" for number in range(3)]
    measured = await callers.measure({"seconds": 0.3, "knock": knocks, "every_s": 0.1})
    assert len(measured["told"]) == 6 and len(alone.sessions.by_name) == 2
    assert all("2 people are here" in told for told in measured["told"])
    await callers.leave({})


async def test_what_a_visitor_costs_says_how_many_fit(
    alone: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(capacity, "WARM_S", 0.0)
    monkeypatch.setattr(capacity, "MEASURED_S", 0.5)
    expected = capacity.camera("320x240@15")
    most, cores = await capacity.measure(alone.machine, expected)
    assert most >= 1 and 0.01 <= cores < 2
    assert not alone.sessions.by_name
    assert f"{most} at once" in capacity.told(most, cores, expected)
    with pytest.raises(UsageError, match="640x480@30"):
        capacity.camera("big")
    # Nobody comes in while the processors are full, whatever was reckoned.
    alone.places.loaded = lambda: True
    async with aiohttp.ClientSession() as http, http.get(alone.address(ANNA) + "/seat") as answer:
        assert answer.status == 503 and "all that it can carry just now" in await answer.text()
    alone.places.loaded = lambda: False
