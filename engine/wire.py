"""Messages as bytes: a msgpack header and raw buffers. Nothing is ever unpickled."""

from __future__ import annotations

import dataclasses
import functools
import math
import operator
import threading
import typing
from fractions import Fraction
from typing import Any, NamedTuple

import msgpack
import numpy as np

from engine.types import U8, Message

ALIGNMENT = 64
_DTYPES = {
    name: np.dtype(name)
    for name in ("|u1", "|i1", "|b1", "<i2", "<u2", "<i4", "<u4", "<i8", "<f2", "<f4", "<f8")
}

Hop = tuple[str, int, int]


class Envelope(NamedTuple):
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
        self._get = operator.attrgetter(*self.plain)
        self._one = len(self.plain) == 1

    def get_plain(self, message: Message) -> tuple[Any, ...]:
        """The values of ``plain``, in order."""
        return (self._get(message),) if self._one else self._get(message)


_plans: dict[type, _Plan] = {}


def _plan(message_type: type) -> _Plan:
    plan = _plans.get(message_type)
    if plan is None:
        plan = _plans[message_type] = _Plan(message_type)
    return plan


_fraction = functools.lru_cache(maxsize=256)(Fraction)


Layout = tuple[tuple[str, tuple[int, ...], int], ...]


class Packed(NamedTuple):
    """An envelope taken apart: plain ``values``, and ``arrays`` that go where ``layout`` says.

    ``layout`` holds (dtype, shape, offset) per array, None at the end of the stream; ``size`` is
    that of the payload in bytes.
    """

    values: tuple[Any, ...]
    layout: Layout | None = None
    arrays: tuple[np.ndarray, ...] = ()
    size: int = 0

    def write(self, into: U8) -> None:
        """Copy the arrays to their places, into uint8 [N]."""
        for array, (_, _, offset) in zip(self.arrays, self.layout or (), strict=True):
            into[offset : offset + array.nbytes] = array.reshape(-1).view(np.uint8)

    def payload(self) -> U8:
        """The arrays in memory of their own, uint8 [size]."""
        payload = np.empty(self.size, np.uint8)
        self.write(payload)
        return payload


def pack(envelope: Envelope, host: str = "") -> Packed:
    """Take an envelope apart; ``host`` is the origin of what was captured here."""
    message = envelope.message
    start = (envelope.seq, envelope.trace, envelope.origin or host)
    if message is None:
        return Packed(start)
    plan = _plan(type(message))
    layout = []
    arrays = []
    offset = 0
    for name in plan.arrays:
        array = getattr(message, name)
        if not array.flags.c_contiguous:
            array = np.ascontiguousarray(array)
        layout.append((array.dtype.str, array.shape, offset))
        arrays.append(array)
        offset += -(-array.nbytes // ALIGNMENT) * ALIGNMENT
    plain = [
        value.as_integer_ratio() if type(value) is Fraction else value
        for value in plan.get_plain(message)
    ]
    return Packed((*start, *plain), tuple(layout), tuple(arrays), offset)


class Form:
    """How messages of one type and layout are put together again; checked once, used for each.

    Raises ValueError where the layout doesn't fit the type.
    """

    def __init__(self, message_type: type[Message], layout: Layout | None) -> None:
        self.size = 0
        self._type = message_type
        self._plan = _plan(message_type)
        self._ends = layout is None
        self._arrays = []
        for name, (dtype_name, shape, offset) in zip(
            () if layout is None else self._plan.arrays, layout or (), strict=True
        ):
            dtype = _DTYPES.get(dtype_name)
            if dtype is None:
                raise ValueError(f"{name}: dtype {dtype_name!r} is not allowed")
            end = offset + math.prod(shape) * dtype.itemsize
            if min(shape, default=1) < 0 or offset < 0:
                raise ValueError(f"{name}: shape {shape} at {offset} can't be")
            self.size = max(self.size, end)
            self._arrays.append((name, shape, dtype, offset))

    def unpack(self, values: tuple[Any, ...], payload: Any) -> Envelope:
        """The envelope; arrays are read-only views of ``payload``, a buffer of ``size`` or more.

        Raises ValueError where the values don't fit the type.
        """
        seq, trace, origin, *plain = values
        if self._ends:
            return Envelope(None, seq, (), origin)
        fields = dict(zip(self._plan.plain, plain, strict=True))
        for name in self._plan.fractions:
            fields[name] = _fraction(*fields[name])
        for name, shape, dtype, offset in self._arrays:
            fields[name] = array = np.ndarray(shape, dtype, payload, offset)
            array.setflags(write=False)
        return Envelope(self._type(**fields), seq, trace, origin)


class _Packers(threading.local):
    """A packer per thread: a new one for each message would map and unmap its buffer."""

    def __init__(self) -> None:
        self.pack = msgpack.Packer(use_bin_type=True).pack


_packers = _Packers()


def to_bytes(value: Any) -> bytes:
    """msgpack of plain data."""
    return typing.cast(bytes, _packers.pack(value))


def from_bytes(data: Any, *, lists: bool = True) -> Any:
    """Plain data of msgpack, arrays as lists or tuples. Raises ValueError on anything else."""
    try:
        return msgpack.unpackb(data, raw=False, strict_map_key=False, use_list=lists)
    except (msgpack.UnpackException, ValueError) as error:
        raise ValueError(f"not a message of Mien: {error}") from None
