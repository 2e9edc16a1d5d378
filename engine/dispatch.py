"""Who answers what a graph is asked: one table of handlers, for every way in."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeVar

import msgspec

from engine.errors import UsageError
from engine.operations import Answer, Operation, op_of

UNKNOWN: Final = "unknown operation {op}"
Kind = TypeVar("Kind", bound=Operation[Any])


class Dispatcher:
    """Who answers which operation; ``refusal`` is said of those that nobody here does."""

    def __init__(self, refusal: str = UNKNOWN) -> None:
        self._refusal = refusal
        self._kinds: dict[str, type[Operation[Any]]] = {}
        self._handlers: dict[type[Operation[Any]], Callable[..., Any]] = {}
        self._know_sender: set[type[Operation[Any]]] = set()

    @property
    def kinds(self) -> list[type[Operation[Any]]]:
        """What is answered here."""
        return list(self._handlers)

    def on(self, kind: type[Kind], handler: Callable[[Kind], Any]) -> None:
        """Let ``handler`` answer this kind, at once or as a coroutine."""
        self._kinds[op_of(kind)] = kind
        self._handlers[kind] = handler

    def on_from(self, kind: type[Kind], handler: Callable[[Kind, bytes | None], Any]) -> None:
        """The same, for who has to know which connection it came by."""
        self.on(kind, handler)  # type: ignore[arg-type]  # it is called with both
        self._know_sender.add(kind)

    def read(self, op: Any, fields: Mapping[str, Any]) -> Operation[Any]:
        """An operation as it came over a wire, checked. Raises UsageError."""
        kind = self._kinds.get(op) if isinstance(op, str) else None
        if kind is None:
            raise self._refused(op)
        try:
            operation: Operation[Any] = msgspec.convert({**fields, "op": op}, kind)
        except msgspec.ValidationError as error:
            takes = ", ".join(kind.__struct_fields__) or "nothing more"
            raise UsageError(f"wrong arguments for '{op}': it takes {takes} ({error})") from None
        return operation

    async def call(self, operation: Operation[Answer], sender: bytes | None = None) -> Answer:
        """The answer. Raises MienError where it is refused."""
        kind = type(operation)
        handler = self._handlers.get(kind)
        if handler is None:
            raise self._refused(op_of(kind))
        known = (operation, sender) if kind in self._know_sender else (operation,)
        result = handler(*known)
        return await result if inspect.isawaitable(result) else result  # type: ignore[no-any-return]  # the handler's

    def _refused(self, op: Any) -> UsageError:
        named = f"'{op[:40]}'" if isinstance(op, str) else "what has no name"
        return UsageError(self._refusal.format(op=named))
