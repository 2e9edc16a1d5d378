"""Commands run in a fresh home under strace, which sees what native code does as well: what they
tried to send anywhere but to this machine, and what they wrote where it doesn't belong.
"""

from __future__ import annotations

import contextlib
import ipaddress
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil

from inference.assets import FACE_LANDMARKER, locate

REPOSITORY = Path(__file__).resolve().parents[1]
CALLS = "connect,sendto,sendmsg,sendmmsg,openat,open,creat,mkdir,mkdirat,rename,renameat,renameat2"
NAME_SERVICE = re.compile(r"htons\(53\)|sun_path=\"[^\"]*resolve")
ADDRESS = re.compile(r"inet_addr\(\"([^\"]+)\"\)|inet_pton\(AF_INET6, \"([^\"]+)\"")
MADE = re.compile(
    r"(?:open(?:at)?\((?:AT_FDCWD<(?P<cwd>[^>]*)>, )?\"(?P<opened>[^\"]*)\", [^,)]*O_CREAT"
    r"|creat\(\"(?P<created>[^\"]*)\""
    r"|mkdir(?:at)?\((?:AT_FDCWD<(?P<at>[^>]*)>, )?\"(?P<made>[^\"]*)\""
    r"|rename\w*\(.*\"(?P<renamed>[^\"]*)\"(?:, [A-Z0-9_]+)?\))"
)
SHARED_OR_DEVICES = ("/dev/", "/proc/")


class Home:
    """A user's fresh home, temporary and runtime folder in ``folder``, and the trap over them.

    The face landmarker lies in the cache already, as after a first start.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.home, self.work = folder / "home", folder / "work"
        self.cache = self.home / ".cache" / "mien"
        self.settings = self.home / ".config" / "mien"
        for part in (self.cache, self.work, folder / "tmp"):
            part.mkdir(parents=True)
        (folder / "run").mkdir(mode=0o700)
        shutil.copy(locate(FACE_LANDMARKER), self.cache / FACE_LANDMARKER.name)
        self._traced = folder / "traced.txt"
        kept = ("PATH", "LD_LIBRARY_PATH", "LANG")
        self.environment = {name: os.environ[name] for name in kept if name in os.environ} | {
            "HOME": str(self.home),
            "TMPDIR": str(folder / "tmp"),
            "XDG_RUNTIME_DIR": str(folder / "run"),
            "PYTHONPATH": str(REPOSITORY),
            "PYTHONDONTWRITEBYTECODE": "1",
            "OMP_NUM_THREADS": "1",
        }

    @contextlib.contextmanager
    def running(self, *command: str | Path) -> Iterator[subprocess.Popen[str]]:
        """``python COMMAND`` from the folder ``work``; killed if it outlives the block."""
        strace = ["strace", "-f", "-y", "-qq", "-s", "256", "--seccomp-bpf"]
        process = subprocess.Popen(
            [*strace, "-e", f"trace={CALLS}", "-e", "signal=none", "-A", "-o", str(self._traced),
             sys.executable, *map(str, command)],
            cwd=self.work, env=self.environment, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        try:
            yield process
        finally:
            if process.poll() is None:
                for child in psutil.Process(process.pid).children(recursive=True):
                    child.kill()
                process.kill()
            process.communicate()

    def run(self, *command: str | Path, code: int = 0) -> str:
        """``python COMMAND`` to its end; what it said."""
        with self.running(*command) as process:
            said, _ = process.communicate(timeout=120)
        assert process.returncode == code, said
        return said

    def tried(self) -> list[str]:
        """Every attempt to reach another machine, or to ask for a name."""
        return [line for line in self._lines() if _leaves(line)]

    def strays(self) -> list[str]:
        """Every file and folder made outside of what is the command's, and what stayed behind in
        the home outside cache and settings, in the temporary or in the runtime folder."""
        allowed = (f"{self.folder}/", *SHARED_OR_DEVICES)
        outside = [path for path in map(self._made, self._lines()) if path is not None]
        left = [
            str(path)
            for name in ("home", "tmp", "run")
            for path in (self.folder / name).rglob("*")
            if not path.is_dir()
            and not path.is_relative_to(self.cache)
            and not path.is_relative_to(self.settings)
        ]
        return [path for path in outside if not path.startswith(allowed)] + left

    def _lines(self) -> list[str]:
        return self._traced.read_text(errors="replace").splitlines()

    def _made(self, line: str) -> str | None:
        found = MADE.search(line)
        if found is None or re.search(r" = -1 E\w+", line):
            return None
        parts = found.groupdict()
        path = parts["opened"] or parts["created"] or parts["made"] or parts["renamed"] or ""
        return os.path.normpath(Path(parts["cwd"] or parts["at"] or self.work) / path)


def interrupt(process: subprocess.Popen[str]) -> None:
    """Ctrl-C for the command, not for who traces it."""
    (child,) = psutil.Process(process.pid).children()
    child.send_signal(signal.SIGINT)


def missing_trap() -> str:
    """Why nothing can be traced here; empty where it can."""
    if shutil.which("strace") is None:
        return "needs strace (apt install strace)"
    trial = subprocess.run(
        ["strace", "-f", "--seccomp-bpf", "-o", "/dev/null", "true"], capture_output=True, text=True
    )
    return f"strace may not trace here: {trial.stderr.strip()}" if trial.returncode else ""


def _own() -> set[str]:
    return {
        address.address.partition("%")[0]
        for addresses in psutil.net_if_addrs().values()
        for address in addresses
        if address.family in (socket.AF_INET, socket.AF_INET6)
    }


def _leaves(line: str) -> bool:
    if NAME_SERVICE.search(line):
        return True
    own = _own()
    for pair in ADDRESS.findall(line):
        text = pair[0] or pair[1]
        address = ipaddress.ip_address(text)
        address = getattr(address, "ipv4_mapped", None) or address
        if not (address.is_loopback or address.is_unspecified or str(address) in own):
            return True
    return False
