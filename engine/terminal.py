"""How programs tell: whatever terminal, file, pipe or nothing is behind their streams."""

from __future__ import annotations

import io
import os
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console

_WIDE = 10_000


def prepare() -> None:
    """Let no telling fail the work.

    A sign that an encoding lacks (a tick, a byte of a name that isn't UTF-8) is written as its
    number. A reader that has gone away is told nothing more. Streams that are closed are opened on
    nothing, lest the first file that is opened take their place.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    sys.stdout = _patient(sys.stdout, 1, BrokenPipeError)
    sys.stderr = _patient(sys.stderr, 2, OSError)  # nobody is left to tell of it


def say_any_sign() -> None:
    """Write a sign that an encoding lacks as its number, in the streams as they are."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def console(*, stderr: bool = False) -> Console:
    """A console that takes what it is given as it is: names hold brackets, too.

    Where nobody looks at it, lines are as long as what they hold.
    """
    from rich.console import Console

    stream = sys.stderr if stderr else sys.stdout
    seen = (stream is not None and stream.isatty()) or "COLUMNS" in os.environ
    return Console(
        stderr=stderr, markup=False, emoji=False, highlight=False, soft_wrap=True,
        width=None if seen else _WIDE,
    )  # fmt: skip


def sayable(text: str) -> bool:
    """Whether standard output has these signs."""
    try:
        text.encode(getattr(sys.stdout, "encoding", None) or "ascii")
    except UnicodeEncodeError:
        return False
    return True


class _Patient(io.TextIOWrapper):
    """A stream that goes on as if nothing were wrong after an error of kind ``forgiven``."""

    forgiven: type[OSError]

    def write(self, text: str) -> int:
        try:
            return super().write(text)
        except OSError as error:
            self._forgive(error)
            return len(text)

    def flush(self) -> None:
        try:
            super().flush()
        except OSError as error:
            self._forgive(error)

    def _forgive(self, error: OSError) -> None:
        if not isinstance(error, self.forgiven):
            raise error
        nothing = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nothing, self.fileno())
        os.close(nothing)


def _patient(stream: Any, number: int, forgiven: type[OSError]) -> _Patient:
    if stream is None:
        stream = open(number, "w", closefd=False)  # noqa: SIM115 - as long as the program
    patient = _Patient(
        stream.buffer,
        encoding=stream.encoding,
        errors="backslashreplace",
        line_buffering=stream.line_buffering,
        write_through=stream.write_through,
    )
    patient.forgiven = forgiven
    stream.detach()
    return patient
