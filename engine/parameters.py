"""Node parameters: declared in a Config dataclass, described for the page, validated by type."""

from __future__ import annotations

import dataclasses
import difflib
import math
import types
import typing
from typing import Any, Literal

from engine.errors import UsageError


def parameter(
    default: Any,
    doc: str = "",
    *,
    low: float | None = None,
    high: float | None = None,
    unit: str = "",
    live: bool = True,
    kept: bool = True,
) -> Any:
    """A Config field with its meaning and limits.

    ``low`` and ``high`` bound a number (inclusive); ``live`` False: fixed once the node runs;
    ``kept`` False: of the moment, so the next run starts without it.
    """
    return dataclasses.field(
        default=default,
        metadata={"doc": doc, "low": low, "high": high, "unit": unit, "live": live, "kept": kept},
    )


def describe(config_type: type) -> list[dict[str, Any]]:
    """What a Config holds, a dictionary per field: name, type, default, choices, low, high, doc."""
    hints = typing.get_type_hints(config_type)
    rows = []
    for item in dataclasses.fields(config_type):
        hint = hints[item.name]
        required = (
            item.default is dataclasses.MISSING and item.default_factory is dataclasses.MISSING
        )
        rows.append(
            {
                "name": item.name,
                "type": _type_name(hint),
                "choices": list(typing.get_args(hint)) if _is_literal(hint) else None,
                "required": required,
                "default": None if item.default is dataclasses.MISSING else item.default,
                "doc": item.metadata.get("doc", ""),
                "low": item.metadata.get("low"),
                "high": item.metadata.get("high"),
                "unit": item.metadata.get("unit", ""),
                "live": item.metadata.get("live", True),
                "kept": item.metadata.get("kept", True),
            }
        )
    return rows


def build(config_type: type, values: dict[str, Any], where: str = "") -> Any:
    """A validated Config. ``values`` may be strings (command line) or typed (TOML, JSON).

    Raises UsageError that names the parameter, what is wrong with it and what was meant.
    """
    hints = typing.get_type_hints(config_type)
    fields = {item.name: item for item in dataclasses.fields(config_type)}
    clean = {}
    for name, value in values.items():
        if name not in fields:
            raise UsageError(f"unknown parameter '{where}{name}'{_meant(name, fields)}")
        clean[name] = coerce(value, hints[name], fields[name].metadata, f"{where}{name}")
    missing = [
        name
        for name, item in fields.items()
        if name not in clean
        and item.default is dataclasses.MISSING
        and item.default_factory is dataclasses.MISSING
    ]
    if missing:
        raise UsageError(f"{where}parameter '{missing[0]}' is missing; it has no default")
    return config_type(**clean)


def change(config: Any, name: str, value: Any, where: str = "", *, running: bool = True) -> Any:
    """The same Config with one validated change. Raises UsageError."""
    fields = {item.name: item for item in dataclasses.fields(config)}
    if name not in fields:
        raise UsageError(f"unknown parameter '{where}{name}'{_meant(name, fields)}")
    metadata = fields[name].metadata
    if running and not metadata.get("live", True):
        raise UsageError(f"{where}{name} is fixed while the graph runs; set it at the start")
    hint = typing.get_type_hints(type(config))[name]
    return dataclasses.replace(config, **{name: coerce(value, hint, metadata, f"{where}{name}")})


def coerce(value: Any, hint: Any, metadata: typing.Mapping[str, Any], name: str) -> Any:
    """``value`` as the type ``hint``, within the bounds of ``metadata``. Raises UsageError."""
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        options = typing.get_args(hint)
        if type(None) in options and (value is None or value in ("none", "")):
            return None
        hint = next(option for option in options if option is not type(None))
    if _is_literal(hint):
        choices = typing.get_args(hint)
        if value not in choices:
            listed = ", ".join(str(choice) for choice in choices)
            raise UsageError(f"{name}: {value!r} is not one of {listed}{_meant(value, choices)}")
        return value
    if hint is bool:
        if isinstance(value, bool):
            return value
        text = str(value).lower()
        if text in ("true", "yes", "on", "1"):
            return True
        if text in ("false", "no", "off", "0"):
            return False
        raise UsageError(f"{name}: expected true or false, got {value!r}")
    if hint in (int, float):
        if isinstance(value, bool):
            raise UsageError(f"{name}: expected a number, got {value!r}")
        try:
            number = hint(value)
        except (TypeError, ValueError, OverflowError):
            raise UsageError(f"{name}: expected a number, got {value!r}") from None
        if hint is int and isinstance(value, float) and value != number:
            raise UsageError(f"{name}: expected a whole number, got {value!r}")
        low, high = metadata.get("low"), metadata.get("high")
        if (
            not abs(number) < (2**63 if hint is int else math.inf)
            or (low is not None and number < low)
            or (high is not None and number > high)
        ):
            span = f"{'-inf' if low is None else low} to {'inf' if high is None else high}"
            raise UsageError(f"{name}: {value!r} is out of range, {span}")
        return number
    if hint is str:
        if not isinstance(value, str):
            raise UsageError(f"{name}: expected text, got {value!r}")
        return value
    raise UsageError(f"{name}: parameters of type {_type_name(hint)} are not supported")


def _is_literal(hint: Any) -> bool:
    return typing.get_origin(hint) is Literal


def _type_name(hint: Any) -> str:
    return "choice" if _is_literal(hint) else getattr(hint, "__name__", str(hint))


def _meant(name: Any, known: typing.Iterable[Any]) -> str:
    close = difflib.get_close_matches(str(name), [str(item) for item in known], n=1)
    return f"; did you mean '{close[0]}'?" if close else ""
