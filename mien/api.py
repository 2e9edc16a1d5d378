"""The public API: what a node, a graph and a script need, by one import."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from engine import __version__
from engine.errors import EndOfStream, MienError, UsageError
from engine.graph import load
from engine.graph_spec import Graph
from engine.harness import run_node
from engine.local import run_local
from engine.loops import run_loop
from engine.node import LoopNode, Node, Source
from engine.parameters import parameter
from engine.supervisor import Supervisor
from engine.types import AudioFrame, Fifo, Latest, Message, VideoFrame

__all__ = [
    "AudioFrame", "EndOfStream", "Fifo", "Graph", "Latest", "LoopNode", "Message", "MienError",
    "Node", "Source", "UsageError", "VideoFrame", "__version__", "load", "parameter", "run",
    "run_async", "run_node",
]  # fmt: skip

Plan = Graph | Path | str | Mapping[str, Any]
"""a checked graph, a TOML file, or the content of one"""


def run(
    graph: Plan,
    settings: Iterable[str] = (),
    *,
    seconds: float = 0,
    in_process: bool = False,
    on_event: Callable[[str, str], None] | None = None,
) -> dict[str, Any]:
    """Run a graph until its sources end, or for ``seconds``; its last figures, by node and edge.

    ``settings`` are ``node.parameter=value`` texts, for a graph that isn't checked yet. It runs in
    the processes that it names, or with ``in_process`` in this one, where nodes may be classes of
    a script. ``on_event`` gets (level, text) of what a person should know. Where an event loop
    runs already, as in a notebook, await `run_async` instead. Raises MienError.
    """
    with contextlib.suppress(RuntimeError):
        asyncio.get_running_loop()
        raise MienError("an event loop runs here already: await mien.run_async(...) instead")
    return run_loop(
        run_async(graph, settings, seconds=seconds, in_process=in_process, on_event=on_event)
    )


async def run_async(
    graph: Plan,
    settings: Iterable[str] = (),
    *,
    seconds: float = 0,
    in_process: bool = False,
    on_event: Callable[[str, str], None] | None = None,
) -> dict[str, Any]:
    """As `run`, in the event loop that runs already. Cancelled, it leaves nothing behind."""
    checked = graph if isinstance(graph, Graph) else load(graph, settings)
    if in_process:
        stop = asyncio.Event()
        if seconds:
            asyncio.get_running_loop().call_later(seconds, stop.set)
        return await run_local(checked, stop=stop, on_event=on_event)
    async with Supervisor(checked, on_event=on_event) as supervisor:
        try:
            await asyncio.wait_for(supervisor.wait(), seconds or None)
        except TimeoutError:
            supervisor.request_stop()
        return supervisor.metrics()
