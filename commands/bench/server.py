"""The measured servers as subprocesses: the engine itself and the bare echo; their resources."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any, Self

import psutil

from commands.set import find_run
from engine.control import ask
from engine.errors import MienError
from engine.operations import Govern, Graph, Metrics
from engine.program import ROOT, launcher

START_WITHIN_S = 60.0
END_WITHIN_S = 5.0


class Server:
    """A subprocess with a page; ended, with its children, when the ``with`` block is left."""

    def __init__(self, name: str, command: list[str]) -> None:
        self.name = name
        self.url = ""
        self.start_s = 0.0
        self._command = command
        self._log = tempfile.TemporaryFile("w+b")  # noqa: SIM115 - closed in end()
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        began = time.monotonic()
        # Its own process group: Ctrl-C is for the bench, which then ends this one in order.
        self._process = subprocess.Popen(
            self._command,
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            while not self._ready():
                if self._process.poll() is not None:
                    raise MienError(f"{self.name} ended at its start: {self._last_line()}")
                if time.monotonic() - began > START_WITHIN_S:
                    raise MienError(f"{self.name} wasn't ready in {START_WITHIN_S:.0f} s")
                time.sleep(0.05)
        except BaseException:
            self.end()
            raise
        self.start_s = time.monotonic() - began
        return self

    def __exit__(self, *error: object) -> None:
        self.end()

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def _ready(self) -> bool:
        raise NotImplementedError

    def log(self) -> str:
        """What it printed so far."""
        place = os.pread(self._log.fileno(), 1 << 20, 0)
        return place.decode(errors="replace")

    def _last_line(self) -> str:
        lines = self.log().strip().splitlines()
        return lines[-1] if lines else "it said nothing"

    def end(self) -> None:
        """Ask it to end, then make it."""
        process = self._process
        if process is None:
            return
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(END_WITHIN_S)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        self._log.close()
        self._process = None

    def metrics(self) -> dict[str, Any]:
        """The server's own figures, empty where it has none."""
        return {}


class EngineServer(Server):
    """`run_engine.py live` on a free port, with the full picture unless ``governed``."""

    def __init__(self, arguments: list[str], governed: bool = False) -> None:
        self._governed = governed
        super().__init__("the engine", [*launcher(), "live", "--port", "0", *arguments])

    def _ready(self) -> bool:
        if found := re.search(r"running: (https?://\S+)", self.log()):
            self.url = found[1]
            if not self._governed:
                ask(self._endpoint(), Govern(0))
        return bool(self.url)

    def roles(self) -> dict[str, str]:
        """Which node does what."""
        roles: dict[str, str] = ask(self._endpoint(), Graph())["roles"]
        return roles

    def metrics(self) -> dict[str, Any]:
        return ask(self._endpoint(), Metrics())

    def _endpoint(self) -> str:
        return f"ipc://{find_run(self.pid)}/control.sock"


class EchoServer(Server):
    """The bare aiortc echo on a free port."""

    def __init__(self) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        super().__init__("the echo", [sys.executable, "-m", "commands.bench.echo", str(port)])
        self._address = f"http://127.0.0.1:{port}"

    def _ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self._address}/healthz", timeout=1):
                self.url = self._address
        except (urllib.error.URLError, TimeoutError):
            return False
        return True


class Resources:
    """Samples memory and CPU of a server's processes and of the browser, in a thread."""

    def __init__(self, server: Server, every_s: float = 5.0) -> None:
        self.rows: list[dict[str, Any]] = []
        self.metrics: dict[str, Any] = {}
        self._server = server
        self._every_s = every_s
        self._sampled = threading.Event()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._sample_often, name="resources", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        self._sampled.wait()
        return self

    def __exit__(self, *error: object) -> None:
        self._stop.set()
        self._thread.join()

    def _sample_often(self) -> None:
        # All of it here: the control socket's client brings an event loop of its own.
        try:
            self.sample()
        finally:
            self._sampled.set()
        while not self._stop.wait(self._every_s):
            self.sample()
        self.sample()

    def sample(self) -> None:
        """One row: per process its memory [MB] and the CPU seconds it has used."""
        with contextlib.suppress(MienError):  # busy for a moment: the processes tell as much
            self.metrics = self._server.metrics() or self.metrics
        names = {facts["pid"]: name for name, facts in self.metrics.get("processes", {}).items()}
        row: dict[str, Any] = {"at_s": time.monotonic(), "memory_mb": {}, "cpu_s": {}}
        row["busy_s"] = _busy_s()
        for root, group in ((self._server.pid, ""), (os.getpid(), "browser")):
            for process in _tree(root):
                try:
                    if process.pid == os.getpid() or (
                        group and _in_tree(process, self._server.pid)
                    ):
                        continue
                    name = (
                        group
                        or names.get(process.pid)
                        or ("supervisor" if names else self._server.name.split()[-1])
                    )
                    used = process.cpu_times()
                    memory = process.memory_info().rss / 1e6
                except psutil.Error:
                    continue
                row["memory_mb"][name] = row["memory_mb"].get(name, 0.0) + memory
                row["cpu_s"][name] = row["cpu_s"].get(name, 0.0) + used.user + used.system
        self.rows.append(row)

    def summary(self) -> dict[str, Any]:
        """memory_mb {process: {start, end, growth_percent}}, cpu_percent {process: ...}."""
        first, last = self.rows[0], self.rows[-1]
        span_s = max(1e-6, last["at_s"] - first["at_s"])
        memory = {}
        for name, end in last["memory_mb"].items():
            start = first["memory_mb"].get(name, end)
            memory[name] = {
                "start": round(start, 1),
                "end": round(end, 1),
                "growth_percent": round(100 * (end - start) / start, 2) if start else 0.0,
            }
        cpu = {
            name: round(100 * (used - first["cpu_s"].get(name, 0.0)) / span_s, 1)
            for name, used in last["cpu_s"].items()
        }
        own_s = sum(used - first["cpu_s"].get(name, 0.0) for name, used in last["cpu_s"].items())
        others = 100 * (last["busy_s"] - first["busy_s"] - own_s) / span_s
        return {"memory_mb": memory, "cpu_percent": cpu, "cpu_percent_of_others": round(others, 1)}


def _busy_s() -> float:
    """CPU seconds that all of the machine's processes have used."""
    times = psutil.cpu_times()
    return float(sum(times) - times.idle - getattr(times, "iowait", 0.0))


def _tree(root: int) -> list[psutil.Process]:
    try:
        process = psutil.Process(root)
        return [process, *process.children(recursive=True)]
    except psutil.Error:
        return []


def _in_tree(process: psutil.Process, root: int) -> bool:
    return process.pid == root or any(parent.pid == root for parent in process.parents())


def temporary_folder() -> tempfile.TemporaryDirectory[str]:
    """For the clip: in memory where the system has such a place."""
    shared = Path("/dev/shm")
    roomy = shared.is_dir() and psutil.disk_usage(str(shared)).free > 2e9
    return tempfile.TemporaryDirectory(prefix="mienbench-", dir=shared if roomy else None)
