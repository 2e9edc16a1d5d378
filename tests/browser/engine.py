"""The real engine as a subprocess, and a line to it that doesn't go through the page."""

from __future__ import annotations

import asyncio
import json
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).parents[2]
START_WITHIN_S = 60.0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Engine:
    """``run_engine.py live`` on a port that stays the same when its process is killed; or a
    ``graph`` of one's own, whose node ``out`` is the page's."""

    def __init__(self, *options: str, graph: Path | None = None, out: str = "out") -> None:
        port = free_port()
        command = ["live", "--port", str(port), *(options or ("--no-settings",))]
        if graph is not None:
            command = ["graph", str(graph), "--set", f"{out}.port={port}"]
        self.process = subprocess.Popen(
            [sys.executable, "-u", "run_engine.py", *command],
            cwd=REPOSITORY,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.lines: list[str] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self.url = self._url() if graph is None else self._answering(f"http://127.0.0.1:{port}/")
        self.call("govern", level=0)  # pictures keep their size, however busy this machine is

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(line.rstrip())

    def _url(self) -> str:
        deadline_s = time.monotonic() + START_WITHIN_S
        while time.monotonic() < deadline_s:
            for line in self.lines:
                if found := re.search(r"https?://[^\s]+", line):
                    return found.group().rstrip("/") + "/"
            if self.process.poll() is not None:
                break
            time.sleep(0.05)
        self.close()
        raise AssertionError("the engine didn't name its page:\n" + "\n".join(self.lines))

    def _answering(self, url: str) -> str:
        self.url = url

        def answers() -> bool:
            try:
                processes = self.call("metrics")["processes"].values()
            except (OSError, KeyError, AssertionError):  # nobody is there yet, or not all of it
                return False
            return all(process["state"] == "running" for process in processes)

        if self.wait(answers, START_WITHIN_S):
            return url
        self.close()
        raise AssertionError("the engine doesn't answer:\n" + "\n".join(self.lines))

    def call(self, op: str, **arguments: Any) -> Any:
        """Ask over a WebSocket of our own."""
        with ThreadPoolExecutor(1) as thread:  # playwright's loop runs in this one
            return thread.submit(asyncio.run, self._call(op, arguments)).result(15)

    async def _call(self, op: str, arguments: dict[str, Any]) -> Any:
        import aiohttp

        async with (
            aiohttp.ClientSession() as session,
            session.ws_connect(self.url.replace("http", "ws", 1) + "ws") as line,
        ):
            await line.send_json({"id": 1, "op": op, **arguments})
            while True:
                message = json.loads((await line.receive(10)).data)
                if message.get("id") == 1:
                    assert "error" not in message, message["error"]
                    return message["result"]

    def value(self, node: str, name: str) -> Any:
        """A parameter as the engine has it."""
        return next(row["value"] for row in self.call("parameters")[node] if row["name"] == name)

    def peers(self) -> tuple[bool, int]:
        """Whether somebody publishes, and how many view."""
        session = self.call("metrics")["session"]
        return session["session"]["state"] not in ("none", "closed"), session["whep"]["viewers"]

    def wait(self, holds: Callable[[], bool], within_s: float = 30.0) -> bool:
        """Poll until it holds."""
        deadline_s = time.monotonic() + within_s
        while time.monotonic() < deadline_s:
            if holds():
                return True
            time.sleep(0.1)
        return holds()

    def close(self) -> int:
        """Ctrl-C; its exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
        try:
            code = self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            code = self.process.wait()
        self._reader.join(5)
        if self.process.stdout is not None:
            self.process.stdout.close()
        return code
