"""A real headless Firefox, driven over WebDriver BiDi, which it speaks by itself."""

from __future__ import annotations

import asyncio
import base64
import itertools
import json
import os
import re
import shutil
import subprocess
import threading
import time
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import aiohttp
import pytest

START_WITHIN_S = 60.0
ANSWER_WITHIN_S = 30.0
PREFERENCES = {
    "media.navigator.streams.fake": True,  # a camera and a microphone of its own making
    "media.navigator.permission.disabled": True,
    "media.autoplay.default": 0,
    "browser.shell.checkDefaultBrowser": False,
    "app.update.enabled": False,
    "app.normandy.enabled": False,
    "datareporting.policy.dataSubmissionEnabled": False,
    "toolkit.telemetry.server": "",
    "network.captive-portal-service.enabled": False,
    "network.connectivity-service.enabled": False,
    "services.settings.server": "data:,",
    "browser.newtabpage.enabled": False,
}

KEEP_PEERS = """() => {
  window.peers = [];
  window.RTCPeerConnection = class extends RTCPeerConnection {
    constructor(...given) { super(...given); window.peers.push(this); }
  };
}"""


def find_firefox() -> str:
    """The system's Firefox; without one the test skips."""
    for name in ("firefox-esr", "firefox"):
        if path := shutil.which(name):
            return path
    pytest.skip("no Firefox here: apt install firefox-esr")


