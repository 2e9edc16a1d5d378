"""Errors that a user can cause: one line that says what is wrong and how to fix it."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class MienError(Exception):
    """Something failed that the user can fix; ``str(error)`` is one line. Exit code 1."""

    exit_code = 1


class UsageError(MienError):
    """The command line, a graph or a parameter is wrong. Exit code 2."""

    exit_code = 2


class EndOfStream(Exception):  # noqa: N818 - a signal, like StopIteration
    """Raised by ``Source.read`` when nothing more will ever come."""


def words(error: BaseException) -> str:
    """An error in one line that can be printed."""
    text = " ".join(str(error).split()) or type(error).__name__
    text = "".join(sign if sign.isprintable() else "?" for sign in text)
    return text if isinstance(error, MienError) else f"{type(error).__name__}: {text}"


def suggestion(name: object, known: Iterable[str]) -> str:
    """ "; did you mean 'x'?", or a list of what there is."""
    names = sorted(known)
    close = difflib.get_close_matches(str(name), names, n=1)
    if close:
        return f"; did you mean '{close[0]}'?"
    return f"; there is {', '.join(names)}" if names else ""
