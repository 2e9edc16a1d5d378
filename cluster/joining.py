"""A cluster to work on: one that is there, or one of this machine alone for as long as it takes."""

from __future__ import annotations

import contextlib
import importlib
import logging
import os
import secrets
import signal
import tempfile
import threading
from collections.abc import Iterator
from typing import Any, Final

from cluster import remote
from engine.errors import MienError
from engine.program import VARIABLE as PROGRAM
from engine.program import extra
from inference.assets import FACE_LANDMARKER
from inference.weight_sets import VARIABLE as WEIGHTS

AUTO: Final = "auto"
HELP: Final = (
    "auto: the cluster in $RAY_ADDRESS, else a new one on this machine; or HOST:PORT of a cluster "
    "that this machine belongs to"
)
_ALONG: Final = (WEIGHTS, FACE_LANDMARKER.variable, PROGRAM)
"""variables that processes on other machines get, too"""
_OWN: Final = {
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # Ray's way to say: listen on loopback alone
    "RAY_AUTH_MODE": "token",
    "RAY_worker_niceness": "0",  # else it is 15, and pictures wait for everybody
}
_OWN_STORE_BYTES: Final = 80 << 20  # Ray takes no less; nothing large goes through it


@contextlib.contextmanager
def joined(address: str) -> Iterator[Any]:
    """The module ``ray``, in touch with a cluster until the block ends. Raises MienError.

    A cluster of this machine alone listens on loopback, asks for a token that only this process
    and those of the cluster know, and leaves nothing behind.
    """
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    address = os.environ.get("RAY_ADDRESS", "") if address == AUTO else address
    with contextlib.ExitStack() as stack:
        asked: dict[str, Any] = {"address": address}
        if not address:
            scratch = tempfile.TemporaryDirectory(prefix="mien-ray-", ignore_cleanup_errors=True)
            asked = {
                "address": "local",
                "include_dashboard": False,
                "object_store_memory": _OWN_STORE_BYTES,
                "_temp_dir": stack.enter_context(scratch),
            }
            os.environ.update(_OWN, RAY_AUTH_TOKEN=secrets.token_hex(32))
        ray = _load()
        along = {name: os.environ[name] for name in _ALONG if name in os.environ}
        stack.callback(ray.shutdown)
        with _signals_kept():
            try:
                ray.init(
                    **asked,
                    logging_level=logging.ERROR,
                    log_to_driver=False,
                    runtime_env={"env_vars": along},
                )
            except (OSError, RuntimeError, ValueError) as error:
                raise MienError(_why(address, error)) from None
        yield ray


def _load() -> Any:
    try:
        ray = importlib.import_module("ray")
    except ModuleNotFoundError:
        raise MienError(f"--cluster needs Ray: {extra('cluster')}") from None
    ray.cloudpickle.register_pickle_by_value(remote)
    # It prints paragraphs of each process that dies; who asked for the work says what matters.
    inside: Any = importlib.import_module("ray._private.worker")
    inside.print_to_stdstream = lambda *_, **__: None
    return ray


def _why(address: str, error: Exception) -> str:
    said = str(error).strip().partition("\n")[0].rstrip(".")
    if not address:
        return f"no cluster could be started on this machine: {said}"
    return (
        f"no cluster can be joined at {address} ({said}); this machine has to belong to it: "
        f"ray start --address={address}"
    )


@contextlib.contextmanager
def _signals_kept() -> Iterator[None]:
    """Ray puts handlers of its own in the place of ours."""
    here = threading.current_thread() is threading.main_thread()
    numbers = (signal.SIGINT, signal.SIGTERM) if here else ()
    before = {number: signal.getsignal(number) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