class Firefox:
    """One running browser. Its socket lives on a loop in a thread of its own, so that tests may
    have another driver's loop in theirs."""

    def __init__(self, profile: Path, display: str = "", **preferences: bool | int | str) -> None:
        """``display`` of an X server where it draws 3D, which it doesn't without one."""
        lines = [
            f"user_pref({json.dumps(name)}, {json.dumps(value)});\n"
            for name, value in (PREFERENCES | preferences).items()
        ]
        (profile / "user.js").write_text("".join(lines))
        self._process = subprocess.Popen(
            [
                find_firefox(), *([] if display else ["--headless"]), "--no-remote",
                "--profile", str(profile), "--remote-debugging-port", "0", "about:blank",
            ],
            env=os.environ | {"DISPLAY": display, "LIBGL_ALWAYS_SOFTWARE": "1"},
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        self._loop = asyncio.new_event_loop()
        self._numbers = itertools.count(1)
        self._answers: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self.complaints: list[str] = []
        self._address: Future[str] = Future()
        self._threads = [
            threading.Thread(target=self._read_errors, daemon=True),
            threading.Thread(target=self._loop.run_forever, daemon=True),
        ]
        for thread in self._threads:
            thread.start()
        try:
            address = self._address.result(START_WITHIN_S)
            self._run(self._connect(address + "/session"))
            self.ask("session.new", capabilities={})
            self.ask("session.subscribe", events=["log.entryAdded"])
            self.ask("script.addPreloadScript", functionDeclaration=KEEP_PEERS)
        except BaseException:
            self.close()
            raise

    def ask(self, method: str, **parameters: Any) -> dict[str, Any]:
        """A command's result. Raises AssertionError with the browser's words."""
        result: dict[str, Any] = self._run(self._ask(method, parameters))
        return result

    def page(self, url: str, width: int = 1280, height: int = 800) -> Page:
        """A tab of its own with ``url`` in it."""
        tab = self.ask("browsingContext.create", type="tab")["context"]
        size = {"width": width, "height": height}
        self.ask("browsingContext.setViewport", context=tab, viewport=size)
        self.ask("browsingContext.navigate", context=tab, url=url, wait="complete")
        return Page(self, tab)

    def close(self) -> None:
        if hasattr(self, "_session"):
            self._run(self._disconnect())
        if self._process.poll() is None:
            self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._loop.call_soon_threadsafe(self._loop.stop)
        for thread in self._threads:
            thread.join(5)
        self._loop.close()
        assert self._process.stderr is not None
        self._process.stderr.close()

    def _run(self, coroutine: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(ANSWER_WITHIN_S)

    def _read_errors(self) -> None:
        assert self._process.stderr is not None
        for line in self._process.stderr:
            if found := re.search(r"BiDi listening on (ws://\S+)", line):
                self._address.set_result(found[1])
        if not self._address.done():
            self._address.set_exception(AssertionError("Firefox ended before it listened"))

    async def _connect(self, url: str) -> None:
        self._session = aiohttp.ClientSession()
        self._socket = await self._session.ws_connect(url, max_msg_size=0)
        self._listener = asyncio.create_task(self._listen())

    async def _disconnect(self) -> None:
        await self._socket.close()
        await self._listener
        await self._session.close()

    async def _listen(self) -> None:
        async for message in self._socket:
            said = json.loads(message.data)
            if said["type"] == "event":
                entry = said["params"]
                if entry["level"] in ("warn", "error"):
                    self.complaints.append(f"{entry['level']}: {entry['text']}")
            elif said.get("id") in self._answers:
                self._answers.pop(said["id"]).set_result(said)

    async def _ask(self, method: str, parameters: dict[str, Any]) -> dict[str, Any]:
        number = next(self._numbers)
        answer = self._answers[number] = asyncio.get_running_loop().create_future()
        await self._socket.send_json({"id": number, "method": method, "params": parameters})
        said = await answer
        assert said["type"] == "success", f"{method}: {said.get('message')}"
        result: dict[str, Any] = said["result"]
        return result


class Page:
    """A tab: what it holds, what a person does to it."""

    def __init__(self, firefox: Firefox, tab: str) -> None:
        self._firefox = firefox
        self._tab = tab

    def evaluate(self, expression: str) -> Any:
        """What JavaScript makes of ``expression`` (awaited), as plain data."""
        answer = self._firefox.ask(
            "script.evaluate", target={"context": self._tab}, awaitPromise=True,
            expression=f"Promise.resolve({expression}).then((it) => JSON.stringify(it))",
        )  # fmt: skip
        assert answer["type"] == "success", answer["exceptionDetails"]["text"]
        return json.loads(answer["result"].get("value", "null"))

    def data(self, name: str) -> str:
        return str(self.evaluate(f"document.documentElement.dataset[{json.dumps(name)}] ?? ''"))

    def wait(self, condition: str, within_s: float = 30.0) -> None:
        """Until the expression is true."""
        deadline_s = time.monotonic() + within_s
        while not self.evaluate(f"!!({condition})"):
            assert time.monotonic() < deadline_s, (
                f"not within {within_s} s: {condition}; the page is '{self.data('state')}': "
                f"{self.evaluate('document.body.innerText')[:300]!r}"
            )
            time.sleep(0.1)

    def click(self, selector: str) -> None:
        """A real click in the middle of an element."""
        found = self._firefox.ask(
            "browsingContext.locateNodes", context=self._tab,
            locator={"type": "css", "value": selector},
        )  # fmt: skip
        origin = {"type": "element", "element": {"sharedId": found["nodes"][0]["sharedId"]}}
        steps = [
            {"type": "pointerMove", "x": 0, "y": 0, "origin": origin},
            {"type": "pointerDown", "button": 0},
            {"type": "pointerUp", "button": 0},
        ]
        self._firefox.ask(
            "input.performActions", context=self._tab,
            actions=[{"type": "pointer", "id": "mouse", "actions": steps}],
        )  # fmt: skip

    def screenshot(self, path: Path) -> None:
        shot = self._firefox.ask("browsingContext.captureScreenshot", context=self._tab)
        path.write_bytes(base64.b64decode(shot["data"]))

    def received(self, kind: str) -> dict[str, Any]:
        """What the newest connection's statistics say of received "audio" or "video"."""
        found = self.evaluate(
            "window.peers.at(-1).getStats().then((all) => [...all.values()].find("
            f"(row) => row.type === 'inbound-rtp' && row.kind === '{kind}'))"
        )
        return dict(found or {})

    def close(self) -> None:
        self._firefox.ask("browsingContext.close", context=self._tab)
