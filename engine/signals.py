"""Ctrl-C, SIGTERM and a closed terminal (SIGHUP) end a program in one way, whenever they come."""

from __future__ import annotations

import atexit
import contextlib
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any, Final, NoReturn

INTERRUPTED: Final = 130
"""exit code"""
_came: list[int] = []
"""those that were raised as KeyboardInterrupt; C that calls Python may have lost it"""
_NAMES: Final = ("SIGINT", "SIGTERM", "SIGHUP")


def end_at_once(name: str) -> None:
    """While a program loads, and once it is done: one line and code 130.

    There is nothing to clean up then, and an exception in the middle of an import can come out of
    it as another one.
    """

    def end(number: int, frame: FrameType | None) -> NoReturn:
        os.write(2, f"{name}: interrupted\n".encode())
        os._exit(INTERRUPTED)

    for number in _heard():
        signal.signal(number, end)
        # Python gives signals back to the system before it is gone, which would be another code.
        atexit.register(signal.signal, number, signal.SIG_IGN)
    sys.excepthook = _quiet(sys.excepthook, lambda told: told[0])
    sys.unraisablehook = _quiet(sys.unraisablehook, lambda told: told[0].exc_type)


@contextlib.contextmanager
def as_interrupt() -> Iterator[None]:
    """Each raises KeyboardInterrupt in the main thread, so that the block cleans up.

    What the block then fails with is a KeyboardInterrupt, too.
    """

    def interrupt(number: int, frame: FrameType | None) -> NoReturn:
        _came.append(number)
        raise KeyboardInterrupt

    before = {number: signal.signal(number, interrupt) for number in _heard()}
    try:
        yield
    except Exception:
        if _came:
            raise KeyboardInterrupt from None
        raise
    finally:
        _came.clear()
        _give_back(before)


@contextlib.contextmanager
def told(callback: Callable[[], object]) -> Iterator[None]:
    """While the block runs, the event loop calls ``callback`` instead; at once if one came before
    and was lost."""
    import asyncio  # not above: what is imported before `end_at_once` can still be torn apart

    loop = asyncio.get_running_loop()
    before = {number: signal.getsignal(number) for number in _heard()}
    for number in list(before):
        try:
            loop.add_signal_handler(number, callback)
        except NotImplementedError:  # Windows: Ctrl-C raises KeyboardInterrupt
            del before[number]
    if _came:
        callback()
    try:
        yield
    finally:
        for number in before:
            loop.remove_signal_handler(number)
        _give_back(before)


@contextlib.contextmanager
def held() -> Iterator[list[int]]:
    """One that comes while the block runs is heard after it; those that came so far.

    Not by a mask: that is one thread's, and another thread would take it.
    """
    came: list[int] = []
    before = {
        number: signal.signal(number, lambda number, frame: came.append(number))
        for number in _heard()
    }
    try:
        yield came
    finally:
        _give_back(before)
        for number in came:
            signal.raise_signal(number)


def _heard() -> list[signal.Signals]:
    """Those that there are here; under nohup a terminal may close. Only the main thread has any."""
    if threading.current_thread() is not threading.main_thread():
        return []
    there = [signal.Signals[name] for name in _NAMES if hasattr(signal, name)]
    return [
        number
        for number in there
        if number.name != "SIGHUP" or signal.getsignal(number) is not signal.SIG_IGN
    ]


def _quiet(hook: Callable[..., Any], kind_of: Callable[[Any], Any]) -> Callable[..., Any]:
    """A hook for exceptions that nobody handles, silent where it is an interrupt."""

    def quiet(*told: Any) -> None:
        if kind_of(told) is not KeyboardInterrupt:
            hook(*told)

    return quiet


def _give_back(before: dict[signal.Signals, Any]) -> None:
    for number, handler in before.items():
        if handler is not None:  # not one of Python's
            signal.signal(number, handler)
