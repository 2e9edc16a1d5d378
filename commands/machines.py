"""--cluster of `serve`: sessions on the machines of a Ray cluster."""

from __future__ import annotations

import argparse
import contextlib
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final

from cluster import joining
from cluster.front import ClusterFront, FarPlaces
from cluster.references import packed
from cluster.session_files import PEOPLE, ContentStore, digest_of
from cluster.sessions import FarSessions
from cluster.workers import Plan, Workers
from commands import capacity
from commands.live import page_options
from commands.numbers import within
from engine.errors import MienError
from engine.folders import RunFolder
from face.render.person_file import place_of
from nodes.web.security import is_loopback
from serving.front import Front
from serving.sessions import Event

_RANGE: Final = re.compile(r"([1-9]\d{0,3})(?:-([1-9]\d{0,3}))?")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """--cluster and what goes with it."""
    group = parser.add_argument_group("several machines")
    group.add_argument("--cluster", metavar="auto|ADDRESS", help=joining.HELP)
    group.add_argument(
        "--workers", type=_workers, default=None, metavar="N|N-M",
        help="how many workers, each with --max-sessions; with N-M, as many as visitors "
        "need (default: one per machine)",
    )  # fmt: skip
    group.add_argument(
        "--spare", type=within(int, 0, 1000), default=1, metavar="N",
        help="places to keep free: with fewer, another worker is started (default 1)",
    )  # fmt: skip
    group.add_argument(
        "--cores", type=within(float, 0.1, 1024), default=1, metavar="N",
        help="processor cores for a worker (default 1)",
    )  # fmt: skip
    group.add_argument(
        "--gpus", type=within(float, 0, 64), default=0, metavar="SHARE",
        help="GPUs, or the share of one, for a worker (default 0)",
    )  # fmt: skip
    group.add_argument(
        "--worker-cert", default="", metavar="FILE",
        help="TLS certificate (PEM) on every machine for workers' addresses: visitors are then "
        "sent to the workers themselves",
    )  # fmt: skip
    group.add_argument("--worker-key", default="", metavar="FILE", help="its key (PEM)")


def joined(options: argparse.Namespace) -> contextlib.AbstractContextManager[Any]:
    """The cluster. Raises MienError."""
    if bool(options.worker_cert) != bool(options.worker_key):
        raise MienError("TLS of workers needs both files: --worker-cert and --worker-key")
    return joining.joined(options.cluster)


@contextlib.asynccontextmanager
async def opened(
    ray: Any, options: argparse.Namespace, graph: dict[str, Any], event: Event
) -> AsyncIterator[Front]:
    """The front, with workers ready. Raises MienError."""
    capacity.camera(options.expect)  # says now what is wrong with it
    folder = RunFolder()
    kept = ContentStore(folder.path)
    alive = sum(node["Alive"] and node["Resources"].get("CPU", 0) > 0 for node in ray.nodes())
    least, most = options.workers or (max(1, alive), max(1, alive))
    plan = Plan(least=least, most=most, spare=options.spare, cores=options.cores, gpus=options.gpus)
    task = {
        "graph": graph, "most": options.max_sessions, "linger_s": options.linger,
        "expect": options.expect, "cores": options.cores, "measure": capacity.__name__,
        "networks": options.networks, "device": options.device,
        "cert": options.worker_cert, "key": options.worker_key,
    }  # fmt: skip
    try:
        first = {}
        for path, data in first_files(options).items():
            kept.hold(digest_of(data))
            first[path] = kept.put(data)
        given = {"first": first, "references": packed(graph, kept)}
        workers = Workers(ray, task | given, plan, kept, event)
        sessions = FarSessions(workers, kept, event, first)
        redirects = bool(options.worker_cert) or is_loopback(workers.address)
        try:
            await workers.start()
            front = ClusterFront(
                sessions, FarPlaces(sessions, workers), options.admin_token, redirects=redirects
            )
            try:
                await front.start(page_options(options))
                yield front
            finally:
                await front.stop()
        finally:
            await sessions.stop()
            await workers.stop()
    finally:
        folder.release()


def first_files(options: argparse.Namespace) -> dict[str, bytes]:
    """What every session begins with, by its path in the session's folder: the person of
    --person. Raises MienError."""
    if options.person is None:
        return {}
    place: Path = place_of(options.person)
    try:
        return {f"{PEOPLE}/{place.name}": place.read_bytes()}
    except OSError as error:
        raise MienError(f"{place} can't be read: {error.strerror}; see enrol --list") from None


def _workers(text: str) -> tuple[int, int]:
    found = _RANGE.fullmatch(text)
    least, most = (int(found[1]), int(found[2] or found[1])) if found else (1, 0)
    if most < least:
        raise argparse.ArgumentTypeError(f"it is N or N-M, such as 2 or 1-8, not {text}")
    return least, most
