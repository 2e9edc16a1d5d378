"""Run one node without a graph: messages in, messages out. For tests and notebooks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from engine.errors import EndOfStream
from engine.node import Context, Node, Source
from engine.outputs import each_output
from engine.parameters import build
from engine.types import Message


def run_node(
    node_type: type[Node],
    messages: Iterable[Mapping[str, Message]] = (),
    *,
    config: Mapping[str, Any] | None = None,
    context: Context | None = None,
    limit: int = 1_000_000,
) -> list[tuple[str, Message]]:
    """Set a node up, feed it, finish and close it; what it emitted, as (port, message) in order.

    Each item of ``messages`` maps ports to messages: several ports are one joined call, a port
    with its own ``on_`` method is called alone. A Source is read until its end, or ``limit`` times.
    """
    emitted: list[tuple[str, Message]] = []
    context = context or Context()
    context.emit = lambda port, message: emitted.append((port, message))
    node = node_type(build(node_type.Config, dict(config or {})), context)
    node.setup()
    try:
        if isinstance(node, Source):
            for _ in range(limit):
                try:
                    emitted.extend(each_output(node, node.read()))
                except EndOfStream:
                    break
        for item in messages:
            alone = {port for port in item if hasattr(node, f"on_{port}")}
            for port in alone:
                emitted.extend(each_output(node, getattr(node, f"on_{port}")(item[port])))
            if joined := {port: value for port, value in item.items() if port not in alone}:
                emitted.extend(each_output(node, node.process(**joined)))
        emitted.extend(each_output(node, node.finish()))
    finally:
        node.close()
    return emitted
