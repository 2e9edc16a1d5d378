"""What is sent to a cluster's processes whole: they can import nothing of Mien before ``mien``.

Everything that a function here needs is imported inside it.
"""

from __future__ import annotations


def call(work: bytes) -> bytes:
    """Unpack a function and what it takes, and call it; what comes of it, packed: (result, "") or
    (None, why there is none)."""
    import importlib
    import pickle

    importlib.import_module("mien")  # the other packages can be imported from here on
    from engine.errors import MienError

    function, argument = pickle.loads(work)
    try:
        return pickle.dumps((function(argument), ""))
    except MienError as error:
        return pickle.dumps((None, str(error)))


class Holder:
    """Holds a worker's process on the machine that Ray has chosen; both end together."""

    def keys(self) -> tuple[str, str]:
        """The public key of the worker that will run here, and this machine's address."""
        import importlib

        importlib.import_module("mien")
        util = importlib.import_module("ray.util")
        from cluster.link import new_keys

        self._keys = new_keys()
        return self._keys.public, util.get_node_ip_address()

    def run(self, task: bytes) -> int:
        """Run it to its end; its exit code."""
        import os
        import subprocess
        import sys

        from engine.program import ROOT
        from engine.transport.wire import from_bytes, to_bytes

        task = to_bytes({**from_bytes(task), "keys": list(self._keys)})
        path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH", "")]))
        with subprocess.Popen(
            [sys.executable, "-P", "-m", "cluster.worker"],
            stdin=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": path},
        ) as process:
            assert process.stdin is not None
            process.stdin.write(len(task).to_bytes(4, "little") + task)
            process.stdin.flush()
            return process.wait()


class FileActor:
    """Serves files of a person from the machine that asked for work to where it is done."""

    async def open(self, contents: list[bytes]) -> None:
        import importlib

        importlib.import_module("mien")
        util = importlib.import_module("ray.util")
        from cluster.file_server import FileServer

        self._file_server = FileServer(util.get_node_ip_address(), contents)

    async def let_in(self, key: str) -> tuple[str, str]:
        return self._file_server.let_in(key)
