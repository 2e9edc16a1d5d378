"""Many people at once: a page, WHIP and WHEP, and a separate session for each visitor.

Whoever opens the printed address gets a session with its own address, settings,
presets, people and figures. It ends when its visitor has left. --max-sessions limits how many there
are at once; without it Mien measures how many fit.

Examples:
  run_engine.py serve
  run_engine.py serve --max-sessions 4
  run_engine.py serve --cluster 10.0.0.1:6379 --workers 2-8 --gpus 1 --address 0.0.0.0
  run_engine.py serve --address 0.0.0.0 --cert cert.pem --key key.pem
  run_engine.py serve --set editor.mode=voice         what every session begins with
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import functools
import os
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

from rich.text import Text

from commands import capacity, machines
from commands.graph import add_settings
from commands.live import (
    add_face_arguments,
    add_page_arguments,
    face_settings,
    free_port,
    page_options,
)
from commands.numbers import SECONDS, within
from commands.paths import GRAPHS
from commands.running import console, print_news
from commands.tally import Tally
from commands.weights import add_weights, use_weights
from engine import signals
from engine.graph import load, read
from engine.loops import run_loop
from engine.roles import Roles
from serving.device import device_of
from serving.front import Front
from serving.machine import Machine
from serving.sessions import Event

Opened = Callable[[Event], AbstractAsyncContextManager[Front]]
"""what carries the sessions, by where news of it go"""
PROCESS = "session"
BESIDE = ("face_reader", "voice_reader")
"""roles whose networks no picture waits for"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    many = parser.add_argument_group("sessions")
    many.add_argument(
        "--max-sessions", type=_most, default=None, metavar="N|auto",
        help="how many at once; further visitors wait in a queue. auto (the default) measures at "
        "the start how many keep their frame rate here (with --cluster, in each worker's --cores)",
    )  # fmt: skip
    many.add_argument(
        "--expect", default="640x480@30", metavar="WxH@FPS",
        help="the cameras that auto expects (default 640x480@30)",
    )  # fmt: skip
    many.add_argument(
        "--linger", type=SECONDS, default=5.0, metavar="SECONDS",
        help="how long a session waits for a visitor who has left (default 5)",
    )  # fmt: skip
    many.add_argument(
        "--networks", choices=("shared", "own"), default="shared",
        help="shared: one process per device runs them for all sessions; own: each session runs "
        "its own",
    )  # fmt: skip
    many.add_argument(
        "--device", choices=("auto", "cpu", "gpu"), default="auto",
        help="what runs shared networks (default auto: a GPU if there is one)",
    )  # fmt: skip
    many.add_argument(
        "--admin-token", default=os.environ.get("MIEN_ADMIN_TOKEN", ""),
        help="the token for /admin and /metrics (default: a random one, which is printed). "
        "MIEN_ADMIN_TOKEN hides it from process lists",
    )  # fmt: skip
    machines.add_arguments(parser)
    add_page_arguments(parser.add_argument_group("page"))
    add_face_arguments(parser.add_argument_group("face"))
    add_weights(parser)
    add_settings(parser)
    parser.add_argument("--seconds", type=SECONDS, default=0, help="end after so many seconds")


def _most(text: str) -> int | None:
    return None if text == "auto" else within(int, 1, 1000)(text)


def session_graph(settings: list[str]) -> dict[str, Any]:
    """The live graph as one process. Raises UsageError where a setting doesn't fit."""
    raw = read(GRAPHS / "live.toml")
    roles = Roles(raw)
    for role in BESIDE:
        raw["nodes"][roles[role]]["thread"] = True
    raw["processes"] = {PROCESS: {"nodes": list(raw["nodes"])}}
    return load(raw, settings).raw


def run(options: argparse.Namespace) -> int:
    permits = use_weights(options)
    roles = Roles(read(GRAPHS / "live.toml"))
    graph = session_graph([*face_settings(options, roles), *options.settings])
    console.print(permits, highlight=False, soft_wrap=True)
    with contextlib.ExitStack() as stack:
        if options.cluster is None:
            opened = functools.partial(_on_this_machine, options, graph)
        else:
            opened = functools.partial(
                machines.opened, stack.enter_context(machines.joined(options)), options, graph
            )
        if not run_loop(_run(options, opened)):
            raise KeyboardInterrupt
    return 0


@contextlib.asynccontextmanager
async def _on_this_machine(
    options: argparse.Namespace, graph: dict[str, Any], event: Event
) -> AsyncIterator[Front]:
    if options.port == 0:
        options.port = free_port(options.address)
    machine = Machine(
        graph,
        event,
        most=options.max_sessions or 1,
        linger_s=options.linger,
        networks=options.networks,
        device=device_of(options.device),
        admin_token=options.admin_token,
    )
    try:
        machine.sessions.first = machines.first_files(options)
        await machine.start()
        if options.max_sessions is None:
            machine.places.most, told = await capacity.fits(machine, options.expect)
            console.print(told, highlight=False)
        else:
            await machine.warm()
        await machine.open(page_options(options), watched=options.max_sessions is None)
        yield machine.front
    finally:
        await machine.stop()


async def _run(options: argparse.Namespace, opened: Opened) -> bool:
    """Whether it ran, rather than being interrupted while it started."""
    news = Tally(print_news)
    over = asyncio.Event()
    main = asyncio.current_task()
    assert main is not None
    started = False
    with signals.told(lambda: over.set() if started else main.cancel()):
        try:
            async with opened(news.add) as front:
                started = True
                most = f"   ({front.places.most} sessions at most; Ctrl-C ends it)"
                console.print(Text.assemble("Mien is running: ", (front.binding.url, "bold"), most))
                console.print(f"sessions and load: {front.admin_url}", highlight=False)
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(over.wait(), options.seconds or None)
                over.set()
        except asyncio.CancelledError:
            return False
        finally:
            news.end()
    return True
