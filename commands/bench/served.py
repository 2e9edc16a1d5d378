"""`serve` as it is measured, and the process of those who call it."""

from __future__ import annotations

import json
import os
import re
import secrets
import subprocess
import sys
import urllib.request
from typing import Any, Final, Self

from commands.bench.server import Server
from engine.errors import MienError
from engine.program import ROOT, launcher

TOKEN: Final = secrets.token_urlsafe(18)
"""the admin's"""


class Serve(Server):
    """`serve` on a free port."""

    def __init__(self, arguments: list[str]) -> None:
        super().__init__(
            "serve", [*launcher(), "serve", "--port", "0", f"--admin-token={TOKEN}", *arguments]
        )

    def _ready(self) -> bool:
        if found := re.search(r"running: (https?://\S+)", self.log()):
            self.url = found[1]
        return bool(self.url)

    def state(self) -> dict[str, Any]:
        """What the admin is told."""
        asked = urllib.request.Request(
            f"{self.url}/admin/state", headers={"Authorization": f"Bearer {TOKEN}"}
        )
        with urllib.request.urlopen(asked, timeout=10) as answer:
            state: dict[str, Any] = json.load(answer)
        return state


class Callers:
    """The process of the callers."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "commands.bench.callers"], cwd=ROOT,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )  # fmt: skip

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def ask(self, do: str, **asked: Any) -> dict[str, Any]:
        """One request and its answer. Raises MienError."""
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(json.dumps({"do": do, **asked}) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise MienError("the callers' process has ended")
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise MienError(f"the callers failed: {answer['error']}")
        return answer
