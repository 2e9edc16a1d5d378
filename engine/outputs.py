"""What a node returned, as (port, message) pairs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from engine.node import Node
from engine.types import Message


def each_output(node: Node, returned: Any) -> Iterator[tuple[str, Message]]:
    """Flatten a message, a mapping from port to message, an iterable of either, or None.

    Raises TypeError where a message leaves a port that the node hasn't declared.
    """
    if returned is None:
        return
    if isinstance(returned, Message):
        if len(node.outputs) != 1:
            raise TypeError(f"{type(node).__name__} has {len(node.outputs)} outputs; name the port")
        yield next(iter(node.outputs)), returned
    elif isinstance(returned, Mapping):
        for port, message in returned.items():
            if port not in node.outputs:
                raise TypeError(f"{type(node).__name__} has no output '{port}'")
            if message is not None:
                yield port, message
    elif isinstance(returned, Iterable):
        for item in returned:
            yield from each_output(node, item)
    else:
        raise TypeError(f"{type(node).__name__} returned {type(returned).__name__}, not a message")
