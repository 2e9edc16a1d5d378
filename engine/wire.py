"""Messages as bytes: a msgpack header and raw buffers. Nothing is ever unpickled."""

from __future__ import annotations

import dataclasses
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


_plans: dict[type, tuple[tuple[str, str], ...]] = {}


def _plan(message_type: type) -> tuple[tuple[str, str], ...]:
    """(field name, kind) of a message type; kind is "array", "fraction", "tuple" or "plain"."""
    if message_type in _plans:
        return _plans[message_type]
    hints = typing.get_type_hints(message_type)
    plan = []
    for item in dataclasses.fields(message_type):
        hint = hints[item.name]
        origin = typing.get_origin(hint)
        if origin is np.ndarray:
            kind = "array"
        elif hint is Fraction:
            kind = "fraction"
        elif origin is tuple:
            kind = "tuple"
        else:
            kind = "plain"
        plan.append((item.name, kind))
    _plans[message_type] = tuple(plan)
    return _plans[message_type]


def pack(envelope: Envelope) -> tuple[dict[str, Any], list[np.ndarray], int]:
    """An envelope as (header, arrays, payload bytes); the header says where each array lies."""
    header: dict[str, Any] = {"s": envelope.seq, "x": envelope.trace, "o": envelope.origin}
    message = envelope.message
    if message is None:
        return header, [], 0
    plain: dict[str, Any] = {}
    layout = []
    arrays = []
    offset = 0
    for name, kind in _plan(type(message)):
        value = getattr(message, name)
        if kind == "array":
            array = np.ascontiguousarray(value)
            layout.append((name, array.dtype.str, array.shape, offset))
            arrays.append(array)
            offset += -(-array.nbytes // ALIGNMENT) * ALIGNMENT
        elif kind == "fraction":
            plain[name] = (value.numerator, value.denominator)
        else:
            plain[name] = value
    header["f"] = plain
    header["a"] = layout
    header["n"] = offset
    return header, arrays, offset


def write_payload(arrays: list[np.ndarray], header: dict[str, Any], into: np.ndarray) -> None:
    """Copy the arrays to where the header says, into uint8 [N]."""
    for array, (_, _, _, offset) in zip(arrays, header["a"], strict=True):
        into[offset : offset + array.nbytes] = array.reshape(-1).view(np.uint8)


def unpack(header: dict[str, Any], payload: Any, message_type: type[Message]) -> Envelope:
    """The envelope again; arrays are read-only views of ``payload`` (a buffer).

    Raises ValueError where the header doesn't fit the type or the payload.
    """
    trace = tuple((str(node), int(in_ns), int(out_ns)) for node, in_ns, out_ns in header["x"])
    if "f" not in header:
        return Envelope(None, header["s"], trace, header["o"])
    fields: dict[str, Any] = {}
    plain = header["f"]
    places = {name: (dtype, shape, offset) for name, dtype, shape, offset in header["a"]}
    size = memoryview(payload).nbytes
    for name, kind in _plan(message_type):
        if kind == "array":
            dtype_name, shape, offset = places[name]
            dtype = _DTYPES.get(dtype_name)
            if dtype is None:
                raise ValueError(f"{name}: dtype {dtype_name!r} is not allowed")
            end = offset + math.prod(shape) * dtype.itemsize
            if min(shape, default=1) < 0 or offset < 0 or end > size:
                raise ValueError(f"{name}: shape {shape} doesn't fit a payload of {size} bytes")
            array: np.ndarray = np.ndarray(shape, dtype, payload, offset)
            array.flags.writeable = False
            fields[name] = array
        elif kind == "fraction":
            fields[name] = Fraction(*plain[name])
        elif kind == "tuple":
            fields[name] = tuple(plain[name])
        else:
            fields[name] = plain[name]
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
