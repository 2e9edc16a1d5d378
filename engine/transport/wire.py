"""Messages as bytes: a msgpack header and raw buffers. Nothing is ever unpickled, nor believed."""

from __future__ import annotations

import dataclasses
import functools
import math
import operator
import threading
import typing
from collections.abc import Callable
from fractions import Fraction
from typing import Any, NamedTuple

import msgpack
import numpy as np
from numpy.typing import NDArray

from engine.types import U8, Between, Message, Shape

ALIGNMENT = 64
HEADER_BYTES_MOST = 2**16
PAYLOAD_BYTES_MOST = 2**31
_ITEMS_MOST = 256  # of a list, a map or a trace in a header
_ANY_LENGTH = range(2**31)
_INT64 = Between(-(2**63), 2**63 - 1)

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


Check = Callable[[Any], bool]


class _Plan:
    """How the fields of a message type travel: arrays as payload, the rest in the header."""

    def __init__(self, message_type: type) -> None:
        hints = typing.get_type_hints(message_type, include_extras=True)
        kinds = {item.name: _split(hints[item.name]) for item in dataclasses.fields(message_type)}
        self.arrays = {
            name: (dtype, shape)
            for name, (hint, shape) in kinds.items()
            if (dtype := _dtype(hint)) is not None
        }
        plain = {name: kind for name, kind in kinds.items() if name not in self.arrays}
        self.plain = tuple(plain)
        self.checks = tuple(_check(hint, bound) for hint, bound in plain.values())
        self.fractions = tuple(name for name, (hint, _) in plain.items() if hint is Fraction)
        self._get = operator.attrgetter(*self.plain)
        self._one = len(self.plain) == 1

    def get_plain(self, message: Message) -> tuple[Any, ...]:
        """The values of ``plain``, in order."""
        return (self._get(message),) if self._one else self._get(message)


def _split(hint: Any) -> tuple[Any, Any]:
    """A type, and what else is said about it (None where nothing is)."""
    if typing.get_origin(hint) is typing.Annotated:
        return typing.get_args(hint)[:2]
    return hint, None


def _dtype(hint: Any) -> np.dtype[Any] | None:
    """Of the elements of an array; None for what is none."""
    origin, of = typing.get_origin(hint), typing.get_args(hint)
    if origin is np.ndarray:
        of = typing.get_args(of[1])
    elif origin is not NDArray:  # NumPy 2.5 made it an alias of its own
        return None
    kind: np.dtype[Any] = np.dtype(of[0])
    return kind


def _check(hint: Any, bound: Between | None) -> Check:
    """Whether a value from the wire is of a field's type, and within its bounds."""
    choices = typing.get_args(hint)
    if typing.get_origin(hint) is typing.Literal:
        return lambda value: type(value) is str and value in choices
    if hint is Fraction:
        return _is_positive_ratio
    if hint is int:
        low, high = (bound or _INT64).low, (bound or _INT64).high
        return lambda value: type(value) is int and low <= value <= high
    if hint is float:
        low, high = (bound.low, bound.high) if bound else (-math.inf, math.inf)
        return lambda value: (
            type(value) in (int, float) and math.isfinite(value) and low <= value <= high
        )
    if hint in (bool, str):
        return lambda value: type(value) is hint
    raise TypeError(f"fields of type {hint} can't travel")


def _is_positive_ratio(value: Any) -> bool:
    return (
        type(value) is tuple
        and len(value) == 2
        and all(type(part) is int and 0 < part <= _INT64.high for part in value)
    )


_is_int64 = _check(int, None)
_is_count = _check(int, Between(0, _INT64.high))


def _is_trace(value: Any) -> bool:
    return type(value) is tuple and all(
        type(hop) is tuple
        and len(hop) == 3
        and type(hop[0]) is str
        and _is_int64(hop[1])
        and _is_int64(hop[2])
        for hop in value
    )


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

    ``layout`` and the values are what somebody sent: nothing is made of them before each is known
    to be of its type and within its bounds. Raises ValueError where one isn't.
    """

    def __init__(self, message_type: type[Message], layout: Any) -> None:
        self.size = 0
        self._type = message_type
        self._plan = plan = _plan(message_type)
        self._ends = layout is None
        self._arrays = []
        places = () if layout is None else layout
        if type(places) is not tuple or len(places) != (0 if self._ends else len(plan.arrays)):
            raise ValueError(f"{message_type.__name__} has {len(plan.arrays)} arrays")
        for (name, (dtype, wanted)), place in zip(plan.arrays.items(), places, strict=False):
            if type(place) is not tuple or len(place) != 3 or place[0] != dtype.str:
                raise ValueError(f"{name} should be {dtype.name}")
            shape, offset = _shape(name, place[1], wanted), place[2]
            if not _is_count(offset) or offset % ALIGNMENT:
                raise ValueError(f"{name} can't start there")
            self.size = max(self.size, offset + math.prod(shape) * dtype.itemsize)
            self._arrays.append((name, shape, dtype, offset))
        if self.size > PAYLOAD_BYTES_MOST:
            raise ValueError("it is too large")

    def fits(self, size: int) -> bool:
        """Whether a payload that travels inline may have so many bytes."""
        return self.size <= size <= self.size + ALIGNMENT

    def unpack(self, values: tuple[Any, ...], payload: Any) -> Envelope:
        """The envelope; arrays are read-only views of ``payload``, a buffer of ``size`` or more."""
        plan = self._plan
        if len(values) != (3 if self._ends else 3 + len(plan.plain)):
            raise ValueError("it has another number of fields")
        seq, trace, origin, *plain = values
        if not (_is_count(seq) and type(origin) is str and _is_trace(trace)):
            raise ValueError("its number, trace or origin can't be")
        if self._ends:
            return Envelope(None, seq, (), origin)
        for name, check, value in zip(plan.plain, plan.checks, plain, strict=True):
            if not check(value):
                raise ValueError(f"{name} can't be that")
        fields = dict(zip(plan.plain, plain, strict=True))
        for name in plan.fractions:
            fields[name] = _fraction(*fields[name])
        for name, shape, dtype, offset in self._arrays:
            fields[name] = array = np.ndarray(shape, dtype, payload, offset)
            array.setflags(write=False)
        return Envelope(self._type(**fields), seq, trace, origin)


def _shape(name: str, shape: Any, wanted: Shape | None) -> tuple[int, ...]:
    axes = wanted.axes if wanted is not None else (_ANY_LENGTH,) * 4
    if (
        type(shape) is not tuple
        or not (len(shape) == len(axes) or (wanted is None and len(shape) < len(axes)))
        or not all(type(n) is int and n in axis for n, axis in zip(shape, axes, strict=False))
    ):
        raise ValueError(f"{name} can't have that shape")
    return shape


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
    return _from_bytes(data, use_list=lists)


def from_header(data: bytes) -> tuple[Any, ...]:
    """A header's items; checked for size before anything is allocated. Raises ValueError."""
    if type(data) is not bytes or len(data) > HEADER_BYTES_MOST:
        raise ValueError("its header is no bytes, or too many")
    items = _from_bytes(
        data, use_list=False, max_array_len=_ITEMS_MOST, max_map_len=_ITEMS_MOST, max_ext_len=0
    )
    if type(items) is not tuple:
        raise ValueError("its header is no list")
    return items


def _from_bytes(data: Any, **options: Any) -> Any:
    try:
        return msgpack.unpackb(data, raw=False, strict_map_key=False, **options)
    except (msgpack.UnpackException, ValueError, TypeError, OverflowError) as error:
        raise ValueError(f"not a message of Mien: {error}") from None
