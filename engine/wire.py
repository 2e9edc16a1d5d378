"""Messages as bytes: a msgpack header and raw buffers. Nothing is ever unpickled."""

from __future__ import annotations

import dataclasses
import functools
import math
import typing
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import msgpack
import numpy as np

from engine.types import Message

ALIGNMENT = 64
_DTYPES = {
    name: np.dtype(name)
    for name in ("|u1", "|i1", "|b1", "<i2", "<u2", "<i4", "<u4", "<i8", "<f2", "<f4", "<f8")
}

Hop = tuple[str, int, int]


@dataclass(frozen=True, slots=True)
class Envelope:
    """A message on its way. ``message`` None marks the end of the stream.

    ``seq`` counts what left the port. ``trace`` holds (node, in_ns, out_ns) per hop, in the clock
    of ``origin``, the host where the message was captured ("" is this one).
    """

    message: Message | None
    seq: int
    trace: tuple[Hop, ...] = ()
    origin: str = ""


class _Plan:
    """How the fields of a message type travel: arrays as payload, the rest in the header."""

    def __init__(self, message_type: type) -> None:
        hints = typing.get_type_hints(message_type)
        names = [item.name for item in dataclasses.fields(message_type)]
        self.arrays = tuple(name for name in names if typing.get_origin(hints[name]) is np.ndarray)
        self.plain = tuple(name for name in names if name not in self.arrays)
        self.fractions = tuple(name for name in self.plain if hints[name] is Fraction)
        self.tuples = tuple(name for name in self.plain if typing.get_origin(hints[name]) is tuple)


_plans: dict[type, _Plan] = {}


def _plan(message_type: type) -> _Plan:
    plan = _plans.get(message_type)
    if plan is None:
        plan = _plans[message_type] = _Plan(message_type)
    return plan


_fraction = functools.lru_cache(maxsize=256)(Fraction)


def pack(envelope: Envelope) -> tuple[dict[str, Any], list[np.ndarray], int]:
    """An envelope as (header, arrays, payload bytes); the header says where each array lies."""
    header: dict[str, Any] = {"s": envelope.seq, "x": envelope.trace, "o": envelope.origin}
    message = envelope.message
    if message is None:
        return header, [], 0
    plan = _plan(type(message))
    layout = []
    arrays = []
    offset = 0
    for name in plan.arrays:
        array = np.ascontiguousarray(getattr(message, name))
        layout.append((array.dtype.str, array.shape, offset))
        arrays.append(array)
        offset += -(-array.nbytes // ALIGNMENT) * ALIGNMENT
    plain = {name: getattr(message, name) for name in plan.plain}
    for name in plan.fractions:
        plain[name] = (plain[name].numerator, plain[name].denominator)
    header["f"] = plain
    header["a"] = layout
    return header, arrays, offset


def write_payload(arrays: list[np.ndarray], header: dict[str, Any], into: np.ndarray) -> None:
    """Copy the arrays to where the header says, into uint8 [N]."""
    for array, (_, _, offset) in zip(arrays, header["a"], strict=True):
        into[offset : offset + array.nbytes] = array.reshape(-1).view(np.uint8)


def unpack(header: dict[str, Any], payload: Any, message_type: type[Message]) -> Envelope:
    """The envelope again; arrays are read-only views of ``payload`` (a buffer).

    Raises ValueError where the header doesn't fit the type or the payload.
    """
    trace = tuple((str(node), int(in_ns), int(out_ns)) for node, in_ns, out_ns in header["x"])
    if "f" not in header:
        return Envelope(None, header["s"], trace, header["o"])
    plan = _plan(message_type)
    plain = header["f"]
    fields = {name: plain[name] for name in plan.plain}
    for name in plan.fractions:
        fields[name] = _fraction(*plain[name])
    for name in plan.tuples:
        fields[name] = tuple(plain[name])
    size = memoryview(payload).nbytes
    for name, (dtype_name, shape, offset) in zip(plan.arrays, header["a"], strict=True):
        dtype = _DTYPES.get(dtype_name)
        if dtype is None:
            raise ValueError(f"{name}: dtype {dtype_name!r} is not allowed")
        end = offset + math.prod(shape) * dtype.itemsize
        if min(shape, default=1) < 0 or offset < 0 or end > size:
            raise ValueError(f"{name}: shape {shape} doesn't fit a payload of {size} bytes")
        array: np.ndarray = np.ndarray(shape, dtype, payload, offset)
        array.flags.writeable = False
        fields[name] = array
    return Envelope(message_type(**fields), header["s"], trace, header["o"])


def to_bytes(value: Any) -> bytes:
    """msgpack of plain data."""
    return typing.cast(bytes, msgpack.packb(value, use_bin_type=True))


def from_bytes(data: Any) -> Any:
    """Plain data of msgpack. Raises ValueError on anything else."""
    try:
        return msgpack.unpackb(data, raw=False, strict_map_key=False)
    except (msgpack.UnpackException, ValueError) as error:
        raise ValueError(f"not a message of Mien: {error}") from None
