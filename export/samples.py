"""Calls from a recipe's examples, with the state that each call leaves to the next."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import islice
from typing import Any

import numpy as np

from export.networks import Network
from training.examples import Call, Example, Examples


def drawn(network: Network, source: Examples, count: int, seed: int = 0) -> list[Example]:
    """``count`` examples in a row, state and all. Raises MienError."""
    every = source.draw(np.random.default_rng(seed))
    return list(islice(chained(network, every), count))


def calls(network: Network, source: Examples, count: int, seed: int = 0) -> list[Call]:
    """Their calls. Raises MienError."""
    return [example.call for example in drawn(network, source, count, seed)]


def chained(network: Network, examples: Iterable[Example]) -> Iterator[Example]:
    """Examples in a row, each with the state that the one before it left."""
    state: Call = {}
    for example in examples:
        if example.begins or not state:
            state = {name: network.zeros()[name] for name in network.state}
        whole = replace(example, call=example.call | state)
        yield whole
        if network.state:
            answer = network(whole.call)
            state = {taken: answer[given] for taken, given in network.state.items()}


def calibrated_on(source: Examples, count: int) -> dict[str, Any]:
    """What int8 was calibrated on; ``nc`` of it is told apart from that of the training."""
    return {
        "calibration_calls": count,
        "calibration_people": len(source.people),
        "calibration_nc": source.nc,
        "calibration_licences": source.licences,
    }
