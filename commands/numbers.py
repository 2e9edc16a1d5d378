"""Numbers on the command line: what they may be, refused in words where they aren't."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import TypeVar

Number = TypeVar("Number", int, float)


def within(kind: type[Number], low: Number, high: Number) -> Callable[[str], Number]:
    """A type for argparse: a number of this kind from ``low`` to ``high``."""

    def read(text: str) -> Number:
        try:
            value = kind(text)
        except ValueError:
            value = None
        if value is None or not low <= value <= high:  # nan is within nothing
            what = "a whole number" if kind is int else "a number"
            raise argparse.ArgumentTypeError(
                f"{text!r} is not {what} from {low:.12g} to {high:.12g}"
            )
        return value

    return read


SECONDS = within(float, 0.0, 1e6)
"""how long something runs"""
PORT = within(int, 0, 65_535)
INTENSITY = within(float, 0.0, 1.0)
THREADS = within(int, 1, 256)
