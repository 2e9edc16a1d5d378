"""Much work of one kind, spread over a cluster: each piece done once, or named as failed.

A process that dies has its piece begun anew elsewhere, so a function that is called here looks
first whether what it makes is there already, and makes it whole or not at all.
"""

from __future__ import annotations

import contextlib
import pickle
from collections.abc import Callable, Generator, Sequence
from typing import Any, Final, Generic, NamedTuple, TypeVar

from cluster.remote import call

RETRIES: Final = 3
"""how often a piece is begun anew whose process died; then it counts as what killed it"""
PER_PROCESS: Final = 100
"""pieces after which a process makes room for a fresh one"""
_TICK_S: Final = 0.5
_GIVEN_UP_S: Final = 20.0

Item = TypeVar("Item")
Result = TypeVar("Result")


class Ended(NamedTuple, Generic[Item, Result]):
    """A piece of work that came to its end."""

    item: Item
    result: Result | None
    """None where it failed"""
    why: str
    """why it failed, or "" """


def each(
    ray: Any,
    function: Callable[[Item], Result],
    items: Sequence[Item],
    *,
    cores: float = 1,
    gpus: float = 0,
) -> Generator[Ended[Item, Result] | None, None, None]:
    """Call a module's ``function`` with each item on a cluster, in no order; None now and then,
    while nothing ends.

    ``cores`` and ``gpus`` is what a piece takes. Where the caller goes on no further, what runs is
    stopped as Ctrl-C stops it, and waited for.
    """
    far = ray.remote(
        num_cpus=cores, num_gpus=gpus, max_retries=RETRIES, max_calls=PER_PROCESS
    )(call)  # fmt: skip
    waiting = {far.remote(pickle.dumps((function, item))): item for item in items}
    try:
        while waiting:
            done, _ = ray.wait(list(waiting), timeout=_TICK_S)
            for reference in done:
                yield _ended(ray, reference, waiting.pop(reference))
            if not done:
                yield None
    finally:
        _stop(ray, list(waiting))


def _ended(ray: Any, reference: Any, item: Item) -> Ended[Item, Any]:
    try:
        result, why = pickle.loads(ray.get(reference))
    except ray.exceptions.RayTaskError as error:
        why = f"please report this: {str(error.cause).strip()}"
        return Ended(item, None, why)
    except ray.exceptions.RayError as error:
        kind = type(error).__name__
        return Ended(item, None, f"the process that worked on it died {RETRIES + 1} times ({kind})")
    return Ended(item, result, why)


def _stop(ray: Any, waiting: list[Any]) -> None:
    for reference in waiting:
        with contextlib.suppress(ray.exceptions.RayError):
            ray.cancel(reference)
    if waiting:
        ray.wait(waiting, num_returns=len(waiting), timeout=_GIVEN_UP_S)
