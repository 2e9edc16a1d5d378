"""Where one run of a graph lives: its endpoints, its hosts' addresses and keys."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import zmq
from zmq.auth.thread import ThreadAuthenticator
from zmq.utils import z85

from engine.errors import MienError, UsageError
from engine.folders import RunFolder
from engine.graph_spec import Graph
from engine.transport.link import Curve

SOCKET_PATH_MOST = 100


@dataclass(frozen=True)
class Run:
    """One supervisor's run; workers get it as plain data.

    ``host`` is this machine's name in the graph, "" where the graph has no hosts. ``secret_key``
    is empty then, too.
    """

    name: str
    folder: str
    host: str = ""
    secret_key: str = ""

    @property
    def control_endpoint(self) -> str:
        return f"ipc://{self.folder}/control.sock"

    def listen(self, graph: Graph, process: str) -> list[tuple[str, Curve | None]]:
        """The endpoints that a process binds."""
        endpoints: list[tuple[str, Curve | None]] = [(self._local(process), None)]
        remote = any(
            graph.processes.get(graph.nodes[origin].process) != self.host
            for spec in graph.in_process(process)
            for origin, _ in spec.inputs.values()
        )
        if remote:
            endpoints.append((self._tcp(graph, process), self.curve(graph)))
        return endpoints

    def endpoint(self, graph: Graph, process: str) -> tuple[str, Curve | None]:
        """Where to send what a process takes."""
        host = graph.processes[process]
        if host == self.host:
            return self._local(process), None
        return self._tcp(graph, process), self.curve(graph, host)

    def curve(self, graph: Graph, server: str = "") -> Curve:
        """Our key pair, and the public key of the host that we speak to."""
        public = graph.hosts[self.host].public_key
        key = graph.hosts[server].public_key if server else ""
        return Curve(public.encode(), self.secret_key.encode(), key.encode())

    def control_address(self, graph: Graph, host: str) -> str:
        spec = graph.hosts[host]
        return f"tcp://{spec.address}:{spec.port}"

    def _local(self, process: str) -> str:
        return f"ipc://{self.folder}/{process}.sock"

    def _tcp(self, graph: Graph, process: str) -> str:
        spec = graph.hosts[graph.processes[process]]
        same_host = [
            name for name, host in graph.processes.items() if host == graph.processes[process]
        ]
        return f"tcp://{spec.address}:{spec.port + 1 + same_host.index(process)}"

    def plain(self) -> dict[str, Any]:
        return dataclasses.asdict(self)


class Authenticator:
    """Lets only known keys in (CURVE); one per process that listens on a network."""

    def __init__(self, context: zmq.Context[Any], keys: Iterable[str]) -> None:
        self._known: set[bytes] = set()
        for key in keys:
            self.let_in(key)
        self._thread = ThreadAuthenticator(context)
        self._thread.start()
        self._thread.configure_curve_callback(domain="mien", credentials_provider=self)

    def let_in(self, key: str) -> None:
        """Know one more public key."""
        self._known.add(z85.decode(key.encode()))

    def callback(self, domain: str, key: bytes) -> bool:
        """Whether a peer's public key is known."""
        return z85.decode(key) in self._known if len(key) == 40 else key in self._known

    def stop(self) -> None:
        self._thread.stop()


def begin(graph: Graph, host: str = "") -> tuple[Run, RunFolder]:
    """A new run and its folder, which is to be released. Raises MienError."""
    if graph.hosts and host not in graph.hosts:
        known = ", ".join(graph.hosts)
        raise UsageError(f"this graph runs on several hosts; say which this is: --host {known}")
    if host and not graph.hosts:
        raise UsageError(f"--host {host}: the graph has no [hosts]")
    secret = ""
    if host:
        public, secret = host_key()
        if public != graph.hosts[host].public_key:
            raise UsageError(
                f"this machine's key is not the public_key of [hosts.{host}]; put {public} there"
            )
    folder = RunFolder()
    longest = max([len("control"), *map(len, graph.processes)])
    if len(f"{folder.path}/.sock") + longest > SOCKET_PATH_MOST:
        folder.release()
        raise MienError(
            f"{folder.path} is too long a path for sockets; set XDG_RUNTIME_DIR to a short one"
        )
    return Run(folder.name, str(folder.path), host, secret), folder


def host_key() -> tuple[str, str]:
    """This machine's (public, secret) key for graphs over several hosts; made at first use."""
    config = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config")
    path = config / "mien" / "host.key"
    try:
        if not path.exists():
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            _, secret = zmq.curve_keypair()
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(secret)
        secret = path.read_bytes().strip()
        return zmq.curve_public(secret).decode(), secret.decode()
    except (OSError, ValueError, zmq.ZMQError) as error:
        raise MienError(
            f"{path}: no usable key: {error}; remove the file to make a new one"
        ) from None
