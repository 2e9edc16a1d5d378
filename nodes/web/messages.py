"""What pages say and are told, as JSON: checked requests, answers that browsers can read."""

from __future__ import annotations

import json
import math
from typing import Any

from engine.dispatch import Dispatcher
from engine.errors import UsageError
from engine.operations import Operation

MESSAGE_MOST = 64 * 1024
DEPTH_MOST = 6  # of an argument: a list of presets holds values by node and parameter


class BadRequestError(Exception):
    """A message that is no request; ``str`` is one line, ``number`` its id where it has one."""

    def __init__(self, text: str, number: int | str | None = None) -> None:
        super().__init__(text)
        self.number = number


def parse_request(text: str, dispatcher: Dispatcher) -> tuple[int | str, Operation[Any]]:
    """Id and operation of a page's message. Raises BadRequestError.

    What it holds are texts, true, false, null, and numbers that 64 bits hold.
    """
    try:
        request = json.loads(text)
        number, op = request.pop("id"), request.pop("op")
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        raise BadRequestError('send {"id": number, "op": name, ...}') from None
    if not isinstance(number, int | str) or not _is_plain(number):
        raise BadRequestError("an id is a number or a text")
    for name, value in request.items():
        if not (_is_plain(name) and _is_plain(value)):
            raise BadRequestError(f"{name} holds what is no text, number, true or false", number)
    try:
        return number, dispatcher.read(op, request)
    except UsageError as error:
        raise BadRequestError(str(error), number) from None


def _is_plain(value: Any, depth: int = 0) -> bool:
    if depth > DEPTH_MOST:
        return False
    if isinstance(value, dict):
        return all(_is_plain(part, depth + 1) for item in value.items() for part in item)
    if isinstance(value, list):
        return all(_is_plain(item, depth + 1) for item in value)
    if isinstance(value, str):
        return len(value) <= MESSAGE_MOST and not any("\ud800" <= c <= "\udfff" for c in value)
    if isinstance(value, int):
        return -(1 << 63) <= value < 1 << 63
    return value is None or (isinstance(value, float) and math.isfinite(value))


def to_json(value: Any) -> str:
    """JSON that every browser reads: numbers that it has no word for become null."""
    try:
        return json.dumps(value, default=str, allow_nan=False)
    except ValueError:
        return json.dumps(_finite(value), default=str, allow_nan=False)


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
